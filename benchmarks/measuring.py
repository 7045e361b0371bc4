"""One window of a case: processes are started with a group of their own, work off the topic, are looked at meanwhile,
and ended; what they did is checked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.case import WrongRun
from benchmarks.clock import Parts, figures, watch
from benchmarks.seen import Seen
from benchmarks.stack import APP, SOLO, TOPIC, Stack
from benchmarks.topics import Onlooker
from bridge.devstack.ports import fresh_port

#: seconds for which a bridge may take to end
_END_S = 60.0
#: more partitions than this are asked for less often, so that asking costs nothing
_MANY = 100


@dataclass(frozen=True, slots=True)
class Running:
    """The processes of a window, by part, and what their tasks have seen."""

    group: str
    seen: Seen
    bridges: Sequence[subprocess.Popen[bytes]]
    workers: Sequence[subprocess.Popen[bytes]] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """How Lanebridge runs: options of the pipeline, links of its chain, bridges, workers and their options. `records`:
    the window ends when so many are committed (0: all of the topic, and the end is checked, too)."""

    options: Mapping[str, Any] = field(default_factory=dict)
    links: int = 1
    bridges: int = 1
    workers: int = 2
    worker_options: Sequence[str] = SOLO
    records: int = 0


def measure(setting: Setting, stack: Stack, number: int) -> Mapping[str, float]:
    """One window of Lanebridge. Raises WrongRun."""
    group = f"measured-{number}"
    path = stack.folder / f"{group}.seen"
    seen = Seen.create(path)
    env = {
        "MEASURED_LINKS": str(setting.links),
        "MEASURED_OPTIONS": json.dumps(setting.options),
        "MEASURED_SEEN": str(path),
        "BRIDGE_GROUP_ID": group,
    }
    workers = stack.start_workers(setting.workers, setting.worker_options, **env)
    bridges = [
        stack.start("lanebridge", "-A", APP, "run", **env, BRIDGE_HTTP=f"127.0.0.1:{fresh_port()}")
        for _ in range(setting.bridges)
    ]
    return watched(stack, Running(group, seen, bridges, workers), setting.records)


def watched(stack: Stack, running: Running, records: int, *, ours: bool = True) -> Mapping[str, float]:
    """Look at the processes until so many records (0: all of the topic) are committed, end them, and check what they
    did. `ours`: bridges, which must end with 0. Raises WrongRun."""
    with (
        stack.running([*running.bridges, *running.workers]),
        Onlooker(stack, running.group, TOPIC, stack.partitions) as onlooker,
    ):
        wanted = records or sum(onlooker.ends())
        parts = Parts(
            {
                "bridge": [process.pid for process in running.bridges],
                "workers": [process.pid for process in running.workers],
                "redis": [stack.redis.pid or 0],
                "kafka": [stack.kafka.pid or 0],
            }
        )
        try:
            looks = watch(
                parts,
                lambda: _sum_committed(running, onlooker),
                lambda: _sum_seen(running.seen, stack.partitions),
                wanted,
                0.25 if stack.partitions > _MANY else 0.05,
            )
            _end(running.bridges, ours)
            _check(running.seen, onlooker, whole=not records)
        except WrongRun as error:
            raise WrongRun(f"{error}\n{_all_said(stack, running)}") from error
    return figures(looks, wanted)


def _sum_committed(running: Running, onlooker: Onlooker) -> int:
    for process in (*running.bridges, *running.workers):
        if process.poll() is not None:
            raise WrongRun(f"process {process.pid} ended with {process.returncode}")
    return sum(onlooker.committed())


def _sum_seen(seen: Seen, partitions: int) -> int:
    offsets = seen.next_offsets(partitions)
    if min(offsets) < 0:
        raise WrongRun(f"a task got what was not next: partition {offsets.index(min(offsets))}")
    return sum(offsets)


def _end(bridges: Sequence[subprocess.Popen[bytes]], ours: bool) -> None:
    for bridge in bridges:
        bridge.terminate()
    for bridge in bridges:
        code = bridge.wait(_END_S)
        if code != 0 and ours:
            raise WrongRun(f"the bridge ended with {code}")


def _check(seen: Seen, onlooker: Onlooker, *, whole: bool) -> None:
    """What is committed was seen; of a whole topic, nothing is left. (A bridge that stops leaves what is in flight to
    the next one: then more was seen than is committed.)"""
    committed = onlooker.committed()
    for number, (offset, end) in enumerate(zip(committed, seen.next_offsets(len(committed)), strict=True)):
        if offset > end:
            raise WrongRun(f"{offset} is committed of partition {number}, but only what is below {end} was seen")
    if whole:
        onlooker.check_end()


def _all_said(stack: Stack, running: Running) -> str:
    return "\n".join(stack.said(process) for process in (*running.bridges, *running.workers))
