"""Counts what a bridge does, from what its core is told and what it asks for. The core itself counts nothing.

A look at an event costs a few dictionary operations, whatever number of records it carries: a batch is counted by its
length, and what a chain has finished is found in its rows by bisection. One thread, the loop's, uses a Meter.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.repeats import SERVICE_OF, Service
from bridge.entries import LaneEntry, Outcome, PartitionEntry
from bridge.ops.totals import REBALANCES, SECONDS_BOUNDS, SIZE_BOUNDS, Distribution, Rebalance, Totals, Work
from bridge.records import OFFSET, Row, TopicPartition

#: the words for services in metrics
SERVICES: dict[Service, str] = {
    Service.KAFKA: "kafka",
    Service.LEDGER: "ledger",
    Service.CELERY: "celery",
    Service.DEAD_LETTERS: "dead_letters",
}

SKIPPED = "skipped"


class _Values:
    """A histogram that is being filled."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def frozen(self) -> Distribution:
        return Distribution(tuple(self._counts), self._sum)


@dataclass(slots=True)
class _TopicWork:
    finished: int = 0
    retries: int = 0
    handoffs: int = 0
    batches: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    disposed: Counter[str] = field(default_factory=Counter)
    sizes: _Values = field(default_factory=lambda: _Values(SIZE_BOUNDS))
    round_trips: _Values = field(default_factory=lambda: _Values(SECONDS_BOUNDS))

    def frozen(self, letters_pending: int) -> Work:
        return Work(
            finished=self.finished,
            batches=dict(self.batches),
            sizes=self.sizes.frozen(),
            round_trips=self.round_trips.frozen(),
            failures=dict(self.failures),
            retries=self.retries,
            disposed=dict(self.disposed),
            letters_pending=letters_pending,
            handoffs=self.handoffs,
        )


@dataclass(frozen=True, slots=True)
class _Flight:
    """A chain whose outcome is waited for. `rows` are None when another owner dispatched it."""

    chain: str
    at: float
    last: int
    rows: Sequence[Row] | None
    is_hook: bool


@dataclass(slots=True)
class _Disposal:
    """Records of a lane that are being given up: dead letters by disposition, and those that are skipped."""

    number: int
    letters: Counter[str]
    skipped: int
    is_written: bool = False


@dataclass(slots=True)
class _Lane:
    """What is known of a lane; `reach` is the last offset that was ever dispatched in it."""

    flight: _Flight | None = None
    reach: int = -1
    skips: int = 0
    disposal: _Disposal | None = None

    @property
    def letters_pending(self) -> int:
        waiting = self.disposal is not None and not self.disposal.is_written
        return self.disposal.letters.total() if self.disposal is not None and waiting else 0


@dataclass(slots=True)
class _Partition:
    """`entry` is what the ledger said last."""

    lanes: dict[int, _Lane] = field(default_factory=dict)
    entry: PartitionEntry | None = None

    def lane(self, index: int) -> _Lane:
        return self.lanes.setdefault(index, _Lane())


