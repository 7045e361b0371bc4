"""One lane: an ordered stream of records with at most one chain in flight.

Everything that moves a lane's phase is in TABLE. Records below `watermark` are finished. The rows of a flight stay
here until its chain has reported, so that a new attempt needs no second read. `expect` is what the ledger held when
we last looked: the next dispatch replaces exactly that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bridge.core.batching import ROW_OVERHEAD_BYTES, Batcher, ClosedBatch, rows_bytes, rows_of
from bridge.core.failures import Decision, Verdict
from bridge.core.flight import Flight
from bridge.core.isolation import moved, part_of
from bridge.core.trains import Pace, cut_anew, headers_of, uncouple
from bridge.entries import NOTHING_SEEN, Counters, LaneEntry, Outcome, Seen, failure_of
from bridge.records import OFFSET, PipelineRules, Row, TopicPartition


class Phase(Enum):
    """Where a lane stands."""

    FREE = "free"
    DISPATCHING = "dispatching"
    RUNNING = "running"
    ADOPTED = "adopted"
    RETRYING = "retrying"
    DISPOSING = "disposing"
    STOPPED = "stopped"


class Signal(Enum):
    """What moves a lane."""

    DISPATCH = "a batch is handed to the ledger"
    ACCEPT = "the ledger took it"
    REFUSE = "the ledger refused it: not owner, or the lane changed"
    FINISH = "every record of the chain is finished"
    FAIL = "records are unfinished and go again, or for the first time"
    DISPOSE = "records are given up: each is disposed of before anything else goes"
    STOP = "the policy for a record that is given up is to stop"
    VANISH = "the ledger does not know the chain any more"
    ADOPT = "the ledger holds a chain that this lane did not know"


F, D, R, A = Phase.FREE, Phase.DISPATCHING, Phase.RUNNING, Phase.ADOPTED
W, P, S = Phase.RETRYING, Phase.DISPOSING, Phase.STOPPED

TABLE: dict[tuple[Phase, Signal], Phase] = {
    (F, Signal.DISPATCH): D,
    (F, Signal.ADOPT): A,
    (D, Signal.ACCEPT): R,
    (D, Signal.REFUSE): W,
    (D, Signal.FINISH): F,
    (D, Signal.FAIL): W,
    (D, Signal.DISPOSE): P,
    (D, Signal.VANISH): W,
    (D, Signal.ADOPT): A,
    (R, Signal.FINISH): F,
    (R, Signal.FAIL): W,
    (R, Signal.DISPOSE): P,
    (R, Signal.VANISH): W,
    (R, Signal.ADOPT): A,
    (A, Signal.FINISH): F,
    (A, Signal.FAIL): W,
    (A, Signal.DISPOSE): P,
    (A, Signal.VANISH): W,
    (A, Signal.ADOPT): A,
    (W, Signal.DISPATCH): D,
    (W, Signal.FINISH): F,
    (W, Signal.DISPOSE): P,
    (W, Signal.VANISH): W,
    (W, Signal.ADOPT): A,
    (P, Signal.DISPATCH): D,
    (P, Signal.FINISH): F,
    (P, Signal.FAIL): W,
    (P, Signal.STOP): S,
    (P, Signal.VANISH): W,
    (P, Signal.ADOPT): A,
    (S, Signal.FAIL): W,
    (S, Signal.DISPOSE): P,
    (S, Signal.VANISH): S,
    (S, Signal.ADOPT): A,
}

#: the phases in which the ledger holds our chain and no outcome has been heard
IN_FLIGHT = frozenset({Phase.RUNNING, Phase.ADOPTED})

#: the phases in which a lane waits behind an outcome
WAITING = frozenset({Phase.RETRYING, Phase.DISPOSING, Phase.STOPPED})


@dataclass(frozen=True, slots=True)
class Writing:
    """Records are being disposed of: what is under way, the watermark when it is done, why, in words, and the offsets
    that are skipped because an operator wants it."""

    number: int
    upto: int
    letters: int
    why: str
    skipped: frozenset[int] = frozenset()


class Lane:
    """The state of one lane. Methods return what the partition needs to know; they never do I/O."""

    def __init__(self, tp: TopicPartition, index: int, rules: PipelineRules, watermark: int = -1) -> None:
        self.tp = tp
        self.index = index
        self.rules = rules
        self.phase = Phase.FREE
        self.watermark = watermark
        self.batcher = Batcher(tp, rules)
        self.pace = Pace(rules)
        #: batches that begin here or before go alone: the chain that had them stopped
        self.alone_up_to = -1
        self.flight: Flight | None = None
        self.expect: Seen = NOTHING_SEEN
        self.counters = Counters()
        self.retry_at = 0.0
        self.stalls = 0
        #: in words, for a person: why the lane waits or stopped ("" while all is well)
        self.reason = ""
        self.stalled = False
        self.last_error = ""
        #: the outcome whose records are at stake, and the chain that reported it; what is done about them just now
        self.outcome: Outcome | None = None
        self.failed_chain = ""
        self.writing: Writing | None = None
        #: an earlier owner may have written its dead letters: they are written again, the records do not run again
        self.begun = False
        #: the ledger refused a dispatch: what the lane holds, this very chain perhaps, must be taken up first
        self.unsure = False
        #: the time for which a timer is set, and the weight that the partition has counted
        self.timer_at = float("inf")
        self.counted = 0

    def move(self, signal: Signal) -> None:
        """Take the arrow of TABLE; an arrow that is not there is a defect (KeyError)."""
        self.phase = TABLE[self.phase, signal]

    # --- records -------------------------------------------------------------------------------------------------

    def receive(self, rows: Sequence[Row], now: float) -> None:
        """Take rows of this lane in offset order; those that are finished are dropped."""
        start = 0
        while start < len(rows) and rows[start][OFFSET] < self.watermark:
            start += 1
        rows = rows[start:] if start else rows
        flight = self.flight
        if flight is not None and rows and rows[0][OFFSET] <= flight.last:
            split = next((i for i, row in enumerate(rows) if row[OFFSET] > flight.last), len(rows))
            flight.rows.extend(rows[:split])
            flight.size_bytes += rows_bytes(rows[:split])
            rows = rows[split:]
        if rows:
            self.batcher.add(rows, now)

    @property
    def buffered(self) -> int:
        """How many rows wait behind the flight."""
        return self.batcher.count

    @property
    def weight(self) -> int:
        """What the lane's rows take in memory, in bytes, about."""
        count, size = self.batcher.count, self.batcher.size_bytes
        if self.flight is not None:
            count, size = count + len(self.flight.rows), size + self.flight.size_bytes
        return size + count * ROW_OVERHEAD_BYTES

    @property
    def first_unfinished(self) -> int | None:
        """The first offset held here that is not finished; None when nothing is."""
        if self.flight is not None and self.flight.rows:
            return self.flight.rows[0][OFFSET]
        return self.batcher.first_offset

    @property
    def oldest_timestamp_ms(self) -> int | None:
        """The timestamp of the first unfinished row; None when nothing is unfinished."""
        if self.flight is not None and self.flight.rows:
            return self.flight.rows[0][1]
        return self.batcher.first_timestamp_ms

    # --- what may go ---------------------------------------------------------------------------------------------

    def next_batches(self, now: float, *, read_up_to: int, flush: bool) -> tuple[ClosedBatch, ...]:
        """What may be dispatched now as one chain. `read_up_to`: every record below it has been received."""
        if self.phase is Phase.FREE:
            return self._new_batches(now, flush=flush)
        if self.phase is not Phase.RETRYING or now < self.retry_at or self.unsure:
            return ()
        flight = self.flight
        assert flight is not None
        if read_up_to <= flight.last:
            return ()
        if not flight.rows:
            self.finish_flight(flight.last + 1)
            return self._new_batches(now, flush=flush)
        self.uncouple(now)
        # a batch that was being split may have been made by a declaration with larger ones
        part = flight.rows[: min(part_of(flight.rows, self.counters), self.rules.batch_size)]
        whole = len(part) == len(flight.rows)
        return (ClosedBatch(tuple(part), flight.trigger, flight.size_bytes if whole else rows_bytes(part)),)

    def _new_batches(self, now: float, *, flush: bool) -> tuple[ClosedBatch, ...]:
        first = self.batcher.first_offset
        alone = first is not None and first <= self.alone_up_to
        return self.batcher.take(now, flush=flush, most=1 if alone else self.pace.length)

    def uncouple(self, now: float) -> None:
        """Of a chain that stopped, the first unfinished batch stays, what is behind it waits in the batcher again. All
        its rows must have been read."""
        flight = self.flight
        assert flight is not None
        assert flight.rows
        batches, flight.batches = flight.batches, ()
        is_one = batches is not None and len(batches) < 2
        if is_one or flight.rows[0][OFFSET] <= self.counters.split_last:
            return
        found = uncouple(flight.rows, batches) if batches else cut_anew(self.tp, flight.rows, self.rules, now)
        if len(found) > 1:
            self.alone_up_to = max(self.alone_up_to, flight.last)
            first, *behind = found
            flight.rows, flight.size_bytes, flight.trigger = list(first.rows), first.size_bytes, first.trigger
            flight.last = flight.part_last = first.rows[-1][OFFSET]
            self.batcher.put_back(behind)

    @property
    def has_reported(self) -> bool:
        """What the lane waits for stands in the ledger: the outcome of its last chain."""
        return self.outcome is not None and bool(self.expect.outcome)

    @property
    def at_stake(self) -> tuple[int, ...]:
        """The offsets that stopped the last chain and that nothing has been decided about."""
        if self.phase not in WAITING or not self.has_reported:
            return ()
        assert self.outcome is not None
        return tuple(offset for offset in self.outcome.at_stake if offset >= self.watermark)

    @property
    def wake_at(self) -> float:
        """When time alone may let a batch go; infinity when only an event can."""
        if self.phase is Phase.FREE:
            return self.batcher.deadline
        return self.retry_at if self.phase in (Phase.RETRYING, Phase.DISPOSING) else float("inf")

    # --- the life of a chain ---------------------------------------------------------------------------------------

    def dispatch(self, chain: str, batches: Sequence[ClosedBatch], now: float, judged: Outcome | None = None) -> Flight:
        """The batches, or a part of the one that did not succeed, are handed to the ledger under this chain id.
        `judged`: the rows are those at stake, their batch stays as it is."""
        self.move(Signal.DISPATCH)
        old, rows = self.flight, list(rows_of(batches))
        first, last = rows[0][OFFSET], rows[-1][OFFSET]
        flight = Flight(chain, first, last, last, batches[0].trigger, rows, sum(batch.size_bytes for batch in batches))
        flight.links, flight.batches = self.rules.links, headers_of(batches, last)
        if old is not None:
            flight.rows, flight.size_bytes, flight.last = old.rows, old.size_bytes, max(last, old.last)
            if len(rows) == len(old.rows):
                flight.part_last = flight.last
        if judged is None:
            self.counters = moved(self.counters, first)
            self.outcome = None
        else:
            assert old is not None
            flight.judged, flight.links, flight.part_last = judged, 1, old.part_last
            flight.batches = old.batches
        flight.attempt = 1 + self.counters.tries
        flight.dispatched_at = flight.published_at = now
        self.flight = flight
        return flight

    def accept(self, reading: int, now: float) -> None:
        """The ledger holds our chain."""
        self.move(Signal.ACCEPT)
        assert self.flight is not None
        self.flight.reading = reading
        self.flight.published_at = now
        self.flight.publishes = 1
        self.expect = Seen(self.flight.chain, 1)
        self.reason, self.stalled = "", False

    def refuse(self, now: float) -> None:
        """The ledger did not take the dispatch (or took it, was not heard, and has changed since): its rows go
        first as soon as it is known what is there."""
        self.move(Signal.REFUSE)
        self.retry_at = now
        self.unsure = True

    def take_outcome(self, seen: Seen, outcome: Outcome) -> bool:
        """The chain in flight has reported. Whether something is left: `outcome` is kept until that is decided."""
        flight = self.flight
        assert flight is not None
        self.expect = seen
        self._raise_watermark(outcome.watermark)
        if self.watermark > flight.last and not outcome.rejected:
            self.pace.succeeded(len(flight.batches or ()), outcome.took_s)
            self.finish_flight(self.watermark)
            return False
        self.pace.stopped()
        flight.claim = None
        self.outcome = outcome
        if not flight.is_hook or not self.failed_chain:
            self.failed_chain = flight.chain
        return True

    def decide(self, decision: Decision, now: float) -> None:
        """What is done about the record that stopped the chain."""
        assert self.outcome is not None
        self.counters = decision.counters
        self.last_error = str(failure_of(self.outcome))
        self.reason = decision.reason
        self.stalled = decision.verdict is Verdict.STALL
        self.stalls = self.stalls + 1 if self.stalled else 0
        if decision.verdict is Verdict.GIVE_UP:
            self.dispose(now + decision.wait)
        else:
            self.go_on(now + decision.wait)

    def dispose(self, at: float) -> None:
        """The records at stake are given up, at `at` at the earliest."""
        if self.phase is not Phase.DISPOSING:
            self.move(Signal.DISPOSE)
        self.retry_at = at

    def go_on(self, at: float) -> None:
        """What is left of the batch goes at `at`."""
        self.move(Signal.FAIL)
        self.retry_at, self.begun = at, False

    def stop(self, reason: str, now: float) -> None:
        """The policy for a record at stake is to stop."""
        self.move(Signal.STOP)
        self.retry_at, self.reason, self.stalled = now, reason, False

    def finish_flight(self, below: int) -> None:
        """Every record of the flight is finished."""
        self.move(Signal.FINISH)
        self.flight = None
        self._raise_watermark(below)
        self.outcome, self.failed_chain, self.writing, self.begun = None, "", None, False
        self.stalls = 0
        self.reason, self.stalled, self.last_error = "", False, ""

    def vanish(self, now: float) -> None:
        """The ledger has forgotten the chain: what it carried goes again, uncounted. A pause that a failure has
        begun goes on."""
        if self.phase not in (Phase.RETRYING, Phase.STOPPED):
            self.retry_at = now
        self.move(Signal.VANISH)
        self.expect, self.writing, self.begun = NOTHING_SEEN, None, False

    def adopt(self, entry: LaneEntry, now: float, reading: int) -> None:
        """Take up a chain that the ledger holds; the rows of its range are kept for a possible new attempt."""
        self.move(Signal.ADOPT)
        rows = self._take_rows()
        self._raise_watermark(entry.watermark)
        flight = Flight(entry.chain, entry.first, entry.reach, entry.last)
        flight.link, flight.links, flight.reading = entry.link, entry.links, reading
        flight.claim, flight.judged = entry.claim, entry.judged
        flight.dispatched_at = flight.published_at = flight.claimed_at = now
        self.flight = flight
        self.counters = entry.counters
        flight.attempt = 1 + entry.counters.tries
        self.expect, self.outcome, self.writing = entry.seen, None, None
        self.begun = entry.disposing
        self.reason, self.stalled = "", False
        self.receive(rows, now)

    def finish_below(self, offset: int) -> None:
        """Records below `offset` are finished: disposed of, with the broker's acknowledgement."""
        self._raise_watermark(offset)

    def skip_below(self, offset: int, now: float) -> None:
        """Records below `offset` are finished (the ledger or the committed offset says so)."""
        self._raise_watermark(offset)
        first = self.batcher.first_offset
        if first is not None and first < self.watermark:
            self.receive(self.batcher.take_all(), now)

    def _raise_watermark(self, offset: int) -> None:
        self.watermark = max(self.watermark, offset)
        flight = self.flight
        if flight is not None and flight.rows and flight.rows[0][OFFSET] < self.watermark:
            all_done = flight.rows[-1][OFFSET] < self.watermark
            flight.rows = [] if all_done else [row for row in flight.rows if row[OFFSET] >= self.watermark]
            flight.size_bytes = rows_bytes(flight.rows)

    def _take_rows(self) -> list[Row]:
        rows = self.flight.rows if self.flight is not None else []
        self.flight = None
        return [*rows, *self.batcher.take_all()]
