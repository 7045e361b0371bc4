"""What a row of the matrix plays on: recorded bridges, workers, a load, an injector's log and a sampler.

The usual load: 20,000 records in 12 partitions, each of 0 to 5 ms, one of a hundred fails once; 2 bridges, 2 workers.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Self

from bridge.devstack import DevStack
from bridge.devstack.ports import accepts_connections, fresh_port
from tests.faults import history
from tests.faults.cell import Report
from tests.faults.checker import handled
from tests.faults.claims import Claims
from tests.faults.history import read_history
from tests.faults.rig import EVEN, ODD, Failed, Process, Rig
from tests.faults.rules import counts, violations
from tests.faults.sampler import Sampler

LINKS = ("link1", "link2", "link3")

#: what a bridge takes before it holds a record, and buffer_bytes of the app
MEMORY = 130 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a row needs that differs from the usual. `env` goes to bridges and workers; `servers` makes the Kafka and
    the Redis; `begins_when`: so many lines of history are written when the row begins; `idle`: seconds within which all
    must be finished afterwards. `repeats` and `overlaps` are what the rules allow at most. `is_static`: each bridge has
    a place of its own in the group, under its name. `liveness`: seconds until something is finished after a fault;
    `blocks`: the faults during which a bridge must say that it is not ready."""

    app: str = "tests.faults.app"
    partitions: int = 12
    bridges: int = 2
    records: int = 20_000
    size: int = 100
    keys: int = 0
    links: int = 1
    pool: str = "prefork"
    concurrency: int = 2
    env: Mapping[str, str] = field(default_factory=dict)
    servers: Callable[[], AbstractContextManager[DevStack]] | None = None
    begins_when: int = 60
    idle: float = 120.0
    repeats: int = 0
    overlaps: int = 0
    is_static: bool = False
    liveness: float = 30.0
    blocks: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """A bridge that is to end: since when, and by which signals."""

    process: Process
    signalled: str
    began: float


