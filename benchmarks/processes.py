"""The processes of a case that has an app and a topic of its own: a bridge, workers, and what they cost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.apps.declared import WRONG, environment
from benchmarks.case import WrongRun
from benchmarks.clock import COUNTED, Parts
from benchmarks.seen import Seen
from benchmarks.stack import SOLO, Stack
from benchmarks.topics import Onlooker, create_topic, delete_topic
from bridge.devstack.ports import fresh_port

#: the lane queues, dealt over two workers; and two of the solo pool
HALVES = tuple(",".join(f"lane-{number}" for number in range(first, 16, 2)) for first in (0, 1))
TWO_SOLO = tuple((*SOLO, "-Q", queues) for queues in HALVES)


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs: a module of `benchmarks.apps`, options of its pipeline, the options of each worker, further ones of
    `lanebridge run`, further variables. `topic` lies there already; "": a new one."""

    app: str
    partitions: int
    options: Mapping[str, Any] = field(default_factory=dict)
    workers: Sequence[Sequence[str]] = TWO_SOLO
    run: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    topic: str = ""


class Processes:
    """`with Processes(stack, plan, number) as processes:`: a group of the window's own, an onlooker who is told what it
    has committed, a folder for what the tasks note, and what they have seen. `start` starts all of the plan. All of it
    is gone behind the block."""

    def __init__(self, stack: Stack, plan: Plan, number: int) -> None:
        self._stack, self._plan = stack, plan
        self.group = f"{plan.app}-{number}"
        self.topic = plan.topic or self.group
        self.notes: Path = stack.folder / self.group
        self.workers: list[subprocess.Popen[bytes]] = []
        self.bridges: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.notes.mkdir()
        self.seen = Seen.create(self.notes / "seen")
        if not self._plan.topic:
            create_topic(self._stack, self.topic, self._plan.partitions)
        self.onlooker = Onlooker(self._stack, self.group, self.topic, self._plan.partitions)
        self.onlooker.committed()  # the first question of a cluster's life takes seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack.running([*self.bridges, *self.workers]):
            pass
        self.onlooker.close()
        if not self._plan.topic:
            delete_topic(self._stack, self.topic)
        self._stack.empty_redis()

    def start(self) -> None:
        """Workers and bridge."""
        app = f"benchmarks.apps.{self._plan.app}"
        env = {
            **environment(self.topic, self.notes, **self._plan.options),
            **self._plan.env,
            "MEASURED_SEEN": str(self.notes / "seen"),
            "BRIDGE_GROUP_ID": self.group,
            "BRIDGE_HTTP": f"127.0.0.1:{fresh_port()}",
        }
        for number, options in enumerate(self._plan.workers):
            command = ("celery", "-A", app, "bridge", "worker", "-n", f"{self._plan.app}{number}@%h", *options)
            self.workers.append(self._stack.start(*command, **env))
        self.bridges.append(self._stack.start("lanebridge", "-A", app, "run", *self._plan.run, **env))

    def look(self) -> None:
        """Raises WrongRun when a process has ended, or a task got what was not next."""
        if (text := self.notes / WRONG).exists():
            raise WrongRun(text.read_text())
        if min(self.seen.next_offsets(self._plan.partitions)) < 0:
            raise WrongRun("a task got what was not next")
        for process in (*self.bridges, *self.workers):
            if process.poll() is not None:
                raise WrongRun(f"{process.args!r} ended with {process.returncode}\n{self._stack.said(process)}")

    def await_committed(self, records: int, timeout: float = 60.0) -> None:
        """Until so many records of the topic are committed. Raises WrongRun."""
        deadline = time.monotonic() + timeout
        while (found := sum(self.onlooker.committed())) < records:
            self.look()
            if time.monotonic() > deadline:
                said = "\n".join(self._stack.said(process) for process in (*self.bridges, *self.workers))
                raise WrongRun(f"{found:,} of {records:,} records were committed within {timeout:g} s\n{said}")
            time.sleep(0.05)
        self.look()

    def check_end(self) -> None:
        """Raises WrongRun unless the tasks have seen everything, once and in order, and all of it is committed."""
        self.onlooker.check_end()
        seen, ends = self.seen.next_offsets(self._plan.partitions), self.onlooker.ends()
        if seen != ends:
            raise WrongRun(f"the tasks have seen {seen} records of the partitions, there are {ends}")

    def clock(self) -> Parts:
        """Tells what the processes that run now take."""
        servers = {"redis": [self._stack.redis.pid or 0], "kafka": [self._stack.kafka.pid or 0]}
        bridges, workers = ([each.pid for each in some] for some in (self.bridges, self.workers))
        return Parts({"bridge": bridges, "workers": workers, **servers})


def cores_during(clock: Parts, work: Callable[[], object]) -> dict[str, float]:
    """Cores that bridge, workers and Redis take while `work` runs, each and together, and what others take."""
    before, began = clock.spent(), time.monotonic()
    work()
    after, took = clock.spent(), time.monotonic() - began
    cores = {name: (after[name] - before[name]) / took for name in after}
    others = max(0.0, cores.pop("machine") - sum(cores.values()))
    counted = {f"{name}_cores": cores[name] for name in COUNTED}
    return {"cores": sum(counted.values()), **counted, "others": others}
