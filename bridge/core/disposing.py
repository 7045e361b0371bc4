"""What becomes of records that are given up: the lane waits until each of them is disposed of.

An outcome's rejected records come first, then the record that stopped the chain (`Outcome.at_stake`). Each stage: the
on_failed task is asked if there is one, dead letters are written, then the ledger step *settle*; offsets pass a record
only after its dead letter was acknowledged. Not alone and not named, the record at fault is found by splitting.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.core import events as ev
from bridge.core.batching import ClosedBatch, rows_bytes
from bridge.core.effects import Level, Report, Settle, WriteDeadLetters
from bridge.core.failures import COUNTED, Verdict, count, give_up_reason, judge, stall_wait
from bridge.core.flight import Flight, name_and_attempt
from bridge.core.isolation import found, split
from bridge.core.lane import Lane, Phase, Writing
from bridge.core.repeats import Service
from bridge.core.skipping import wanted_skips
from bridge.core.watch import LINK_TIMEOUT, TERMINATE_WAIT
from bridge.entries import DISPOSITIONS, DeadLetter, Failure, Outcome, Rejection, failure_of, link_id
from bridge.records import OFFSET, Action, Row, TopicPartition

if TYPE_CHECKING:
    from bridge.core.bridge import Core
    from bridge.core.partition import Partition

#: seconds before records of an outcome that was adopted are given up: until then this process has seen its other lanes
ADOPTED_WAIT = 3.0
#: seconds between two looks at the brake, and the shortest pause between two attempts that it asks for
BRAKE_LOOK = 1.0

#: what the log says of a lane that stops, behind the reason
STOPPED = "its lane waits for a person (docs/operations.md: A stopped lane)"


class Disposing:
    """What is done with outcomes that leave something. It works on the core's lanes and emits the core's effects."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next_number = itertools.count(1).__next__
        #: serial and number of what was asked last for each lane that disposes of records; some are answered
        self._asked: dict[tuple[TopicPartition, int], tuple[int, int]] = {}

    # --- an outcome that leaves something ----------------------------------------------------------------------------

    def take_outcome(self, lane: Lane, outcome: Outcome, now: float, *, adopted: bool) -> None:
        """The lane keeps an outcome: give its rejected records up, judge what stopped the chain."""
        flight = lane.flight
        assert flight is not None
        if is_link_timeout(outcome) and (outcome.hook_error or not flight.is_hook):
            self._core.dispatching.supersede(
                lane,
                link_id(lane.expect.chain, lane.expect.link),
                now,
                wait=TERMINATE_WAIT,
                worker=lane.expect.claim.rpartition(" ")[0],
            )
        if flight.is_hook and outcome.hook_error and lane.rules.on_failed and not _is_decided(outcome):
            wait = stall_wait(lane.stalls)
            lane.stalls, lane.stalled = lane.stalls + 1, True
            lane.reason = f"on_failed {lane.rules.on_failed}: {outcome.hook_error} (asked again in {wait:.0f} s)"
            self._report("warning", "stalled", lane.reason, lane)
            lane.dispose(now + wait)
        elif outcome.rejected:
            first = outcome.rejected[0]
            lane.reason, lane.last_error, lane.stalled = _rejected(first), str(first), False
            lane.dispose(now + ADOPTED_WAIT if adopted and not flight.is_hook else now)
        else:
            self._judge(lane, outcome, now, adopted=adopted)

    def _judge(self, lane: Lane, outcome: Outcome, now: float, *, adopted: bool = False) -> None:
        """No record is rejected, or those that were are disposed of: what about the one that stopped the chain?"""
        flight = lane.flight
        assert flight is not None
        if outcome.next_offset < lane.watermark or (outcome.failure is None and outcome.next_offset > flight.part_last):
            lane.reason, lane.stalled, lane.stalls = "", False, 0
            lane.go_on(now)
            return
        if lane.begun or _was_asked(flight):
            failure = failure_of(outcome)
            if not _was_asked(flight):
                lane.counters = count(lane.counters, outcome.next_offset, failure)
            lane.reason = give_up_reason(failure, outcome.next_offset, lane.counters)
            lane.last_error, lane.stalled = str(failure), False
            lane.dispose(now)
            return
        config = self._core.config
        decision = judge(
            outcome,
            lane.counters,
            lane.rules.retry,
            config.limits,
            stalls=lane.stalls,
            roll=self._core.random.random(),
        )
        if COUNTED[failure_of(outcome).kind]:
            self._note_failure(lane, now)
        if adopted and decision.verdict is Verdict.GIVE_UP:
            decision = replace(decision, wait=ADOPTED_WAIT)
        lane.decide(decision, now)
        if decision.verdict is Verdict.STALL:
            self._report("warning", "stalled", decision.reason, lane)
        elif decision.verdict is Verdict.TRY_AGAIN:
            when = f"in {decision.wait:.1f} s" if decision.wait else "at once"
            text = f"{decision.reason}; tried again {when}, the lane waits"
            self._report("warning", "retry", text, lane)

    def _note_failure(self, lane: Lane, now: float) -> None:
        assigned = sum(len(partition.lanes) for partition in self._core.partitions.values())
        brake = self._core.brake
        if brake.failed((lane.tp, lane.index), assigned, now):
            text = (
                f"outage brake: {brake.failing} of {assigned} lanes fail and no batch succeeds; no record is given up "
                f"until one does, or for {brake.limit:g} s (brake_limit)"
            )
            self._core.emit(Report("warning", "brake", text))

    # --- giving up ---------------------------------------------------------------------------------------------------

    def consider(self, partition: Partition, lane: Lane, now: float) -> None:
        """The lane has records at stake: do what can be done about them now."""
        flight, outcome = lane.flight, lane.outcome
        assert flight is not None
        assert outcome is not None
        assert partition.expected is not None
        if lane.writing is not None or partition.expected <= flight.last:
            return
        ready_at = max(lane.retry_at, flight.publish_after)
        if now < ready_at:  # until then a link that timed out may still be running
            self._core.dispatching.set_timer(lane, ready_at)
            return
        self._core.dispatching.stop_waiting(flight)
        if flight.rows and not outcome.rejected:
            lane.uncouple(now)
        is_decided = lane.begun or bool(wanted_skips(self._core, lane))
        if self._core.brake.holds(now) and not is_decided:
            self._brake(partition, lane, outcome, now)
        elif not (outcome.rejected or is_decided or self._is_alone(lane, outcome)):
            self._split(partition, lane, outcome, now)
        else:
            self._dispose(partition, lane, outcome, now)

    def _brake(self, partition: Partition, lane: Lane, outcome: Outcome, now: float) -> None:
        """Nothing is given up: rejected records wait, a failed one is tried again with back-off."""
        brake = self._core.brake
        if outcome.rejected:
            lane.dispose(now + BRAKE_LOOK)
            self._core.dispatching.set_timer(lane, lane.retry_at)
            return
        self._note_failure(lane, now)  # a partition that has come back may be the only one that is known to fail
        wait = lane.rules.retry.wait(max(lane.counters.tries, 1), self._core.random.random())
        wait = min(max(wait, BRAKE_LOOK), max(brake.ends_at - now, BRAKE_LOOK))
        failing = "1 lane fails" if brake.failing == 1 else f"{brake.failing} lanes fail"
        lane.reason = f"outage brake ({failing}, no batch succeeds), not given up: {lane.last_error}"
        lane.go_on(now + wait)
        self._core.dispatching.consider(partition, lane, now)

    @staticmethod
    def _is_alone(lane: Lane, outcome: Outcome) -> bool:
        assert lane.flight is not None
        return _was_asked(lane.flight) or failure_of(outcome).named or lane.flight.part_rows <= 1

    def _split(self, partition: Partition, lane: Lane, outcome: Outcome, now: float) -> None:
        flight = lane.flight
        assert flight is not None
        lane.counters = split(lane.counters, COUNTED[failure_of(outcome).kind], flight.part_last)
        text = f"{lane.reason}; one of {flight.part_rows} records is at fault, the batch is split to find it"
        self._report("warning", "split", text, lane)
        lane.go_on(now)
        self._core.dispatching.consider(partition, lane, now)

    # --- disposal ----------------------------------------------------------------------------------------------------

    def _dispose(self, partition: Partition, lane: Lane, outcome: Outcome, now: float) -> None:
        flight, skips = lane.flight, wanted_skips(self._core, lane)
        assert flight is not None
        at_stake = set(outcome.at_stake)
        rows = [row for row in flight.rows if row[OFFSET] in at_stake]
        is_open = any(row[OFFSET] not in skips for row in rows)
        if lane.rules.on_failed and is_open and not _is_decided(outcome):
            self._ask(partition, lane, outcome, rows, now)
            return
        if outcome.hook_error:
            self._report("error", "on_failed", _hook_text(lane, outcome), lane)
        actions: dict[int, Action] = {each.offset: each.action for each in outcome.decided}
        actions.update(dict.fromkeys(skips, "skip"))
        chosen = [(row, actions.get(row[OFFSET], lane.rules.on_exhausted)) for row in rows]
        if stopped := [row for row, action in chosen if action == "stop"]:
            lane.stop(_stop_text(lane, stopped[0]), now)
            self._report("error", "stopped", f"{lane.reason}; {STOPPED}", lane)
            return
        for row, action in chosen:
            if action == "skip":
                self._note_skipped(lane, row, skips)
        letters = tuple(_letter(lane, row) for row, action in chosen if action == "dead_letter")
        upto = outcome.next_offset
        if not outcome.rejected:
            upto, lane.counters = outcome.next_offset + 1, found(lane.counters)
        lane.writing = Writing(self._next_number(), upto, len(letters), lane.reason, skips)
        if letters:
            self._write(partition, lane, lane.writing, letters)
        else:
            self._settle(partition, lane, now)

    def _write(self, partition: Partition, lane: Lane, writing: Writing, letters: tuple[DeadLetter, ...]) -> None:
        self._ask_for(
            WriteDeadLetters(
                tp=lane.tp,
                serial=partition.serial,
                owner=partition.owner,
                lane=lane.index,
                number=writing.number,
                chain=lane.expect.chain,
                topic=lane.rules.dead_letters_of(lane.tp.topic),
                letters=letters,
            )
        )

    def _note_skipped(self, lane: Lane, row: Row, skips: frozenset[int]) -> None:
        offset, why = row[OFFSET], "is skipped"
        if offset in skips:
            self._core.operators.note_skipped(lane, offset)
            why = "is skipped because an operator wants it"
        self._report("warning", "skipped", f"record {offset} {why}: {_at_fault(lane, row)}", lane)

    def _ask(self, partition: Partition, lane: Lane, outcome: Outcome, rows: list[Row], now: float) -> None:
        assert lane.flight is not None
        batch = ClosedBatch(tuple(rows), lane.flight.trigger, rows_bytes(rows))
        self._core.dispatching.dispatch(partition, lane, (batch,), now, judged=replace(outcome, hook_error=""))

    def _settle(self, partition: Partition, lane: Lane, now: float) -> None:
        """What has its dead letter is finished: first here, so that a ledger that was emptied is told, then there. What
        is skipped only is finished when the ledger says so."""
        assert lane.writing is not None
        if lane.writing.letters:
            lane.finish_below(lane.writing.upto)
            self._core.settle_down(partition, (lane,), now)
        number, upto = lane.writing.number, lane.writing.upto
        chain, base = lane.expect.chain, partition.position
        self._ask_for(Settle(lane.tp, partition.serial, partition.owner, lane.index, number, chain, upto, base))

    def _ask_for(self, effect: WriteDeadLetters | Settle) -> None:
        self._asked[effect.tp, effect.lane] = effect.serial, effect.number
        self._core.emit(effect)

    def awaits_answers(self) -> bool:
        """A lane waits for its dead letters, or for the ledger."""
        if self._asked:
            self._asked = {where: what for where, what in self._asked.items() if self._find(*where, *what)}
        return bool(self._asked)

    def is_under_way(self, effect: WriteDeadLetters | Settle) -> bool:
        """The lane still waits for this very effect."""
        return self._find(effect.tp, effect.lane, effect.serial, effect.number) is not None

    def _find(self, tp: TopicPartition, index: int, serial: int, number: int) -> tuple[Partition, Lane] | None:
        """The lane, if it still waits for what was asked under this number."""
        partition = self._core.live(tp, serial)
        lane = partition.lanes.get(index) if partition is not None else None
        if partition is None or lane is None or lane.writing is None or lane.writing.number != number:
            return None
        return partition, lane

    def failed(self, effect: WriteDeadLetters, error: str) -> None:
        """The dead letters could not be written: the lane waits, and says why."""
        if self.is_under_way(effect):
            lane = self._core.partitions[effect.tp].lanes[effect.lane]
            assert lane.writing is not None
            was_said, lane.stalled = lane.stalled, True
            wait = "tried again until it answers; the lane waits, nothing is lost"
            lane.reason = f"{error} ({wait}); given up: {lane.writing.why}"
            if not was_said:
                self._report("warning", "dead_letter", lane.reason, lane)

    # --- answers -----------------------------------------------------------------------------------------------------

    def _waiting(self, event: ev.DeadLettersWritten | ev.Settled) -> tuple[Partition, Lane] | None:
        found = self._find(event.tp, event.lane, event.serial, event.number)
        return found if found is not None and found[1].phase is Phase.DISPOSING else None

    def written(self, event: ev.DeadLettersWritten, now: float) -> None:
        """The broker has acknowledged the dead letters."""
        self._core.repeats.succeeded(Service.DEAD_LETTERS)
        if (found := self._waiting(event)) is None:
            return
        partition, lane = found
        if not event.is_owner:
            partition.reassign("the ledger says that another owner has the partition")
            return
        assert lane.writing is not None
        topic = lane.rules.dead_letters_of(lane.tp.topic)
        lane.reason, lane.stalled = lane.writing.why, False
        count_of = f"{lane.writing.letters} dead letter{'' if lane.writing.letters == 1 else 's'}"
        text = f"{count_of} written to {topic}: {lane.reason}"
        self._report("error", "dead_letter", text, lane)
        self._settle(partition, lane, now)

    def settled(self, event: ev.Settled, now: float) -> None:
        """The ledger knows what is finished: the rest of the batch goes on."""
        self._core.repeats.succeeded(Service.LEDGER)
        if (found := self._waiting(event)) is None:
            return
        partition, lane = found
        if not event.accepted:
            partition.reassign("another owner while records were disposed of")
            return
        assert lane.flight is not None
        assert lane.outcome is not None
        assert lane.writing is not None
        lane.finish_below(lane.writing.upto)
        lane.writing, lane.begun = None, False
        lane.outcome = replace(lane.outcome, rejected=())
        if lane.watermark > lane.flight.last:
            lane.finish_flight(lane.watermark)
        else:
            self._judge(lane, lane.outcome, now)
        self._core.settle_down(partition, (lane,), now)

    def _report(self, level: Level, action: str, text: str, lane: Lane) -> None:
        self._core.emit(Report(level, action, text, lane.tp, lane.index, *name_and_attempt(lane.flight)))


