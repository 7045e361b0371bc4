"""Rows of the matrix: what happens to workers, their processes, and what these may use."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tests.faults.cell import open_runs
from tests.faults.events import Other
from tests.faults.history import Run, read_history
from tests.faults.matrix import row
from tests.faults.rig import EVEN, Process
from tests.faults.stage import Setup, Stage

#: a worker is taken for lost after so many seconds
LOST = "5"


def _inside(stage: Stage, process: Process) -> list[Run]:
    """The runs that are open in a worker."""
    pids = {process.pid, *process.children()}
    return [run for run in open_runs(stage.rig) if run.pid in pids]


def _await_inside(stage: Stage, process: Process, link: str = "") -> None:
    stage.rig.until(
        lambda: any(link in ("", run.link) for run in _inside(stage, process)), 60, "a worker inside a link", step=0.01
    )


@row(6, "worker-kill", Setup(links=2, env={"BRIDGE_WORKER_TIMEOUT": LOST}), smoke=True)
def worker_kill(stage: Stage) -> None:
    """kill -9 of a worker and its pool in mid link, started again at once; three times."""
    for _ in range(3):
        number = stage.roll.randrange(len(stage.workers))
        _await_inside(stage, stage.workers[number])
        with stage.fault("worker killed"):
            stage.kill_process(stage.workers[number])
        stage.rig.supervise(stage.workers)
        stage.wait(0.5, 2.0)
    stage.await_progress("all partitions go on")


@row(7, "pool-child-kill", Setup(links=2))
def pool_child_kill(stage: Stage) -> None:
    """kill -9 of single processes of the workers' pools in mid link, six times, each time another lane's."""
    hit: set[tuple[str, int, int]] = set()
    for _ in range(6):
        run = _one_of_another_lane(stage, hit)
        hit.add(run.stream)
        with stage.fault("pool process killed"):
            stage.killed.add(run.pid)
            stage.note("killed", who=f"a process of {run.worker}", pids=[run.pid])
            os.kill(run.pid, signal.SIGKILL)
        stage.wait(0.2, 1.5)
    stage.await_progress("all partitions go on")
    _told_apart(stage)


def _one_of_another_lane(stage: Stage, hit: Iterable[tuple[str, int, int]]) -> Run:
    """A run that is under way in a process that nobody has killed."""
    found: list[Run] = []

    def look() -> list[Run]:
        found[:] = [run for run in open_runs(stage.rig) if run.stream not in hit and run.pid not in stage.killed]
        return found

    stage.rig.until(look, 60, "a link of another lane", step=0.01)
    return stage.roll.choice(found)


def _told_apart(stage: Stage) -> None:
    """The bridges take a lost process for what it is."""
    said = [each for each in read_history(stage.rig.history).bridges if isinstance(each, Other)]
    losses = sum("WorkerLost" in each.about["text"] for each in said if each.name == "report")
    stage.figures["losses"] = losses
    if not losses:
        stage.violations.append("R11 signals: no process counts as lost")


# --- a worker that stands still ---------------------------------------------------------------------------------------

#: while it stands still it may hold one link in each process of its pool; each may run beside the new attempt (P3)
FROZEN = Setup(links=2, overlaps=2, env={"BRIDGE_WORKER_TIMEOUT": LOST, "FAULTS_SLEEP": "0.1"}, records=12_000)


@row(9, "worker-frozen", FROZEN)
def worker_frozen(stage: Stage) -> None:
    """A worker and its pool stand still inside a first link of two until it is taken for lost and another one has gone
    on; awake again, it changes nothing, and no second link of its chains starts."""
    victim = stage.workers[0]
    with stage.fault("worker frozen"):
        stage.rig.until(lambda: _freeze_inside(stage, victim), 60, "a worker that stands still inside a first link")
        frozen = time.monotonic()
        held = {run.chain for run in _inside(stage, victim) if run.link == "link1"}
        streams = {run.stream for run in _inside(stage, victim)}
        stage.start_worker("spare", EVEN)
        stage.rig.until(lambda: streams <= _began_anew(stage, held, frozen), 60, "its lanes go on without it", step=0.2)
        os.killpg(victim.pid, signal.SIGCONT)
    stage.await_progress("all partitions go on")
    late = {run.chain for run in stage.rig.runs() if run.link == "link2" and run.begin > frozen}
    stage.figures["chains that it held"] = len(held)
    stage.violations += [f"R7 overlap: the second link of the old chain {chain} started" for chain in held & late]


def _freeze_inside(stage: Stage, victim: Process) -> bool:
    """SIGSTOP inside a first link; a link that has ended just before is no such, and the worker goes on."""
    _await_inside(stage, victim, "link1")
    os.killpg(victim.pid, signal.SIGSTOP)
    if any(run.link == "link1" for run in _inside(stage, victim)):
        return True
    os.killpg(victim.pid, signal.SIGCONT)
    return False


def _began_anew(stage: Stage, held: Iterable[str], since: float) -> set[tuple[str, int, int]]:
    return {run.stream for run in stage.rig.runs() if run.chain not in held and run.begin > since}


# --- limits of the machine --------------------------------------------------------------------------------------------

#: seconds within which a process must work, or have ended; and after which it may also still wait, if it has said why
DECIDED, PATIENCE = 75.0, 20.0


#: Celery's worker ends with 0 after these words: it loses the 1 that it raises
CELERY_ABORTS = "Too many open files. Aborting..."


@dataclass(frozen=True, slots=True)
class Limit:
    """A shell command with a number to fill in; what a log must say when that was not enough, with which codes
    processes may end without a word, and whether they may hang without one."""

    command: str
    why: str
    crashes: Collection[int] = ()
    may_hang: bool = False


FILES = Limit("ulimit -n {}", "Too many open files")
#: room for some threads only, 1 GB each. librdkafka ends with an assertion, or worse, when it gets none
THREADS = Limit(
    "ulimit -s 1000000 && ulimit -v {}000000",
    r"can't start new thread|([Uu]nable|[Ff]ailed) to create \w+ thread",
    (-signal.SIGABRT, -signal.SIGSEGV),
    may_hang=True,
)


@row(31, "few-files", Setup(records=12_000))
def few_files(stage: Stage) -> None:
    """A bridge and a worker that may open only 12 to 80 files are started beside the others, three times: each works,
    or says why it does not, and waits or ends with a code that is not 0 (Celery's worker also with 0)."""
    for _ in range(3):
        _limit(stage, FILES, stage.roll.randrange(12, 80))


@row(31, "few-threads", Setup(records=12_000))
def few_threads(stage: Stage) -> None:
    """The same with room for 1 to 12 threads only. librdkafka aborts a process that gets no thread, crashes it or lets
    it hang, without a word of ours: the others are not touched by that."""
    for _ in range(3):
        _limit(stage, THREADS, stage.roll.randrange(2, 14))


def _limit(stage: Stage, limit: Limit, number: int) -> None:
    name, limits = f"limited-{len(stage.rig.processes)}", limit.command.format(number)
    bridge = next(iter(stage.bridges.values())).command
    told = {"even@%h": f"{name}@%h", "WARNING": "INFO"}
    worker = [told.get(each, each) for each in stage.workers[0].command]
    with stage.fault(limits):
        started = [
            stage.rig.limited(f"{name}-bridge", bridge, limits, FAULTS_NAME=name),
            stage.rig.limited(f"{name}-worker", worker, limits),
        ]
        patient = time.monotonic() + PATIENCE
        stage.rig.until(lambda: all(_becomes(each, limit, patient) for each in started), DECIDED, f"{limits}: decided")
        for process in started:
            _judge_limited(stage, process, limit, limits)


def _becomes(process: Process, limit: Limit, patient: float = 0.0) -> str:
    """It has ended; or it works: has taken a partition, or serves lanes; or, after the time `patient`, it waits, and
    has said why if it must; "" none of these yet."""
    said = process.log.read_text(errors="replace")
    if process.exit_code is not None:
        return f"ends with {process.exit_code}"
    if "starts at" in said or "serves lanes" in said:
        return "works"
    is_told = limit.may_hang or re.search(limit.why, said)
    return "waits" if time.monotonic() > patient and is_told else ""


def _judge_limited(stage: Stage, process: Process, limit: Limit, limits: str) -> None:
    became, code, began = _becomes(process, limit), process.exit_code, time.monotonic()
    stage.figures[f"{process.name}, {limits}"] = became
    if became == "works":
        process.stop(30)
        seconds = time.monotonic() - began
        stage.note("exited", who=process.name, code=process.exit_code, signalled="SIGTERM", seconds=seconds)
    elif code is None:
        process.stop(5)
    elif not _ends_well(process.tail(200), code, limit):
        stage.violations.append(f"R12 exit: {process.name} ended with {code} under {limits}:\n{process.tail()}")


def _ends_well(said: str, code: int, limit: Limit) -> bool:
    """It says why, and the code is not 0; or it is one of the crashes that are known."""
    return code in limit.crashes or (re.search(limit.why, said) is not None and (code != 0 or CELERY_ABORTS in said))
