"""The processes of a case that has an app and a topic of its own: a bridge, workers, and what they cost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.apps.declared import environment
from benchmarks.case import WrongRun
from benchmarks.clock import COUNTED, Parts
from benchmarks.stack import SOLO, Stack
from benchmarks.topics import Onlooker, create_topic, delete_topic
from bridge.devstack.ports import fresh_port

#: two workers of the solo pool, each with every other lane queue
TWO_SOLO = tuple((*SOLO, "-Q", ",".join(f"lane-{number}" for number in range(first, 16, 2))) for first in (0, 1))

#: what an app writes when it gets what is not next, see apps/declared.py
_WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs: a module of `benchmarks.apps`, options of its pipeline, the options of each worker, further ones of
    `lanebridge run`, further variables."""

    app: str
    partitions: int
    options: Mapping[str, Any] = field(default_factory=dict)
    workers: Sequence[Sequence[str]] = TWO_SOLO
    run: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class Processes:
    """`with Processes(stack, plan, number) as processes:`: a topic and a group of the window's own, and an onlooker who
    is told what the group has committed. `start` starts all of the plan. All of it is gone behind the block."""

    def __init__(self, stack: Stack, plan: Plan, number: int) -> None:
        self._stack, self._plan = stack, plan
        self.topic = self.group = f"{plan.app}-{number}"
        self.notes: Path = stack.folder / self.topic
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.notes.mkdir()
        create_topic(self._stack, self.topic, self._plan.partitions)
        self.onlooker = Onlooker(self._stack, self.group, self.topic, self._plan.partitions)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack.running(self.started):
            pass
        self.onlooker.close()
        delete_topic(self._stack, self.topic)
        self._stack.empty_redis()

    def start(self) -> None:
        """Workers and bridge."""
        app = f"benchmarks.apps.{self._plan.app}"
        env = {
            **environment(self.topic, self.notes, **self._plan.options),
            **self._plan.env,
            "BRIDGE_GROUP_ID": self.group,
            "BRIDGE_HTTP": f"127.0.0.1:{fresh_port()}",
        }
        for number, options in enumerate(self._plan.workers):
            command = ("celery", "-A", app, "bridge", "worker", "-n", f"{self._plan.app}{number}@%h", *options)
            self.started.append(self._stack.start(*command, **env))
        self.bridge = self._stack.start("lanebridge", "-A", app, "run", *self._plan.run, **env)
        self.started.append(self.bridge)

    def look(self) -> None:
        """Raises WrongRun when a process has ended, or a task got what was not next."""
        if (text := self.notes / _WRONG).exists():
            raise WrongRun(text.read_text())
        for process in self.started:
            if process.poll() is not None:
                raise WrongRun(f"{process.args!r} ended with {process.returncode}\n{self._stack.said(process)}")

    def await_committed(self, records: int, timeout: float = 60.0) -> None:
        """Until so many records of the topic are committed. Raises WrongRun."""
        deadline = time.monotonic() + timeout
        while (found := sum(self.onlooker.committed())) < records:
            self.look()
            if time.monotonic() > deadline:
                said = "\n".join(self._stack.said(process) for process in self.started)
                raise WrongRun(f"{found:,} of {records:,} records were committed within {timeout:g} s\n{said}")
            time.sleep(0.05)
        self.look()

    def clock(self) -> Parts:
        """Tells what the processes that run now take."""
        workers = [process.pid for process in self.started if process is not self.bridge]
        servers = {"redis": [self._stack.redis.pid or 0], "kafka": [self._stack.kafka.pid or 0]}
        return Parts({"bridge": [self.bridge.pid], "workers": workers, **servers})


def cores_during(clock: Parts, work: Callable[[], object]) -> dict[str, float]:
    """Cores that bridge, workers and Redis take while `work` runs, each and together, and what others take."""
    before, began = clock.spent(), time.monotonic()
    work()
    after, took = clock.spent(), time.monotonic() - began
    cores = {name: (after[name] - before[name]) / took for name in after}
    others = max(0.0, cores.pop("machine") - sum(cores.values()))
    counted = {f"{name}_cores": cores[name] for name in COUNTED}
    return {"cores": sum(counted.values()), **counted, "others": others}
