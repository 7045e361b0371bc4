"""How long it takes until the work goes on: after kill -9 of a bridge, and while bridges are replaced one by one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median

from tests.faults.cell import CELLS, Report
from tests.faults.history import Run
from tests.faults.rig import Process
from tests.faults.seen import await_shared, told
from tests.faults.stage import Setup, Stage

#: how often each thing is measured
TIMES = 5

STEADY = {"FAULTS_FLAKY": "0"}


def _register(name: str, what: str, setup: Setup, play: Callable[[Stage], None]) -> None:
    def cell(seed: int) -> Report:
        with Stage(setup, seed) as stage:
            stage.begin()
            play(stage)
            return stage.finish()

    cell.__doc__ = what
    CELLS[name] = cell


def _killed_and_started(stage: Stage) -> None:
    """From the kill to the first batch that the new process dispatches, and to its first in every partition."""
    first, every = [], []
    for _ in range(TIMES):
        stage.await_lines(200)
        stage.wait(0.0, 1.0)
        killed = time.monotonic()
        with stage.fault("bridge killed"):
            stage.kill("b0")
        bridge = stage.start_bridge("b0")
        first.append(_dispatched(stage, bridge, killed, 1))
        every.append(_dispatched(stage, bridge, killed, stage.setup.partitions))
    _keep(stage, "kill -9 to the first batch dispatched (s)", first)
    _keep(stage, "kill -9 to a batch in every partition (s)", every)


def _dispatched(stage: Stage, bridge: Process, since: float, partitions: int) -> float:
    """Seconds from `since` until the bridge had dispatched in so many partitions."""

    def firsts() -> list[float]:
        seen: dict[int, float] = {}
        for line in told(stage, bridge, "dispatched"):
            seen.setdefault(line["partition"], line["at"])
        return sorted(seen.values())

    stage.rig.until(lambda: len(firsts()) >= partitions, 60, "the bridge dispatches", step=0.1)
    return firsts()[partitions - 1] - since


def _one_of_two_killed(stage: Stage) -> None:
    """From the kill of one bridge to the first batch that the other dispatches in each of its partitions."""
    seconds = []
    for _ in range(TIMES):
        await_shared(stage)
        stage.await_lines(100)
        gone, stays = stage.roll.sample(sorted(stage.bridges), 2)
        theirs = {line["partition"] for line in told(stage, stage.bridges[gone], "start")}
        killed = time.monotonic()
        with stage.fault("bridge killed"):
            stage.kill(gone)
        other = stage.bridges[stays]
        stage.rig.until(lambda: theirs <= _since(stage, other, killed).keys(), 60, "the other one takes over")  # noqa: B023
        taken = _since(stage, other, killed)
        seconds.append(max(taken[partition] for partition in theirs) - killed)
        stage.start_bridge(gone)
    _keep(stage, "kill -9 of one of two to a batch in all its partitions (s)", seconds)


def _since(stage: Stage, bridge: Process, since: float) -> Mapping[int, float]:
    """The partitions in which this process has dispatched after that time, and when first."""
    found: dict[int, float] = {}
    for line in told(stage, bridge, "dispatched"):
        if line["at"] > since:
            found.setdefault(line["partition"], line["at"])
    return found


def _replaced_one_by_one(stage: Stage) -> None:
    """SIGTERM to each bridge in turn, a new one started at once; the next when every bridge has its share again."""
    await_shared(stage)
    shared = time.monotonic()
    stage.await_lines(400)
    began = time.monotonic()
    for name in sorted(stage.bridges):
        with stage.fault("bridge replaced"):
            stage.terminate(name)
            stage.start_bridge(name)
            await_shared(stage)
        stage.await_lines(200)
    ended = time.monotonic()
    found = {tp: _longest_pause(runs, began, ended) for tp, runs in _by_partition(stage.rig.runs()).items()}
    stage.figures["longest pause of any partition (s)"] = round(max(found.values()), 2)
    stage.figures["median of the partitions' longest pauses (s)"] = round(median(found.values()), 2)
    before = {tp: _longest_pause(runs, shared, began) for tp, runs in _by_partition(stage.rig.runs()).items()}
    stage.figures["longest pause before that (s)"] = round(max(before.values()), 2)


def _by_partition(runs: Sequence[Run]) -> Mapping[tuple[str, int], list[Run]]:
    found: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run in runs:
        found[run.tp].append(run)
    return found


def _longest_pause(runs: Sequence[Run], begin: float, end: float) -> float:
    """The longest time within which no run of the partition ended, from `begin` on, and until `end` when more of its
    runs ended after that: else it had nothing left to do."""
    every = sorted(run.end for run in runs if run.end is not None and run.end >= begin)
    ends = [at for at in every if at <= end]
    edges = [begin, *ends, *([end] if len(every) > len(ends) else [])]
    return max((later - earlier for earlier, later in pairwise(edges)), default=0.0)


def _keep(stage: Stage, what: str, seconds: Sequence[float]) -> None:
    stage.figures[what] = f"median {median(seconds):.2f}, {min(seconds):.2f} to {max(seconds):.2f}, n = {len(seconds)}"


_register(
    "recovery-default",
    "kill -9 of the only bridge, started again at once, all options as they come: until batches are dispatched again.",
    Setup(bridges=1, records=60_000, env={**STEADY, "FAULTS_WORK": "0.01"}, idle=300.0),
    _killed_and_started,
)
_register(
    "recovery-static",
    "The same with a static member (group.instance.id, classic protocol).",
    Setup(bridges=1, records=60_000, env={**STEADY, "FAULTS_WORK": "0.01"}, is_static=True, idle=300.0),
    _killed_and_started,
)
_register(
    "recovery-other",
    "kill -9 of one of two bridges, all options as they come: until the other dispatches in all its partitions.",
    Setup(records=60_000, env={**STEADY, "FAULTS_WORK": "0.01"}, idle=300.0),
    _one_of_two_killed,
)
_register(
    "rolling-restart",
    "Three bridges under load are replaced one by one (SIGTERM, start): 0 repeated, 0 lost, and how long any partition "
    "stood still.",
    Setup(bridges=3, records=60_000, env={**STEADY, "FAULTS_WORK": "0.01"}, idle=300.0),
    _replaced_one_by_one,
)
