"""The life of chains: dispatch what may go, take up what the ledger holds, act on what chains report.

A lane has at most one chain in flight. A dispatch replaces exactly what the lane last saw (`expect`); refused, it
takes up what is there. Publishing is idempotent: a link that may be in its queue is published again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.core import events as ev
from bridge.core.batching import ClosedBatch, rows_of
from bridge.core.effects import Chain, Dispatch, Level, PublishLink, Report, SetFault, TerminateLinks
from bridge.core.failures import COUNTED, told_by_celery
from bridge.core.flight import Flight, name_and_attempt
from bridge.core.lane import IN_FLIGHT, Lane, Phase
from bridge.core.repeats import Service
from bridge.core.skipping import begin_skipping
from bridge.core.trains import headers_of
from bridge.core.watch import TERMINATE_WAIT
from bridge.entries import Decided, Failure, FailureKind, LaneEntry, Outcome, Seen
from bridge.records import OFFSET, TopicPartition

if TYPE_CHECKING:
    from bridge.core.bridge import Core
    from bridge.core.partition import Partition

#: the phases in which something may be begun
READY = frozenset({Phase.FREE, Phase.RETRYING, Phase.DISPOSING})

#: characters that may not stand in a chain id: Redis reads subscription patterns as globs
_GLOB = str.maketrans(dict.fromkeys("*?[]\\ {}/", "_"))

#: counters of one owner number; owner number (seconds, 31 bits until 2038) and counter make a 62-bit token
_TOKENS_PER_OWNER = 2**31


def chain_prefix(group: str) -> str:
    """What every chain id of the group begins with."""
    return f"{group.translate(_GLOB)}."


def chain_id(group: str, tp: TopicPartition, first: int, last: int, owner: int, counter: int) -> str:
    """A chain id, never used twice; for people to read, nobody parses it."""
    return f"{chain_prefix(group)}{tp.topic}-{tp.partition}.{first}-{last}.{owner}-{counter}"


class Dispatching:
    """What moves chains. It works on the core's partitions and emits the core's effects."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._timers: list[tuple[float, int, TopicPartition, int]] = []
        self._timer_number = 0
        #: the lanes that wait for room among the bytes in flight, first come first served
        self._starved: dict[tuple[TopicPartition, int], None] = {}
        #: superseded link id -> the lane that waits for its end, and the worker that runs it ("" unknown)
        self._superseded: dict[str, tuple[TopicPartition, int, str]] = {}

    # --- what may go -----------------------------------------------------------------------------------------------

    def consider(self, partition: Partition, lane: Lane, now: float) -> None:
        """Dispatch the lane's next batch if it may go now; else make sure that it is looked at again in time."""
        if self._core.stopping or not partition.is_active:
            return
        is_skipping = begin_skipping(self._core, lane, now)
        if lane.phase not in READY or (self._is_paused(lane) and not is_skipping):
            return
        if lane.phase is Phase.DISPOSING:
            self._core.disposing.consider(partition, lane, now)
            return
        if lane.first_unfinished is not None and (self._starved or not self._core.in_flight.has_room()):
            self._starved[partition.tp, lane.index] = None
            return
        self._let_go(partition, lane, now)

    def _is_paused(self, lane: Lane) -> bool:
        return self._core.operators.pause_of(lane.tp, lane.index) is not None

    def _let_go(self, partition: Partition, lane: Lane, now: float) -> None:
        assert partition.expected is not None
        was = lane.phase
        flush = partition.flushes or self._core.buffers.is_full(partition.tp)
        batches = lane.next_batches(now, read_up_to=partition.expected, flush=flush)
        if batches:
            self.dispatch(partition, lane, batches, now)
        else:
            if lane.phase is not was:
                partition.advance()
            if lane.wake_at > now:
                self.set_timer(lane, lane.wake_at)

    def dispatch(
        self,
        partition: Partition,
        lane: Lane,
        batches: Sequence[ClosedBatch],
        now: float,
        judged: Outcome | None = None,
    ) -> None:
        """Hand batches of the lane to the ledger as a new chain; `judged` as in Lane.dispatch."""
        core, tp = self._core, partition.tp
        wait, waits_for = 0.0, ""
        if lane.flight is not None and lane.flight.publish_after > now:
            wait, waits_for = lane.flight.publish_after - now, lane.flight.waits_for
        partition.dispatches += 1
        rows, size = rows_of(batches), sum(batch.size_bytes for batch in batches)
        first, last = rows[0][OFFSET], rows[-1][OFFSET]
        id = chain_id(core.config.group, tp, first, last, partition.owner.number, partition.dispatches)
        flight = lane.dispatch(id, batches, now, judged)
        flight.publish_after, flight.waits_for = now + wait if wait else 0.0, waits_for
        core.chains[id] = (tp, lane.index)
        core.in_flight.add(tp, lane.index, size)
        token = partition.owner.number * _TOKENS_PER_OWNER + partition.dispatches
        headers = headers_of(batches, flight.part_last)
        chain = Chain(id, lane.index, first, flight.part_last, token, flight.attempt, headers, size)
        core.emit(
            Dispatch(
                tp=tp,
                serial=partition.serial,
                owner=partition.owner,
                chain=chain,
                rows=rows,
                expect=lane.expect,
                base=partition.position,
                counters=lane.counters,
                links=flight.links,
                publish_after_s=wait,
                rule=partition.rule,
                judged=judged,
            )
        )

    def dispatched(self, event: ev.Dispatched, now: float) -> None:
        """The ledger has answered a dispatch."""
        self._core.repeats.succeeded(Service.LEDGER)
        partition = self._core.live(event.tp, event.serial)
        lane = partition.lanes.get(event.lane) if partition is not None else None
        if partition is None or lane is None or lane.flight is None or lane.phase is not Phase.DISPATCHING:
            return
        if lane.flight.chain != event.chain:
            return
        if event.answer is ev.DispatchAnswer.OK:
            lane.accept(self._core.sweeping.number, now)
            if lane.flight.publish_after:
                self._publish(partition, lane, 1, now)
            return
        self._drop_chain(partition, lane)
        lane.refuse(now)
        lane.flight.reading = self._core.sweeping.number
        if event.answer is ev.DispatchAnswer.CHANGED:
            self._core.sweeping.read_soon()
        else:
            partition.reassign("the ledger says that another owner has the partition")

    def published(self, event: ev.Published, now: float) -> None:
        """A link was published, or may have been."""
        if event.sure:
            self._core.repeats.succeeded(Service.CELERY)
        elif event.chain in self._core.chains:
            partition = self._core.partitions[event.tp]
            lane = partition.lanes[event.lane]
            assert lane.flight is not None
            again = _publish_effect(lane, lane.flight, partition.serial, event.link)
            self._core.repeats.failed(again, "the Celery broker cannot be reached", now, self._core.emit)

    # --- what the ledger holds -------------------------------------------------------------------------------------

    def take_up(self, partition: Partition, lane: Lane, entry: LaneEntry, read_ms: int, now: float) -> None:
        """Make the lane agree with what the ledger says of it; `read_ms` is the ledger's clock at that time."""
        unsure, lane.unsure = lane.unsure, False
        if lane.flight is not None and entry.chain and lane.flight.chain == entry.chain and not unsure:
            self._same_chain(partition, lane, entry, read_ms, now)
        elif partition.is_history(entry):
            if lane.flight is not None:
                self._drop_chain(partition, lane)
                lane.vanish(now)
            lane.skip_below(entry.watermark, now)
            lane.expect = entry.seen
        else:
            self._adopt(partition, lane, entry, read_ms, now)

    def _same_chain(self, partition: Partition, lane: Lane, entry: LaneEntry, read_ms: int, now: float) -> None:
        if lane.phase not in IN_FLIGHT and lane.phase is not Phase.DISPATCHING:
            if lane.phase is Phase.DISPOSING or (entry.outcome is not None and entry.seen != lane.expect):
                self._adopt(partition, lane, entry, read_ms, now)  # an older Redis came back, and it ran once more
        elif entry.outcome is not None:
            self.take_outcome(partition, lane, entry.seen, entry.outcome, now, adopted=True)
        else:
            if lane.phase is Phase.DISPATCHING:
                lane.accept(self._core.sweeping.number, now)
            if entry.claim is None:
                self._publish(partition, lane, entry.link, now)

    def _adopt(self, partition: Partition, lane: Lane, entry: LaneEntry, read_ms: int, now: float) -> None:
        self._drop_chain(partition, lane)
        lane.adopt(entry, now, self._core.sweeping.number)
        assert lane.flight is not None
        self._core.chains[entry.chain] = (partition.tp, lane.index)
        # the server's clock may have been set back since: nobody ever had to wait for longer than this
        early = min((entry.publish_after_ms - read_ms) / 1000.0, TERMINATE_WAIT)
        if early > 0 and entry.link == 1 and entry.claim is None and entry.outcome is None:
            self.supersede(lane, entry.superseded, now, wait=early)
        text = f"adopted chain {entry.chain}, link {entry.link} of {entry.links}"
        self._report("info", "adopted", text, partition, lane)
        if entry.outcome is not None:
            self.take_outcome(partition, lane, entry.seen, entry.outcome, now, adopted=True)
        elif entry.claim is None:
            self._publish(partition, lane, entry.link, now)

    def _publish(self, partition: Partition, lane: Lane, link: int, now: float) -> None:
        flight = lane.flight
        assert flight is not None
        if now < flight.publish_after:
            self.set_timer(lane, flight.publish_after)
            return
        self.stop_waiting(flight)
        if flight.is_hook and not lane.rules.on_failed:
            self.set_fault(lane, link, "not_registered", "", "NoHook", "the pipeline has no on_failed task any more")
            return
        if flight.links != flight.links_wanted(partition.rules):
            self._replace(partition, lane, now)
            return
        flight.published_at = now
        flight.publishes += 1
        self._core.emit(_publish_effect(lane, flight, partition.serial, link))

    def _replace(self, partition: Partition, lane: Lane, now: float) -> None:
        """The chain was made by an earlier declaration of another length and nobody runs it: what it carried goes
        again as the pipeline says now. A link that somebody runs is waited for."""
        assert lane.flight is not None
        text = f"chain {lane.flight.chain} has {lane.flight.links} links, the pipeline now {partition.rules.links}"
        self._report("warning", "replaced", f"{text}: its records go again in a new chain", partition, lane)
        expect = lane.expect
        self._drop_chain(partition, lane)
        lane.vanish(now)
        lane.expect = expect
        self.set_timer(lane, now)

    def publish_again(self, partition: Partition, lane: Lane, now: float) -> None:
        """The link in flight may never have reached its queue."""
        assert lane.flight is not None
        self._publish(partition, lane, lane.flight.link, now)

    def _drop_chain(self, partition: Partition, lane: Lane) -> None:
        if lane.flight is not None:
            self._core.chains.pop(lane.flight.chain, None)
        self._core.in_flight.remove(partition.tp, lane.index)

    # --- what chains report ----------------------------------------------------------------------------------------

    def take_outcome(
        self, partition: Partition, lane: Lane, seen: Seen, outcome: Outcome, now: float, *, adopted: bool = False
    ) -> None:
        """The lane's chain has reported. `adopted`: it may have done so long ago."""
        assert lane.flight is not None
        self._drop_chain(partition, lane)
        if _has_succeeded(lane.flight, outcome) and self._core.brake.succeeded():
            self._core.emit(Report("warning", "brake", "outage brake released: a batch has succeeded"))
        if lane.take_outcome(seen, outcome):
            self._core.disposing.take_outcome(lane, outcome, now, adopted=adopted)

    def supersede(self, lane: Lane, old: str, now: float, *, wait: float, worker: str = "") -> None:
        """Nothing of the lane is published before `wait` seconds are over, or the link `old` ("" unknown), which
        `worker` ("" unknown) runs, is dead."""
        flight = lane.flight
        assert flight is not None
        flight.publish_after, flight.waits_for = now + wait, old
        if old:
            self._superseded[old] = lane.tp, lane.index, worker
            self._core.emit(TerminateLinks((old,)))

    def stop_waiting(self, flight: Flight) -> None:
        """The superseded link is dead, or had its time."""
        self._superseded.pop(flight.waits_for, None)
        flight.publish_after, flight.waits_for = 0.0, ""

    def is_superseded(self, task_id: str) -> bool:
        """A link that must end before another may be published."""
        return task_id in self._superseded

    def superseded_link_ended(self, task_id: str, worker: str, now: float) -> None:
        """A link that had to be killed is dead, as `worker` ("" unknown) says: what waited for it may be published."""
        tp, index, runs_on = self._superseded.get(task_id, (None, 0, ""))
        if tp is None or (worker and runs_on and worker != runs_on):
            return  # another worker has thrown away a copy of its own
        del self._superseded[task_id]
        lane = self._core.partitions[tp].lanes.get(index)
        if lane is not None and lane.flight is not None and lane.flight.waits_for == task_id:
            lane.flight.publish_after = now
            self.set_timer(lane, now)

    def forget(self, tp: TopicPartition) -> None:
        """The partition is gone."""
        self._superseded = {link: where for link, where in self._superseded.items() if where[0] != tp}

    def fault_from_error(self, lane: Lane, link: int, event: ev.ErrorHeard) -> None:
        """Celery reports what our own code cannot: turn it into an outcome, if it still applies."""
        found = told_by_celery(event)
        if found is None or lane.flight is None:
            return
        kind, claimed_by = found
        self.set_fault(lane, link, kind, claimed_by, event.exception, event.message)

    def set_fault(
        self, lane: Lane, link: int, kind: FailureKind, claimed_by: str, exception: str, message: str
    ) -> None:
        """Ask the ledger to give the chain in flight this outcome; everything from its first record on is open."""
        flight = lane.flight
        assert flight is not None
        if flight.judged is not None:
            outcome = _hook_fault(flight.judged, kind, f"{exception}: {message}")
        else:
            at = max(flight.first, lane.watermark)
            task = flight.task(lane.rules, link)
            failure = Failure(at, kind, link=link, task=task, exception=exception, message=message)
            outcome = Outcome("failed", at, failure)
        self._core.emit(SetFault(lane.tp, lane.index, flight.chain, link, claimed_by, outcome))

    # --- time ------------------------------------------------------------------------------------------------------

    def set_timer(self, lane: Lane, at: float) -> None:
        """The lane is looked at again at `at`, at the latest."""
        if at == float("inf") or at >= lane.timer_at:
            return
        lane.timer_at = at
        self._timer_number += 1
        heapq.heappush(self._timers, (at, self._timer_number, lane.tp, lane.index))

    def run_timers(self, now: float) -> None:
        """Look at the lanes whose time has come, and at those that waited for room."""
        while self._timers and self._timers[0][0] <= now:
            at, _, tp, index = heapq.heappop(self._timers)
            partition = self._core.partitions.get(tp)
            lane = partition.lanes.get(index) if partition is not None else None
            if partition is None or lane is None or lane.timer_at != at:
                continue
            lane.timer_at = float("inf")
            if lane.flight is not None and lane.phase in IN_FLIGHT:
                if lane.flight.publish_after:
                    self._publish(partition, lane, lane.flight.link, now)
            else:
                self.consider(partition, lane, now)
        self._feed_starved(now)

    def _feed_starved(self, now: float) -> None:
        while self._starved and self._core.in_flight.has_room():
            tp, index = next(iter(self._starved))
            del self._starved[tp, index]
            partition = self._core.partitions.get(tp)
            lane = partition.lanes.get(index) if partition is not None else None
            if partition is None or lane is None or not partition.is_active or self._core.stopping:
                continue
            if lane.phase is not Phase.DISPOSING and not self._is_paused(lane):
                self._let_go(partition, lane, now)

    @property
    def wake_at(self) -> float:
        """When the next lane's time comes."""
        return self._timers[0][0] if self._timers else float("inf")

    def _report(self, level: Level, action: str, text: str, partition: Partition, lane: Lane) -> None:
        self._core.emit(Report(level, action, text, partition.tp, lane.index, *name_and_attempt(lane.flight)))


def _publish_effect(lane: Lane, flight: Flight, serial: int, link: int) -> PublishLink:
    return PublishLink(
        lane.tp, serial, lane.index, flight.chain, link, flight.first, flight.part_last, is_hook=flight.is_hook
    )


def _has_succeeded(flight: Flight, outcome: Outcome) -> bool:
    """The chain has got records through the pipeline."""
    if flight.is_hook:
        return False
    if outcome.kind == "ok":
        return True
    rejected = {each.offset for each in outcome.rejected}
    return any(row[OFFSET] < outcome.next_offset and row[OFFSET] not in rejected for row in flight.rows)


def _hook_fault(judged: Outcome, kind: FailureKind, error: str) -> Outcome:
    """The on_failed task did not answer: what it was asked about is dead-lettered, unless nothing has run yet."""
    if not COUNTED[kind]:
        return replace(judged, hook_error=error)
    asked = tuple(Decided(offset, "dead_letter") for offset in judged.at_stake)
    return replace(judged, decided=(*judged.decided, *asked), hook_error=error)
