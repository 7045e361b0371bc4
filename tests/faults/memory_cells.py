"""P8: what the bridge holds is bounded whatever waits in Kafka. Nobody works, so that all that can be read is read."""

from __future__ import annotations

import time

import psutil

from tests.faults.cell import Report, judge, mib, register, run_to_end
from tests.faults.rig import Process, Rig

#: the bridge's own size, its buffers, the client's queue and the answer that it is reading
LIMIT_BYTES = 200 * 2**20
#: with so many partitions as well what one turn brings each of them beyond its share
LIMIT_MANY_BYTES = 300 * 2**20
#: seconds without growth after which the bridge has read what it will
QUIET = 5.0


def _overfill(rig: Rig, records: int, size: int, limit: int = LIMIT_BYTES) -> Report:
    """A bridge without workers until it grows no more; then workers and another bridge: all is handled once."""
    rig.produce(records, size=size)
    full = rig.bridge(name="full")
    _grow_up(rig, full)
    full.stop()
    rig.workers()
    again = run_to_end(rig, 120)
    peak = max(full.peak_rss, again.peak_rss)
    report = judge(rig, rig.expected(), backlog_mib=mib(records * size), peak_rss_mib=mib(peak))
    if peak > limit:
        report.violations.append(f"P8 the bridge took {mib(peak)} MiB, more than {mib(limit)}")
    return report


def _grow_up(rig: Rig, bridge: Process) -> None:
    grown_at, size = time.monotonic(), 0

    def quiet() -> bool:
        nonlocal grown_at, size
        bridge.sample()
        if bridge.peak_rss > size + 2**20:
            grown_at, size = time.monotonic(), bridge.peak_rss
        return "starts at" in bridge.tail(10_000) and time.monotonic() > grown_at + QUIET

    rig.until(lambda: quiet() or _is_too_large(bridge), 60, "the bridge grows no more", step=0.2)


def _is_too_large(bridge: Process) -> bool:
    """No need to fill the machine's memory to show it."""
    return psutil.Process(bridge.pid).memory_info().rss > 2 * LIMIT_BYTES


@register("memory-one-partition")
def memory_one_partition() -> Report:
    """One partition, 500 MB of backlog, nobody works: all partitions are full, and the bridge grows no more."""
    with Rig(partitions=1) as rig:
        return _overfill(rig, 50_000, 10_000)


@register("memory-large-records")
def memory_large_records() -> Report:
    """40 partitions, 600 records of 900 kB, nobody works: a single record is near a partition's share."""
    with Rig(partitions=40) as rig:
        return _overfill(rig, 600, 900_000)


@register("memory-many-partitions")
def memory_many_partitions() -> Report:
    """300 partitions by key, 8 lanes each, 400 MB of backlog; nobody works, then all is handled once."""
    with Rig(partitions=300, FAULTS_ORDER="key", FAULTS_LANES="8") as rig:
        return _overfill(rig, 40_000, 10_000, LIMIT_MANY_BYTES)
