"""Bridges that come and go all the time: 0 lost, 0 repeated, commits only forward, and the work goes on meanwhile."""

from __future__ import annotations

import random
import signal
import time

from tests.faults.cell import Report, judge, register, require
from tests.faults.rig import Process, Rig
from tests.faults.watch import CommitWatch

#: seconds of storm, and the longest pause between two changes of one bridge
STORM, LONGEST_PAUSE = 30.0, 1.5


def _storm(rig: Rig, seed: int) -> Report:
    """Three bridges, one of them ended or started at random at every change; half of the ends are kill -9."""
    rig.produce(250_000)
    rig.workers()
    watch, roll = CommitWatch(rig), random.Random(seed)
    bridges: list[Process | None] = [rig.bridge(name=f"bridge-0-{number}") for number in range(3)]
    rig.until(rig.lines, 60, "work under way")
    before, ends = rig.lines(), time.monotonic() + STORM
    changes = 0
    while time.monotonic() < ends:
        changes += 1
        _toggle(rig, bridges, roll, changes)
        time.sleep(roll.uniform(0, LONGEST_PAUSE))
        watch.look()
    meanwhile = rig.lines() - before
    if not any(bridges):
        rig.bridge(name="last")
    rig.until(lambda: watch.look() and rig.all_committed(), 180, "everything committed", step=0.5)
    require(meanwhile > 100, f"only {meanwhile} lines were written in the storm")
    report = judge(rig, rig.expected(), seed=seed, changes=changes, lines_in_the_storm=meanwhile)
    report.violations += watch.violations
    return report


def _toggle(rig: Rig, bridges: list[Process | None], roll: random.Random, change: int) -> None:
    number = roll.randrange(len(bridges))
    bridge = bridges[number]
    if bridge is None:
        bridges[number] = rig.bridge(name=f"bridge-{change}-{number}")
        return
    if roll.random() < 0.5:
        bridge.kill_group()
    else:
        bridge.signal(signal.SIGTERM)
    bridges[number] = None


@register("rebalance-storm")
def rebalance_storm() -> Report:
    """Three bridges are stopped, killed and started at random for 30 s."""
    with Rig(FAULTS_SLEEP="0.03", BRIDGE_SESSION_TIMEOUT="3", BRIDGE_HEARTBEAT_INTERVAL="0.5") as rig:
        return _storm(rig, time.time_ns() % 10_000)


@register("rebalance-storm-848")
def rebalance_storm_848() -> Report:
    """The same in a group of the next generation."""
    with Rig(
        settings={"group.consumer.session.timeout.ms": "3000"},
        FAULTS_SLEEP="0.03",
        BRIDGE_KAFKA_GROUP_PROTOCOL="consumer",
        BRIDGE_SESSION_TIMEOUT="3",
    ) as rig:
        return _storm(rig, time.time_ns() % 10_000)


@register("bridge-killed-often")
def bridge_killed_often() -> Report:
    """kill -9 of the bridge 15 times at random, started again at once with a place of its own in the group: every gap
    between ledger, queue and commit is hit by some."""
    with Rig(FAULTS_SLEEP="0.01", FAULTS_LINKS="2", FAULTS_BATCH="25", BRIDGE_KAFKA_GROUP_INSTANCE_ID="only") as rig:
        rig.produce(100_000)
        rig.workers()
        watch, roll = CommitWatch(rig), random.Random(time.time_ns())
        for number in range(15):
            bridge = rig.bridge(name=f"bridge-{number}")
            rig.until(lambda: "starts at" in bridge.tail(1000), 60, "it takes over")  # noqa: B023
            time.sleep(roll.uniform(0.0, 1.5))
            bridge.kill_group()
            watch.look()
        handled = rig.lines()
        rig.bridge(name="last")
        rig.until(lambda: watch.look() and rig.all_committed(), 180, "everything committed", step=0.5)
        report = judge(rig, rig.expected(("link1", "link2")), lines_before_the_last_start=handled)
        report.violations += watch.violations
        return report