class Meter:
    """Sees every event with its effects; `totals` says what it has counted."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._topics: dict[str, _TopicWork] = {}
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._commits = self._commit_errors = 0
        self._rebalances: deque[Rebalance] = deque(maxlen=REBALANCES)
        self._rebalance_counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()

    def observe(self, event: ev.Event, effects: Iterable[ef.Effect], now: float) -> None:
        """The core was told `event` at time `now` (seconds, its clock), and wants `effects`."""
        if (heard := EVENTS.get(type(event))) is not None:
            heard(self, event, now)
        for effect in effects:
            if (wanted := EFFECTS.get(type(effect))) is not None:
                wanted(self, effect, now)

    def totals(self) -> Totals:
        """Everything up to now."""
        pending: Counter[str] = Counter()
        for tp, partition in self._partitions.items():
            pending[tp.topic] += sum(lane.letters_pending for lane in partition.lanes.values())
        topics = {topic: work.frozen(pending[topic]) for topic, work in sorted(self._topics.items())}
        return _sum_of(
            topics,
            commits=self._commits,
            commit_errors=self._commit_errors,
            rebalances=tuple(self._rebalances),
            rebalance_counts=dict(self._rebalance_counts),
            errors=dict(self._errors),
        )

    def _work(self, topic: str) -> _TopicWork:
        found = self._topics.get(topic)
        if found is None:
            found = self._topics[topic] = _TopicWork()
        return found

    def _partition(self, tp: TopicPartition) -> _Partition:
        found = self._partitions.get(tp)
        if found is None:
            found = self._partitions[tp] = _Partition()
        return found

    # --- the group ---------------------------------------------------------------------------------------------------

    def _rebalanced(self, event: ev.Assigned | ev.Revoked | ev.Lost, now: float) -> None:
        kind = REBALANCE_KINDS[type(event)]
        self._rebalance_counts[kind] += 1
        for tp in event.partitions:
            self._partitions.pop(tp, None)
            if kind == "assigned":
                self._partitions[tp] = _Partition()
        if event.partitions:
            names = tuple(str(tp) for tp in sorted(event.partitions))
            self._rebalances.append(Rebalance(int(self._wall_clock() * 1000), kind, names))

    def _commit_answered(self, event: ev.CommitAnswered, now: float) -> None:
        """One commit for all its partitions: confirmed when it is for each."""
        if all(answer is ev.CommitAnswer.OK for _, _, answer, _ in event.answers.values()):
            self._commits += 1
        else:
            self._commit_errors += 1

    def _effect_failed(self, event: ev.EffectFailed, now: float) -> None:
        self._errors[SERVICES[SERVICE_OF.get(type(event.effect), Service.LEDGER)]] += 1

    def _published(self, event: ev.Published, now: float) -> None:
        if not event.sure:
            self._errors[SERVICES[Service.CELERY]] += 1

    # --- chains ------------------------------------------------------------------------------------------------------

    def _dispatch(self, effect: ef.Dispatch, now: float) -> None:
        chain, lane = effect.chain, self._partition(effect.tp).lane(effect.chain.lane)
        if lane.flight is not None and lane.flight.chain == chain.id:
            return  # the ledger did not answer: the same again
        is_hook = effect.judged is not None
        lane.flight = _Flight(chain.id, now, chain.last, effect.rows, is_hook)
        if is_hook:
            return
        lane.disposal = None
        work = self._work(effect.tp.topic)
        if chain.attempt == 1 and chain.first > lane.reach:
            for batch in chain.batches:
                work.batches[batch.trigger] += 1
                work.sizes.add(batch.count)
        else:
            work.retries += 1
        lane.reach = max(lane.reach, chain.last)

    def _reported(self, effect: ef.Report, now: float) -> None:
        """What no other effect tells: a chain is taken up, a record is skipped, an assignment begins anew."""
        if effect.tp is None or effect.action not in REPORTS:
            return
        if effect.lane is None:
            self._partitions[effect.tp] = _Partition()
        elif effect.action == SKIPPED:
            self._partition(effect.tp).lane(effect.lane).skips += 1
        else:
            self._adopted(effect.tp, effect.lane, now)

    def _adopted(self, tp: TopicPartition, index: int, now: float) -> None:
        partition = self._partition(tp)
        entry = partition.entry.lanes.get(index) if partition.entry is not None else None
        lane = partition.lane(index)
        if entry is None or (lane.flight is not None and lane.flight.chain == entry.chain):
            return
        if entry.reach > lane.reach:
            self._work(tp.topic).handoffs += 1
        is_hook = entry.judged is not None
        lane.flight = _Flight(entry.chain, now, entry.last, None, is_hook) if entry.outcome is None else None
        lane.reach = max(lane.reach, entry.reach)

    def _outcome_heard(self, event: ev.OutcomeHeard, now: float) -> None:
        partition = self._partitions.get(event.tp)
        lane = partition.lanes.get(event.lane) if partition is not None else None
        if lane is not None and lane.flight is not None and lane.flight.chain == event.seen.chain:
            self._ended(event.tp.topic, lane, lane.flight, event.outcome, now)

    def _owner_assigned(self, event: ev.OwnerAssigned, now: float) -> None:
        self._read(event.tp, event.entry, now)

    def _lanes_read(self, event: ev.LanesRead, now: float) -> None:
        for tp, (_, entry) in event.entries.items():
            self._read(tp, entry, now)

    def _read(self, tp: TopicPartition, entry: PartitionEntry, now: float) -> None:
        """What the ledger holds: outcomes that no notice told."""
        partition = self._partitions.get(tp)
        if partition is None:
            return
        partition.entry = entry
        for index, lane in partition.lanes.items():
            found = entry.lanes.get(index)
            if found is not None and lane.flight is not None and _has_reported(found, lane.flight):
                assert found.outcome is not None
                self._ended(tp.topic, lane, lane.flight, found.outcome, now)

    def _ended(self, topic: str, lane: _Lane, flight: _Flight, outcome: Outcome, now: float) -> None:
        lane.flight = None
        if flight.is_hook:
            return
        work = self._work(topic)
        if outcome.failure is not None:
            work.failures[outcome.failure.kind] += 1
        elif outcome.next_offset <= flight.last:
            work.failures["failed"] += 1
        if flight.rows is not None:
            work.round_trips.add(now - flight.at)
            below = bisect_left(flight.rows, outcome.next_offset, key=itemgetter(OFFSET))
            work.finished += below - len(outcome.rejected)

    # --- records that are given up -----------------------------------------------------------------------------------

    def _write_letters(self, effect: ef.WriteDeadLetters, now: float) -> None:
        letters = Counter[str](letter.disposition for letter in effect.letters)
        self._begin_disposal(effect, letters)

    def _settle(self, effect: ef.Settle, now: float) -> None:
        self._begin_disposal(effect, Counter())

    def _begin_disposal(self, effect: ef.WriteDeadLetters | ef.Settle, letters: Counter[str]) -> None:
        lane = self._partition(effect.tp).lane(effect.lane)
        if lane.disposal is None or lane.disposal.number != effect.number:
            lane.disposal, lane.skips = _Disposal(effect.number, letters, lane.skips), 0

    def _letters_written(self, event: ev.DeadLettersWritten, now: float) -> None:
        disposal = self._disposal(event)
        if disposal is not None and event.is_owner and not disposal.is_written:
            disposal.is_written = True
            work = self._work(event.tp.topic)
            work.disposed.update(disposal.letters)
            work.finished += disposal.letters.total()

    def _settled(self, event: ev.Settled, now: float) -> None:
        disposal = self._disposal(event)
        if disposal is not None and event.accepted:
            self._partition(event.tp).lane(event.lane).disposal = None
            if disposal.skipped:
                work = self._work(event.tp.topic)
                work.disposed[SKIPPED] += disposal.skipped
                work.finished += disposal.skipped

    def _disposal(self, event: ev.DeadLettersWritten | ev.Settled) -> _Disposal | None:
        partition = self._partitions.get(event.tp)
        lane = partition.lanes.get(event.lane) if partition is not None else None
        disposal = lane.disposal if lane is not None else None
        return disposal if disposal is not None and disposal.number == event.number else None


def _has_reported(entry: LaneEntry, flight: _Flight) -> bool:
    return entry.chain == flight.chain and entry.outcome is not None


def _sum_of(topics: dict[str, Work], **of_bridge: object) -> Totals:
    """The totals of a bridge with this work, by topic."""
    each = topics.values()
    return Totals(
        finished=sum(work.finished for work in each),
        batches=_together(work.batches for work in each),
        sizes=_merged(work.sizes for work in each),
        round_trips=_merged(work.round_trips for work in each),
        failures=_together(work.failures for work in each),
        retries=sum(work.retries for work in each),
        disposed=_together(work.disposed for work in each),
        letters_pending=sum(work.letters_pending for work in each),
        handoffs=sum(work.handoffs for work in each),
        topics=topics,
        **of_bridge,  # type: ignore[arg-type]
    )


def _together(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    return dict(sum((Counter(each) for each in counts), Counter[str]()))


def _merged(distributions: Iterable[Distribution]) -> Distribution:
    each = list(distributions)
    counts = tuple(map(sum, zip(*(one.counts for one in each), strict=True)))
    return Distribution(counts, sum(one.sum for one in each))


REBALANCE_KINDS: dict[type, str] = {ev.Assigned: "assigned", ev.Revoked: "revoked", ev.Lost: "lost"}

#: the reports that tell what nothing else does
REPORTS = frozenset({"adopted", "anew", SKIPPED})

EVENTS: dict[type, Callable[..., None]] = {
    ev.Assigned: Meter._rebalanced,
    ev.Revoked: Meter._rebalanced,
    ev.Lost: Meter._rebalanced,
    ev.OwnerAssigned: Meter._owner_assigned,
    ev.LanesRead: Meter._lanes_read,
    ev.OutcomeHeard: Meter._outcome_heard,
    ev.CommitAnswered: Meter._commit_answered,
    ev.EffectFailed: Meter._effect_failed,
    ev.Published: Meter._published,
    ev.DeadLettersWritten: Meter._letters_written,
    ev.Settled: Meter._settled,
}

EFFECTS: dict[type, Callable[..., None]] = {
    ef.Dispatch: Meter._dispatch,
    ef.WriteDeadLetters: Meter._write_letters,
    ef.Settle: Meter._settle,
    ef.Report: Meter._reported,
}
