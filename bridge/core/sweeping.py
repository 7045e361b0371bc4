"""Once a second the ledger is read for all chains in flight: what no notification told is found here.

A reading may be older than a dispatch that was answered while it was under way: readings are numbered, and a flight
ignores those up to the number that was current when it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core import events as ev
from bridge.core.effects import ReadLanes, Report
from bridge.core.flight import name_and_attempt
from bridge.core.lane import IN_FLIGHT, Lane
from bridge.core.watch import LINK_TIMEOUT, Finding, Found, Workers, inspect
from bridge.entries import LaneEntry, PartitionEntry

if TYPE_CHECKING:
    from bridge.core.bridge import Core
    from bridge.core.partition import Partition

#: seconds between two readings, and after which a reading without answer is given up
INTERVAL, ANSWER_TIMEOUT = 1.0, 15.0


class Sweeping:
    """When the ledger is read, and what is done with it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.workers = Workers(core.config.times)
        #: the number of the last reading
        self.number = 0
        self._next_at = 0.0
        self._answer_by: float | None = None
        self._again = False

    @property
    def wake_at(self) -> float:
        """When the next reading is due."""
        return self._next_at if self._answer_by is None else self._answer_by

    def read_soon(self) -> None:
        """Somebody needs a fresh reading."""
        self._next_at = 0.0
        self._again = self._answer_by is not None

    def read_when_due(self, now: float) -> None:
        """Read the ledger if it is time."""
        if now < self.wake_at:
            return
        self._answer_by = None
        self._next_at = now + INTERVAL
        wanted = tuple(
            (tp, partition.serial) for tp, partition in self._core.partitions.items() if _needs_reading(partition)
        )
        if wanted:
            self.number += 1
            self._answer_by = now + ANSWER_TIMEOUT
            self._core.emit(ReadLanes(self.number, wanted))

    def reading_failed(self, number: int, now: float) -> None:
        """A reading that failed is simply the next one's business."""
        if number == self.number:
            self._answer_by = None
            self._next_at = now + INTERVAL

    def lanes_read(self, event: ev.LanesRead, now: float) -> None:
        """What the ledger says."""
        if event.number == self.number:
            self._answer_by = None
            if self._again:
                self._again, self._next_at = False, 0.0
        self.workers.update(event.workers, event.redis_since, now)
        for tp, (serial, entry) in event.entries.items():
            partition = self._core.live(tp, serial)
            if partition is not None and partition.is_active:
                self._compare(partition, entry, event.number, now)

    def _compare(self, partition: Partition, entry: PartitionEntry, number: int, now: float) -> None:
        if entry.owner != partition.owner:
            partition.reassign("the ledger does not know this owner (Redis emptied, or another owner)")
            return
        if entry.rule != partition.rule and not partition.changing:
            partition.reassign(f"the ledger's lane rule is {entry.rule or 'missing'} (Redis rolled back)")
            return
        for lane in list(partition.lanes.values()):
            if lane.flight is None or number <= lane.flight.reading:
                continue
            lane_entry = entry.lanes.get(lane.index, LaneEntry(lane.index))
            if lane.unsure:
                self._core.dispatching.take_up(partition, lane, lane_entry, entry.now_ms, now)
            elif lane.phase in IN_FLIGHT and lane_entry.chain != lane.flight.chain:
                partition.reassign("the ledger holds another chain (Redis rolled back)")
                return
            elif lane.phase in IN_FLIGHT:
                self._look_at(partition, lane, lane_entry, now)
            else:
                continue
            self._core.settle_down(partition, (lane,), now)

    def _look_at(self, partition: Partition, lane: Lane, entry: LaneEntry, now: float) -> None:
        if entry.outcome is not None:
            self._core.dispatching.take_outcome(partition, lane, entry.seen, entry.outcome, now)
            return
        assert lane.flight is not None
        lane.expect = entry.seen
        config = self._core.config
        queue = config.queue_of(lane.tp, lane.index, lane.flight.queue_link(entry.link))
        found = inspect(lane.flight, entry, lane.rules, queue, self.workers, config.times, now)
        self._act(partition, lane, entry, found, now)

    def _act(self, partition: Partition, lane: Lane, entry: LaneEntry, found: Found, now: float) -> None:
        dispatching, worker = self._core.dispatching, entry.claim.worker if entry.claim else ""
        if found.finding is Finding.WORKER_LOST:
            dispatching.set_fault(lane, entry.link, "worker_lost", worker, "WorkerLost", found.reason)
        elif found.finding is Finding.TIMED_OUT:
            dispatching.set_fault(lane, entry.link, "timeout", worker, LINK_TIMEOUT, found.reason)
        elif found.finding is Finding.PUBLISH:
            dispatching.publish_again(partition, lane, now)
        stalled = found.finding is Finding.STALLED
        if stalled and found.reason != lane.reason:
            self._core.emit(
                Report("warning", "stalled", found.reason, lane.tp, lane.index, *name_and_attempt(lane.flight))
            )
        if found.finding is not Finding.PUBLISH:
            lane.reason, lane.stalled = found.reason, stalled


def _needs_reading(partition: Partition) -> bool:
    return partition.is_active and any(lane.phase in IN_FLIGHT or lane.unsure for lane in partition.lanes.values())
