"""Rows of the matrix: what happens to bridges."""

from __future__ import annotations

import signal
import time

from tests.faults.cell import open_runs, require
from tests.faults.history import Run
from tests.faults.matrix import row
from tests.faults.seen import await_shared, starts, told
from tests.faults.stage import Setup, Stage

#: a dead bridge is noticed after 3 s
QUICK = {"BRIDGE_SESSION_TIMEOUT": "3", "BRIDGE_HEARTBEAT_INTERVAL": "0.5"}

#: links of about 3 s (40 records), and of 8 s: threads, because what sleeps needs no processor
SLOW = {"FAULTS_SLEEP": "1", "FAULTS_WORK": "0.1", "FAULTS_FLAKY": "50"}
SLOWER = {**QUICK, "FAULTS_SLEEP": "8", "FAULTS_WORK": "0", "FAULTS_FLAKY": "0"}


def _kill_and_start(stage: Stage, times: int) -> None:
    for _ in range(times):
        stage.wait(0.3, 2.0)
        name = stage.any_bridge()
        with stage.fault("bridge killed"):
            stage.kill(name)
        stage.start_bridge(name)
    stage.await_progress("all partitions go on")


@row(1, "bridge-kill", Setup(env=QUICK, records=10_000), smoke=True)
def bridge_kill(stage: Stage) -> None:
    """kill -9 of a bridge at random, started again at once; five times."""
    _kill_and_start(stage, 5)


@row(1, "bridge-kill-static", Setup(env=QUICK, records=10_000, is_static=True))
def bridge_kill_static(stage: Stage) -> None:
    """The same with static members: the bridge comes back to its place in the group, nobody else takes it."""
    _kill_and_start(stage, 5)


@row(1, "bridge-kill-links", Setup(env=QUICK, links=3, records=5_000))
def bridge_kill_links(stage: Stage) -> None:
    """The same with chains of three links, so that most are between two links."""
    _kill_and_start(stage, 5)


@row(1, "bridge-kill-both", Setup(env=QUICK, records=10_000))
def bridge_kill_both(stage: Stage) -> None:
    """kill -9 of all bridges at the same moment, started again after up to 2 s; three times."""
    for _ in range(3):
        stage.wait(0.3, 2.0)
        names = list(stage.bridges)
        with stage.fault("all bridges killed"):
            for name in names:
                stage.kill(name)
            stage.wait(0.0, 2.0)
            for name in names:
                stage.start_bridge(name)
        stage.await_progress("all partitions go on")


@row(2, "bridge-stop-slow", Setup(env=SLOW, records=2_400, pool="threads", concurrency=6, begins_when=12))
def bridge_stop_slow(stage: Stage) -> None:
    """SIGTERM to a bridge while links of about 3 s run, started again when it has ended; four times."""
    for _ in range(4):
        await_shared(stage)
        stage.wait(0.0, 2.5)
        name = stage.any_bridge()
        with stage.fault("bridge stopped"):
            stage.terminate(name)
        stage.start_bridge(name)
    stage.await_progress("all partitions go on")


@row(
    2,
    "bridge-stop-stuck",
    Setup(
        env={**SLOWER, "BRIDGE_SHUTDOWN_TIMEOUT": "1"},
        records=2_400,  # five batches of 8 s in each partition: something is left for the second time
        pool="threads",
        concurrency=6,
        begins_when=12,
    ),
)
def bridge_stop_stuck(stage: Stage) -> None:
    """SIGTERM to all bridges while every link runs for longer than `shutdown_timeout`: the bridges end with 0 at once,
    the chains go on in the workers, and the next bridges take them over; twice."""
    outlived = 0
    for _ in range(2):
        await_shared(stage)
        stage.rig.until(lambda: len(_young_links(stage)) >= 4, 60, "links that have just begun")
        names = list(stage.bridges)
        with stage.fault("bridges stopped"):
            for ending in [stage.ask_to_end(name, signal.SIGTERM) for name in names]:
                stage.await_exit(ending)
            under_way = {run.chain for run in open_runs(stage.rig)}
            require(under_way, "no link ran on when all bridges had ended")
            outlived += len(under_way)
            stage.wait(0.0, 10.0)
            for name in names:
                stage.start_bridge(name)
        stage.await_progress("all partitions go on")
    stage.figures["chains that ran on without a bridge"] = outlived


