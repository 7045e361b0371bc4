"""The tasks' database is away: that is no record's fault, nothing is given up."""

from __future__ import annotations

import time

from tests.faults.cell import Report, register, require
from tests.faults.given_up import BadRig, Database, EarlyWatch, judge_given_up
from tests.faults.rig import Process

#: seconds for which the database is down
OUTAGE = 60.0


def _outage(rig: BadRig, database: Database, watch: EarlyWatch, *, kill: bool) -> tuple[float, int]:
    """Down for a minute: seconds until every lane had gone on afterwards, how many lanes gave the brake as reason."""
    bridge = rig.bridge(name="first")
    rig.until(lambda: min(rig.committed().values()) >= 100, 60, "every lane under way")
    database.stop()
    down = time.monotonic()
    rig.until(lambda: rig.waiting("outage brake") == rig.partitions, 45, "all lanes name the brake", step=0.5)
    braked = rig.waiting("outage brake")
    if kill:
        time.sleep(max(0.0, down + OUTAGE / 2 - time.monotonic()))
        bridge.kill_group()
        bridge = rig.bridge(name="second")
    while time.monotonic() < down + OUTAGE:
        watch.look()
        time.sleep(0.5)
    braked = min(braked, rig.waiting("outage brake"))
    database.start()
    up = time.monotonic()
    rig.until(lambda: _all_went_on(rig, up), 60, "all lanes go on", step=0.2)
    resumed = time.monotonic() - up
    _until_committed(rig, bridge, watch)
    return round(resumed, 1), braked


def _all_went_on(rig: BadRig, since: float) -> bool:
    moved = {run.stream for run in rig.runs() if run.end is not None and run.end > since}
    return len(moved) == rig.partitions


def _until_committed(rig: BadRig, bridge: Process, watch: EarlyWatch) -> None:
    rig.until(lambda: watch.look() and rig.all_committed(), 120, "everything committed", step=0.5)
    require(bridge.exit_code is None, f"the bridge has ended:\n{bridge.tail()}")


def _run(*, kill: bool) -> Report:
    with (
        Database() as database,
        BadRig(
            FAULTS_BATCH="20",
            FAULTS_SLEEP="0.05",
            FAULTS_DATABASE=database.address,
            BRIDGE_KAFKA_GROUP_INSTANCE_ID="only",
        ) as rig,
    ):
        rig.create_dead_letters()
        rig.write_records(24_000, {})
        rig.workers()
        watch = EarlyWatch(rig)
        resumed, braked = _outage(rig, database, watch, kill=kill)
        report = judge_given_up(
            rig, lanes_that_named_the_brake=braked, seconds_until_all_lanes_went_on=resumed, looks=watch.looks
        )
        report.violations += watch.violations
        if braked < rig.partitions:
            report.violations.append(f"only {braked} lanes said that the brake holds at the end of the outage")
        report.figures["failed attempts"] = sum(run.failed_at is not None for run in rig.runs())
        return report


@register("outage")
def outage() -> Report:
    """The tasks' database is down for 60 s: no dead letter, every lane says why it waits, and all go on in order."""
    return _run(kill=False)


@register("outage-bridge-kill")
def outage_bridge_kill() -> Report:
    """The same, and the bridge is killed and started again in the middle: the new one finds out by itself."""
    return _run(kill=True)
