"""The whole bridge as a state machine: events in, effects out. No clock, no thread, no I/O.

Everything that affects what the bridge does is in this package. `Core.handle(event, now)` takes one event and
returns the effects; HANDLERS says who handles what. Answers of an assignment that is no longer live are dropped.
An effect that failed is repeated with back-off as long as it still makes sense (`Repeats`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from random import Random

from bridge.core import events as ev
from bridge.core.assignment import NOTHING_REACHED, RECREATED, Reached
from bridge.core.brake import Brake
from bridge.core.commits import Commits
from bridge.core.config import CoreConfig
from bridge.core.dispatching import Dispatching
from bridge.core.disposing import Disposing
from bridge.core.effects import (
    ChangeRule,
    ClearLedger,
    Commit,
    CommitEntry,
    Effect,
    GiveUp,
    ReadLanes,
    Report,
    WriteDeadLetters,
)
from bridge.core.lane import IN_FLIGHT, Lane, Phase
from bridge.core.limits import Buffers, InFlight
from bridge.core.operators import Operators
from bridge.core.partition import Partition, PartitionConfig, Stage
from bridge.core.repeats import Repeats, Service, is_sensible
from bridge.core.sweeping import Sweeping
from bridge.entries import LaneEntry, chain_of
from bridge.records import TopicPartition

__all__ = ["HANDLERS", "Core", "CoreConfig"]

#: seconds between two events at the most, a Tick if there is no other: who gets none stands still
LONGEST_SILENCE = 1.0


class Core:
    """The state of one bridge process."""

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.partitions: dict[TopicPartition, Partition] = {}
        self.random = Random(config.seed)
        self.buffers = Buffers(config.buffer_bytes, self.emit)
        self.in_flight = InFlight(config.in_flight_bytes)
        self.commits = Commits(config.commit_interval)
        self.repeats = Repeats()
        self.brake = Brake(config.brake_limit, config.brake_lanes)
        self.dispatching = Dispatching(self)
        self.disposing = Disposing(self)
        self.sweeping = Sweeping(self)
        self.operators = Operators(self)
        #: chain id -> where it is, for every chain in flight
        self.chains: dict[str, tuple[TopicPartition, int]] = {}
        self.flush_ends: dict[TopicPartition, int] = {}
        self.stopping = False
        #: the time of the event that is being handled
        self.now = 0.0
        #: partitions whose ledger is going to be cleared
        self._clearing: dict[TopicPartition, Partition] = {}
        self._for_partitions = PartitionConfig(
            config.group,
            config.start_from,
            next_serial=count(1).__next__,
            wants_commit=self.commits.wants,
            wants_confirm=self.commits.wants_confirm,
            clock=lambda: self.now,
        )
        self._out: list[Effect] = []

    def handle(self, event: ev.Event, now: float) -> list[Effect]:
        """One event at time `now` (seconds, monotonic, never going back); returns the effects in order."""
        stood_still, self.now = now - self.now, now
        if stood_still > self.config.frozen_after:
            self._ask_for_ownership(stood_still)
        HANDLERS[type(event)](self, event, now)
        self._do_what_is_due(now)
        out, self._out = self._out, []
        return out

    def _ask_for_ownership(self, stood_still: float) -> None:
        """This process may be a zombie: nothing is dispatched before the broker has confirmed it again."""
        for partition in self.partitions.values():
            if partition.is_active:
                partition.reassign(f"this process stood still for {stood_still:.0f} s")

    def _do_what_is_due(self, now: float) -> None:
        """What time alone brings about: after every event, so that a stream of events cannot hold it up."""
        for partition in list(self._clearing.values()):
            self._clear_when_due(partition, now)
        self.sweeping.read_when_due(now)
        self.dispatching.run_timers(now)
        for effect in self.repeats.due(now):
            if is_sensible(self, effect):
                self._repeat(effect)
        self._commit(now)

    def _repeat(self, effect: Effect) -> None:
        """What deletes may still come about, much later: it is not sent twice, a new owner number makes it void."""
        if isinstance(effect, (ClearLedger, ChangeRule)):
            self.partitions[effect.tp].reassign("the ledger did not answer")
        else:
            self.emit(effect)

    def emit(self, effect: Effect) -> None:
        """Add an effect to what the current event brings about."""
        self._out.append(effect)

    @property
    def wake_at(self) -> float:
        """The latest time at which the next event, a Tick if there is no other, must come."""
        clear = min((partition.clear_at for partition in self._clearing.values()), default=float("inf"))
        due = min(self.dispatching.wake_at, self.repeats.wake_at, self.commits.wake_at, clear, self.sweeping.wake_at)
        return min(due, self.now + LONGEST_SILENCE)

    @property
    def awaits_answers(self) -> bool:
        """Workers, the ledger or Kafka have been asked for something that the next step waits for."""
        if self.chains or self.disposing.awaits_answers():
            return True
        return not all(partition.is_active for partition in self.partitions.values())

    @property
    def awaits_commit(self) -> bool:
        """Another commit follows as soon as the one in flight is answered."""
        return self.commits.awaits_answer(self.partitions)

    def live(self, tp: TopicPartition, serial: int) -> Partition | None:
        """The partition if this very assignment is still live."""
        partition = self.partitions.get(tp)
        return partition if partition is not None and partition.serial == serial else None

    # --- the group -------------------------------------------------------------------------------------------------

    def _assigned(self, event: ev.Assigned, now: float) -> None:
        for tp in event.partitions:
            self.start_assignment(tp)

    def begin_anew(self, partition: Partition, why: str) -> None:
        """The same assignment begins anew, without lanes and rows."""
        self.emit(Report("error", "anew", f"assigning anew: {why}", partition.tp))
        self.start_assignment(partition.tp, Reached(partition.topic_id, partition.position))

    def start_assignment(self, tp: TopicPartition, reached: Reached = NOTHING_REACHED) -> None:
        """A new assignment of the partition begins; what was known of it is forgotten."""
        self.forget(tp)
        rules = self.config.rules_of(tp.topic)
        partition = Partition(tp, rules, self._for_partitions, self.emit, reached)
        partition.flush_end = self.flush_ends.get(tp)
        self.partitions[tp] = partition
        partition.begin()

    def _revoked(self, event: ev.Revoked, now: float) -> None:
        last: dict[TopicPartition, CommitEntry] = {}
        for tp in event.partitions:
            partition = self.partitions.get(tp)
            if partition is not None and partition.is_active and (entry := partition.wanted_commit) is not None:
                last[tp] = entry
            self.forget(tp)
        if last:
            self.emit(Commit(last))

    def _lost(self, event: ev.Lost, now: float) -> None:
        for tp in event.partitions:
            self.forget(tp)

    def forget(self, tp: TopicPartition) -> None:
        """Nothing more is done for this assignment; its chains stay in the ledger for the next owner."""
        partition = self.partitions.pop(tp, None)
        if partition is None:
            return
        for lane in partition.lanes.values():
            if lane.flight is not None:
                self.chains.pop(lane.flight.chain, None)
        self.commits.forget(tp)
        self._clearing.pop(tp, None)
        self.dispatching.forget(tp)
        self.brake.forget(tp)
        self.in_flight.forget(tp)
        self.buffers.leave(tp)

    # --- the assignment's answers ----------------------------------------------------------------------------------

    def _kafka_answered(self, event: ev.KafkaAnswered, now: float) -> None:
        self.repeats.succeeded(Service.KAFKA)
        if (partition := self.live(event.tp, event.serial)) is None:
            return
        was_relocating = partition.relocating
        partition.kafka_answered(event, now)
        if partition.must_restart:
            self.begin_anew(partition, partition.must_restart)
        elif partition.stage is Stage.CLEARING:
            self._clearing[partition.tp] = partition
        elif was_relocating and not partition.relocating:
            self.buffers.start(partition.tp)
            self.settle_down(partition, partition.lanes.values(), now)

    def _owner_assigned(self, event: ev.OwnerAssigned, now: float) -> None:
        self.repeats.succeeded(Service.LEDGER)
        if (partition := self.live(event.tp, event.serial)) is not None:
            partition.owner_assigned(event.entry)

    def _clear_when_due(self, partition: Partition, now: float) -> None:
        if now >= partition.clear_at:
            del self._clearing[partition.tp]
            partition.clear()

    def _cleared(self, event: ev.Cleared, now: float) -> None:
        self.repeats.succeeded(Service.LEDGER)
        if (partition := self.live(event.tp, event.serial)) is not None:
            partition.cleared(event.accepted)

    def _restored(self, event: ev.Restored, now: float) -> None:
        self.repeats.succeeded(Service.LEDGER)
        partition = self.live(event.tp, event.serial)
        if partition is None or not partition.restored(event.accepted):
            return
        if partition.tp not in self.buffers:
            self.buffers.start(partition.tp)
        for lane in list(partition.lanes.values()):
            entry = partition.entry.lanes.get(lane.index, LaneEntry(lane.index))
            self.dispatching.take_up(partition, lane, entry, partition.entry.now_ms, now)
        self.sweeping.read_soon()
        self.settle_down(partition, partition.lanes.values(), now)

    def _rule_changed(self, event: ev.RuleChanged, now: float) -> None:
        self.repeats.succeeded(Service.LEDGER)
        if (partition := self.live(event.tp, event.serial)) is not None:
            lanes = partition.rule_changed(event.accepted, now)
            if event.accepted:
                self.brake.forget(event.tp)
            self.settle_down(partition, lanes, now)

    # --- records ---------------------------------------------------------------------------------------------------

    def _fetched(self, event: ev.Fetched, now: float) -> None:
        partition = self.partitions.get(event.tp)
        if partition is None or partition.expected is None or not event.rows:
            return
        if event.rows[0][0] < partition.expected:
            self.begin_anew(partition, f"offset {event.rows[0][0]} came, {partition.expected} was expected")
            return
        # a lane may have waited for records of its own that turn out not to be there any more
        waiting = [lane for lane in partition.lanes.values() if lane.flight and lane.flight.last >= partition.expected]
        self.settle_down(partition, [*partition.receive(event.rows, now), *waiting], now)

    def _end_of_log(self, event: ev.EndOfLog, now: float) -> None:
        if (partition := self.partitions.get(event.tp)) is not None:
            partition.end_of_log(event.offset)
            self.settle_down(partition, partition.lanes.values(), now)

    def _offset_missing(self, event: ev.OffsetMissing, now: float) -> None:
        if (partition := self.partitions.get(event.tp)) is not None:
            partition.offset_missing()

    def _topics_seen(self, event: ev.TopicsSeen, now: float) -> None:
        for partition in list(self.partitions.values()):
            found = event.ids.get(partition.tp.topic)
            if found and partition.is_active and found != partition.topic_id:
                self.begin_anew(partition, RECREATED)

    def _flush(self, event: ev.Flush, now: float) -> None:
        self.flush_ends.update(event.ends)
        for tp, end in event.ends.items():
            if (partition := self.partitions.get(tp)) is not None:
                partition.flush_end = end
                self.settle_down(partition, partition.lanes.values(), now)

    def settle_down(self, partition: Partition, lanes: Iterable[Lane], now: float) -> None:
        """After lanes have changed: move the position, count memory, dispatch what may go."""
        held = partition.held_bytes
        for lane in lanes:
            held = partition.weigh(lane)
            self.report_predicate(partition, lane)
        partition.advance()
        if partition.expected is not None:
            self.buffers.update(partition.tp, held, exempt=partition.must_read_on)
        for lane in lanes:
            self.dispatching.consider(partition, lane, now)

    def report_predicate(self, partition: Partition, lane: Lane) -> None:
        """The user's `close_batch` raised: say so, the batch goes on by size and time."""
        if (error := lane.batcher.predicate_error) is not None:
            lane.batcher.predicate_error = None
            text = f"close_batch of pipeline {partition.rules.name} raised {error}; the batch stays open"
            self.emit(Report("error", "close_batch", text, partition.tp, lane.index))

    # --- chains ----------------------------------------------------------------------------------------------------

    def _outcome_heard(self, event: ev.OutcomeHeard, now: float) -> None:
        partition = self.partitions.get(event.tp)
        lane = partition.lanes.get(event.lane) if partition is not None else None
        if partition is None or lane is None or lane.flight is None or lane.flight.chain != event.seen.chain:
            return
        if lane.phase in IN_FLIGHT or lane.phase is Phase.DISPATCHING:
            self.dispatching.take_outcome(partition, lane, event.seen, event.outcome, now)
            self.settle_down(partition, (lane,), now)

    def _error_heard(self, event: ev.ErrorHeard, now: float) -> None:
        if event.has_ended:
            for partition in self._clearing.values():
                partition.link_ended(event.link_id, event.worker, now)
            self.dispatching.superseded_link_ended(event.link_id, event.worker, now)
        chain, link = chain_of(event.link_id)
        if chain in self.chains:
            tp, index = self.chains[chain]
            self.dispatching.fault_from_error(self.partitions[tp].lanes[index], link, event)

    # --- commits ---------------------------------------------------------------------------------------------------

    def _commit(self, now: float) -> None:
        if (commit := self.commits.due(self.partitions, now)) is not None:
            self.emit(commit)

    def _commit_answered(self, event: ev.CommitAnswered, now: float) -> None:
        self.repeats.succeeded(Service.KAFKA)
        self.commits.answered(event.answers, now)
        for tp, (serial, offset, answer, text) in event.answers.items():
            partition = self.live(tp, serial)
            if partition is None:
                continue
            if answer is ev.CommitAnswer.OK:
                partition.commit_confirmed(offset)
                if partition.wanted_commit is None:
                    self.commits.forget(tp)  # nobody need wake up to find that out
            elif answer is ev.CommitAnswer.FENCED:
                self.forget(tp)
                self.emit(GiveUp(f"the group has fenced this member: {text}"))
            else:
                if partition.stage is Stage.CONFIRMING:
                    self.commits.hurry()
                again = "the commit is submitted again"
                self.emit(Report("warning", "commit", f"commit of {offset} not confirmed: {text}; {again}", tp))

    # --- the rest --------------------------------------------------------------------------------------------------

    def _effect_failed(self, event: ev.EffectFailed, now: float) -> None:
        effect = event.effect
        self.repeats.failed(effect, event.error, now, self.emit)
        if isinstance(effect, ReadLanes):
            self.sweeping.reading_failed(effect.number, now)
        elif isinstance(effect, Commit):
            self.commits.failed(now)
        elif isinstance(effect, WriteDeadLetters):
            self.disposing.failed(effect, event.error)

    def _lanes_read(self, event: ev.LanesRead, now: float) -> None:
        self.repeats.succeeded(Service.LEDGER)
        self.sweeping.lanes_read(event, now)

    def _stop(self, event: ev.Stop, now: float) -> None:
        self.stopping = True

    def _tick(self, event: ev.Tick, now: float) -> None:
        """Nothing but time: see `_do_what_is_due`."""