def _young_links(stage: Stage) -> list[Run]:
    return [run for run in open_runs(stage.rig) if run.begin > time.monotonic() - 2.0]


#: seconds within which a bridge has ended that was told twice: far below shutdown_timeout, and time for a slow machine
AT_ONCE = 8.0


def _second_signal(stage: Stage, first: signal.Signals, second: signal.Signals) -> None:
    """The second comes at random before, or shortly after, the first has been followed."""
    codes = []
    for _ in range(6):
        stage.wait(0.3, 1.5)
        name = stage.any_bridge()
        with stage.fault("bridge stopped twice"):
            ending = stage.ask_to_end(name, first, second, pause=stage.roll.uniform(0.0, 0.15))
            codes.append(stage.await_exit(ending, codes=(0, 1), timeout=AT_ONCE))
        stage.start_bridge(name)
        await_shared(stage)
    stage.figures["exit codes"] = codes
    stage.await_progress("all partitions go on")


@row(3, "bridge-stop-twice", Setup(env=QUICK, records=10_000))
def bridge_stop_twice(stage: Stage) -> None:
    """A second SIGTERM right after the first: the bridge ends at once, with 1 (0 when it was done by then)."""
    _second_signal(stage, signal.SIGTERM, signal.SIGTERM)


@row(3, "bridge-interrupt-twice", Setup(env=QUICK, records=10_000))
def bridge_interrupt_twice(stage: Stage) -> None:
    """The same with Ctrl-C twice."""
    _second_signal(stage, signal.SIGINT, signal.SIGINT)


def _frozen_past(stage: Stage, longer: float) -> None:
    """Until the others own all it had, and so many seconds longer; three times."""
    for _ in range(3):
        stage.wait(0.3, 2.0)
        await_shared(stage)
        name = stage.any_bridge()
        frozen = stage.bridges[name]
        others = [bridge for other, bridge in stage.bridges.items() if other != name]
        before = sum(starts(stage, bridge) for bridge in others)
        with stage.fault("bridge frozen"):
            frozen.signal(signal.SIGSTOP)
            stage.rig.until(
                lambda: sum(starts(stage, each) for each in others) > before,  # noqa: B023
                60,
                "the others take over",
            )
            stage.wait(longer, longer + 2.0)
            frozen.signal(signal.SIGCONT)
        stage.await_progress("all partitions go on")
        require(frozen.exit_code is None, f"{frozen.name} ended when it was woken:\n{frozen.tail()}")
        lost = told(stage, frozen, "lost", "revoked")
        require(lost, f"{frozen.name} was not told that its partitions were gone")


FROZEN = {**QUICK, "FAULTS_WORK": "0.01"}


@row(4, "bridge-frozen", Setup(env=FROZEN, records=6_000))
def bridge_frozen(stage: Stage) -> None:
    """SIGSTOP of a bridge for longer than its session, until another owns its partitions, then SIGCONT: a zombie that
    wakes up; three times."""
    _frozen_past(stage, 0.0)


@row(4, "bridge-frozen-poll", Setup(env={**FROZEN, "BRIDGE_KAFKA_MAX_POLL_INTERVAL_MS": "4000"}, records=6_000))
def bridge_frozen_poll(stage: Stage) -> None:
    """The same for longer than `max.poll.interval.ms` too."""
    _frozen_past(stage, 2.0)


@row(5, "bridge-frozen-short", Setup(env=FROZEN | {"BRIDGE_SESSION_TIMEOUT": "10"}, records=6_000))
def bridge_frozen_short(stage: Stage) -> None:
    """SIGSTOP of a bridge for 1 to 4 s, shorter than its session of 10 s: no rebalance; four times."""
    await_shared(stage)
    before = {name: starts(stage, bridge) for name, bridge in stage.bridges.items()}
    for _ in range(4):
        stage.wait(0.3, 1.5)
        frozen = stage.bridges[stage.any_bridge()]
        with stage.fault("bridge frozen for a moment"):
            frozen.signal(signal.SIGSTOP)
            stage.wait(1.0, 4.0)
            frozen.signal(signal.SIGCONT)
    stage.await_progress("all partitions go on")
    for name, bridge in stage.bridges.items():
        gone = told(stage, bridge, "revoked", "lost")[-3:]
        again = starts(stage, bridge) - before[name]
        if again:
            stage.violations.append(f"{name} was given {again} partitions in a rebalance that nobody needs: {gone}")