class Stage:
    """A system with work under way. Everything that is drawn at random comes from `roll`."""

    def __init__(self, setup: Setup, seed: int) -> None:
        self.setup = setup
        self.seed = seed
        self.roll = Random(seed)
        usual = {
            "FAULTS_WORK": "0.005",
            "FAULTS_FLAKY": "100",
            "FAULTS_BATCH": "40",
            "FAULTS_SUMS": "1",
            "FAULTS_LINKS": str(setup.links),
        }
        self.rig = self.make_rig(setup.servers() if setup.servers is not None else None)
        self.rig.env.update({**usual, **setup.env})
        self.bridges: dict[str, Process] = {}
        self.workers: list[Process] = []
        self.figures: dict[str, object] = {"seed": seed}
        #: what a row finds by itself
        self.violations: list[str] = []
        #: processes that got SIGKILL, with their children
        self.killed: set[int] = set()
        #: processes that were meant to end with another code than 0
        self.exits: dict[str, int] = {}
        self._ports: dict[str, int] = {}
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        with self._cleanup:
            self._cleanup.enter_context(self.rig)
            self.sampler = self._cleanup.enter_context(Sampler(self))
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # the rig prints the processes' last words when it sees the error
        self._cleanup.__exit__(kind, error, trace)

    def make_rig(self, servers: AbstractContextManager[DevStack] | None) -> Rig:
        """What it plays on; a stage for other records has another."""
        return Rig(partitions=self.setup.partitions, servers=servers, app=self.setup.app)

    # --- the usual beginning and end ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Records, workers, bridges, and work under way."""
        self.write_records()
        self.start_workers()
        for number in range(self.setup.bridges):
            self.start_bridge(f"b{number}")
        self.await_lines(self.setup.begins_when)

    def write_records(self) -> None:
        """The load."""
        self.rig.produce(self.setup.records, size=self.setup.size, keys=self.setup.keys)

    def finish(self) -> Report:
        """Everything is finished and committed; bridges end on SIGTERM with exit code 0; the rules."""
        self.rig.until(
            lambda: self.rig.supervise(self.workers) and self.rig.all_committed(),
            self.setup.idle,
            "everything committed",
            step=0.5,
        )
        self.rig.until(self._all_ready, 30.0, "every bridge ready again (/readyz)", step=0.5)
        for name in list(self.bridges):
            self.terminate(name)
        self.sampler.stop()
        report = self.judge()
        report.violations += self.violations
        return report

    def _all_ready(self) -> bool:
        return all(self.sampler.ready.get(process.pid) for process in self.bridges.values())

    def claims(self) -> Claims:
        """What the rules hold this history to."""
        return Claims(
            links=LINKS[: self.setup.links],
            repeats=self.setup.repeats,
            overlaps=self.setup.overlaps,
            ends=self.rig.ends(),
            memory=MEMORY,
            exits=self.exits,
            liveness=self.setup.liveness,
            blocks=self.setup.blocks,
        )

    def judge(self) -> Report:
        """What was written down against the rules."""
        claims, written = self.claims(), read_history(self.rig.history)
        records = handled(written.runs, claims.links[-1])
        figures: dict[str, object] = {"records handled": records.total(), "batches": len(written.runs)}
        figures = {**figures, **counts(written, claims), **self.figures}
        return Report(figures, violations(written, claims))

    # --- processes ---------------------------------------------------------------------------------------------------

    def start_workers(self) -> None:
        """Two workers that share the lane queues."""
        self.workers.append(self.start_worker("even", EVEN))
        self.workers.append(self.start_worker("odd", ODD))

    def start_worker(self, name: str, queues: str = "", **env: str) -> Process:
        """One worker; it is not among `workers`, which are started again when they end."""
        return self.rig.worker(name, queues, pool=self.setup.pool, concurrency=self.setup.concurrency, **env)

    def start_bridge(self, name: str, *arguments: str, **env: str) -> Process:
        """A recorded bridge of that name, again when it has run before; with HTTP at `port_of`."""
        own = {"FAULTS_NAME": name, "BRIDGE_HTTP": f"127.0.0.1:{self.port_of(name)}", **env}
        if self.setup.is_static:
            own["BRIDGE_KAFKA_GROUP_INSTANCE_ID"] = name
        number = len(self.rig.processes)
        self.bridges[name] = self.rig.bridge(*arguments, name=f"{name}-{number}", module="tests.faults.recorded", **own)
        return self.bridges[name]

    def port_of(self, name: str) -> int:
        """Where that bridge serves HTTP."""
        return self._ports.setdefault(name, fresh_port())

    def kill(self, name: str) -> None:
        """kill -9 of a bridge."""
        process = self.bridges.pop(name)
        self.kill_process(process)

    def kill_process(self, process: Process) -> None:
        """kill -9 of a process and its children."""
        pids = [process.pid, *process.children()]
        self.killed.update(pids)
        self.note("killed", who=process.name, pids=pids)
        process.kill_group()

    def terminate(self, name: str, timeout: float = 25.0) -> None:
        """SIGTERM to a bridge once it serves, and its exit code is 0 within `timeout` seconds."""
        if self.bridges[name].exit_code is None:
            self.rig.until(lambda: accepts_connections(self.port_of(name)), 60, f"{name} serves HTTP")
        self.await_exit(self.ask_to_end(name, signal.SIGTERM), timeout=timeout)

    def ask_to_end(self, name: str, *numbers: signal.Signals, pause: float = 0.0) -> Ending:
        """Signals to a bridge that it is to end by, with so many seconds between them; it is not waited for."""
        process, began = self.bridges.pop(name), time.monotonic()
        for place, number in enumerate(numbers):
            time.sleep(pause if place else 0.0)
            process.signal(number)
        return Ending(process, "+".join(number.name for number in numbers), began)

    def await_exit(self, ending: Ending, *, codes: Container[int] = (0,), timeout: float = 25.0) -> int | None:
        """Its exit code, which is among `codes`; a violation, and None, when it does not end within `timeout` s."""
        process = ending.process
        try:
            code: int | None = process.wait(max(ending.began + timeout - time.monotonic(), 0.1))
        except Failed:
            code = None
        process.kill_group()
        seconds = time.monotonic() - ending.began
        self.note("exited", who=process.name, code=code, signalled=ending.signalled, seconds=seconds)
        if code is None or code not in codes:
            text = f"{process.name} ended with {code} instead of {codes} after {ending.signalled}"
            self.violations.append(f"R12 exit: {text}:\n{process.tail()}")
        elif code:
            self.exits[process.name] = code
        return code

    def any_bridge(self) -> str:
        """The name of one that runs, at random."""
        return self.roll.choice(sorted(self.bridges))

    # --- the injector ------------------------------------------------------------------------------------------------

    def note(self, event: str, **about: object) -> None:
        """A line of the injector."""
        history.write(str(self.rig.history), {"event": event, **about})

    @contextmanager
    def fault(self, what: str) -> Iterator[None]:
        """A fault is on for as long as the block."""
        self.note("fault_on", fault=what)
        try:
            yield
        finally:
            self.note("fault_off", fault=what)

    def wait(self, least: float, most: float | None = None) -> None:
        """Let the system run for a time that is drawn at random (seconds)."""
        time.sleep(least if most is None else self.roll.uniform(least, most))

    def await_lines(self, more: int, timeout: float = 90.0) -> None:
        """Wait until the tasks have written so many more lines."""
        before = self.rig.lines()
        self.rig.until(lambda: self.rig.lines() >= before + more, timeout, "work under way")

    def await_progress(self, what: str, timeout: float = 45.0, *, supervised: bool = False) -> float:
        """Wait until every partition with records left has ended a run since now, or has none left; the seconds that
        took. The longest of all calls is kept as a figure, unless nothing was to be
        waited for. `supervised`: workers that have ended are started again meanwhile."""
        began = time.monotonic()
        behind = self._behind()
        workers = self.workers if supervised else []
        self.rig.until(lambda: self.rig.supervise(workers) and self._have_moved(behind, began), timeout, what, step=0.3)
        seconds = round(time.monotonic() - began, 1)
        if behind:
            longest = self.figures.get("longest recovery (s)", 0.0)
            assert isinstance(longest, float)
            self.figures["longest recovery (s)"] = max(longest, seconds)
        return seconds

    def _behind(self) -> set[tuple[str, int]]:
        committed, ends = self.rig.committed(), self.rig.ends()
        return {tp for tp, end in ends.items() if committed[tp] < end}

    def _have_moved(self, partitions: set[tuple[str, int]], began: float) -> bool:
        still = partitions - self._moved_since(began)
        # what was finished before may only have waited to be committed
        return not still or not still & self._behind()

    def _moved_since(self, began: float) -> set[tuple[str, int]]:
        return {(run.topic, run.partition) for run in self.rig.runs() if run.end is not None and run.end > began}