HANDLERS: dict[type, Callable[..., None]] = {
    ev.Assigned: Core._assigned,
    ev.Revoked: Core._revoked,
    ev.Lost: Core._lost,
    ev.KafkaAnswered: Core._kafka_answered,
    ev.OwnerAssigned: Core._owner_assigned,
    ev.Cleared: Core._cleared,
    ev.Restored: Core._restored,
    ev.RuleChanged: Core._rule_changed,
    ev.Fetched: Core._fetched,
    ev.EndOfLog: Core._end_of_log,
    ev.OffsetMissing: Core._offset_missing,
    ev.TopicsSeen: Core._topics_seen,
    ev.CommitAnswered: Core._commit_answered,
    ev.Dispatched: lambda core, event, now: core.dispatching.dispatched(event, now),
    ev.Published: lambda core, event, now: core.dispatching.published(event, now),
    ev.DeadLettersWritten: lambda core, event, now: core.disposing.written(event, now),
    ev.Settled: lambda core, event, now: core.disposing.settled(event, now),
    ev.OutcomeHeard: Core._outcome_heard,
    ev.ErrorHeard: Core._error_heard,
    ev.LanesRead: Core._lanes_read,
    ev.Instructed: lambda core, event, now: core.operators.instructed(event, now),
    ev.EffectFailed: Core._effect_failed,
    ev.Tick: Core._tick,
    ev.Flush: Core._flush,
    ev.Stop: Core._stop,
}