def _was_asked(flight: Flight) -> bool:
    """The on_failed task was asked about what stopped the chain: it stands alone, and is counted already."""
    return flight.judged is not None and not flight.judged.rejected


def _is_decided(outcome: Outcome) -> bool:
    """The on_failed task has said what is done with the records at stake: with all that the log still had."""
    return any(each.offset in outcome.at_stake for each in outcome.decided)


def is_link_timeout(outcome: Outcome) -> bool:
    """The link that reported this may still be running."""
    failure = outcome.failure
    if outcome.hook_error:
        return outcome.hook_error.startswith(f"{LINK_TIMEOUT}: ")
    return failure is not None and (failure.kind, failure.exception) == ("timeout", LINK_TIMEOUT)


def _at_fault(lane: Lane, row: Row) -> Failure | Rejection:
    assert lane.outcome is not None
    found = [each for each in lane.outcome.rejected if each.offset == row[OFFSET]]
    return found[0] if found else failure_of(lane.outcome)


def _rejected(rejection: Rejection) -> str:
    did = "could not be decoded for" if rejection.disposition == "undecodable" else "was rejected by"
    return f"record {rejection.offset} {did} {rejection.task}: {rejection}"


def _hook_text(lane: Lane, outcome: Outcome) -> str:
    if not (lane.rules.on_failed or _is_decided(outcome)):
        return f"on_failed has not decided, on_exhausted={lane.rules.on_exhausted} does: {outcome.hook_error}"
    name = lane.rules.on_failed or "of an earlier declaration"
    return f"on_failed {name} has not decided, its records become dead letters: {outcome.hook_error}"


def _stop_text(lane: Lane, row: Row) -> str:
    fault = _at_fault(lane, row)
    return _rejected(fault) if isinstance(fault, Rejection) else lane.reason


def _letter(lane: Lane, row: Row) -> DeadLetter:
    fault, counters = _at_fault(lane, row), lane.counters
    is_rejection = isinstance(fault, Rejection)
    return DeadLetter(
        row,
        disposition=fault.disposition if isinstance(fault, Rejection) else DISPOSITIONS[fault.kind],
        message=fault.reason if isinstance(fault, Rejection) else fault.message,
        exception=fault.exception,
        traceback=fault.traceback,
        task=fault.task,
        link=fault.link,
        chain=lane.failed_chain,
        index=fault.index,
        attempts=counters.tries + 1 if is_rejection else counters.tries,
        first_failed_ms=counters.since_ms or fault.at_ms,
        last_failed_ms=fault.at_ms,
    )
