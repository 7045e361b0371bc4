"""P9: who stood still for so long that others took over, and wakes up, changes nothing any more."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.faults.cell import Report, await_lines, judge, open_runs, register, require
from tests.faults.rig import EVEN, Process, Rig
from tests.faults.watch import CommitWatch


def _frozen_bridge(rig: Rig, times: int) -> Report:
    """The bridge that owns most is frozen until the other owns all, and woken up; in turn, several times."""
    rig.produce(250_000)
    rig.workers()
    watch = CommitWatch(rig)
    awake, frozen = rig.bridge(name="first"), rig.bridge(name="second")
    await_lines(rig, 300)
    for _ in range(times):
        awake, frozen = frozen, awake
        before = _starts(awake)
        frozen.signal(signal.SIGSTOP)
        _until(rig, watch, lambda: _starts(awake) > before, "the other bridge takes over")  # noqa: B023
        await_lines(rig, 200)
        frozen.signal(signal.SIGCONT)
        await_lines(rig, 200)
    _until(rig, watch, rig.all_committed, "everything committed")
    report = judge(rig, rig.expected(), commits_seen=watch.seen)
    report.violations += watch.violations
    ended = [bridge for bridge in (awake, frozen) if bridge.exit_code is not None]
    report.violations += [f"bridge {each.name} ended ({each.exit_code}):\n{each.tail()}" for each in ended]
    return report


def _starts(bridge: Process) -> int:
    """How often this bridge has taken a partition over."""
    return bridge.log.read_text(errors="replace").count("starts at")


def _until(rig: Rig, watch: CommitWatch, condition: Callable[[], object], what: str) -> None:
    rig.until(lambda: watch.look() and condition(), 120, what, step=0.2)


@register("bridge-frozen")
def bridge_frozen() -> Report:
    """A bridge is frozen past its session, and woken while another owns its partitions, three times: 0 repeated."""
    with Rig(FAULTS_SLEEP="0.03", BRIDGE_SESSION_TIMEOUT="3", BRIDGE_HEARTBEAT_INTERVAL="0.5") as rig:
        return _frozen_bridge(rig, 3)


@register("bridge-frozen-848")
def bridge_frozen_848() -> Report:
    """The same in a group of the next generation, whose members come back under a new epoch by themselves."""
    with Rig(
        settings={"group.consumer.session.timeout.ms": "3000"},
        FAULTS_SLEEP="0.03",
        BRIDGE_KAFKA_GROUP_PROTOCOL="consumer",
        BRIDGE_SESSION_TIMEOUT="3",
        BRIDGE_HEARTBEAT_INTERVAL="0.5",
    ) as rig:
        return _frozen_bridge(rig, 3)


@register("worker-frozen")
def worker_frozen() -> Report:
    """A worker is frozen inside a link of two, declared dead, replaced, and woken: its chain's next link never starts,
    only the batch that it held may have been handled twice."""
    with Rig(FAULTS_SLEEP="0.3", FAULTS_LINKS="2", BRIDGE_WORKER_TIMEOUT="5") as rig:
        rig.produce(12_000)
        victim = rig.workers()[0]
        rig.bridge()
        rig.until(lambda: _inside_first_link(rig, victim), 60, "the worker inside a first link", step=0.01)
        victim.signal(signal.SIGSTOP)
        held = {run.chain for run in open_runs(rig) if run.pid == victim.pid}
        stopped = time.monotonic()
        rig.worker("spare", EVEN)
        rig.until(lambda: _all_go_on(rig, held, stopped), 60, "the lanes go on without it", step=0.2)
        victim.signal(signal.SIGCONT)
        rig.until(rig.all_committed, 120, "everything committed")
        require(held, "the worker was frozen between two links")
        report = judge(rig, rig.expected(("link1", "link2"), repeats=100, overlaps=2))
        second = {run.chain for run in rig.runs() if run.link == "link2" and run.begin > stopped}
        report.violations += [f"P3 the second link of the lost chain {chain} started" for chain in held & second]
        return report


def _inside_first_link(rig: Rig, worker: Process) -> bool:
    return any(run.pid == worker.pid and run.link == "link1" for run in open_runs(rig))


def _all_go_on(rig: Rig, chains: set[str], since: float) -> bool:
    runs = rig.runs()
    stuck = {run.stream for run in runs if run.chain in chains}
    return stuck <= {run.stream for run in runs if run.chain not in chains and run.begin > since}
