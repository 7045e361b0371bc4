"""What operators want of the lanes: pauses, which last, and requests, which are done once and answered.

Every reading brings all of it. A pause keeps a lane from dispatching and from giving records up; what is in flight
ends. A request stays until it is answered: `retry` acts at once, `skip` as soon as the record is what the lane waits
for, and is answered when the ledger has it; so a crash in between loses neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bridge.core.effects import AnswerRequest, KeepPauses, Report
from bridge.core.events import Instructed
from bridge.core.lane import Lane, Phase
from bridge.core.watch import LINK_TIMEOUT
from bridge.entries import NO_ATTEMPTS
from bridge.instructions import Instructions, Pause, Request, Target
from bridge.records import TopicPartition

if TYPE_CHECKING:
    from bridge.core.bridge import Core
    from bridge.core.partition import Partition


class Answer(NamedTuple):
    """What is told about a request: what was done, or why it is not going to be."""

    text: str
    is_done: bool


def _yes(text: str) -> Answer:
    return Answer(text, is_done=True)


def _no(text: str) -> Answer:
    return Answer(text, is_done=False)


class Operators:
    """The last instructions, and what is done about them. It works on the core's lanes and emits its effects."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._number = 0
        self._pauses: dict[Target, Pause] = {}
        self._skips: dict[tuple[TopicPartition, int], frozenset[int]] = {}
        #: records of the present requests that were skipped for them
        self._skipped: set[tuple[TopicPartition, int, int]] = set()

    def pause_of(self, tp: TopicPartition, lane: int) -> Pause | None:
        """Why nothing of the lane goes, or None."""
        if not self._pauses:
            return None
        targets = (Target(tp.topic), Target(*tp), Target(*tp, lane))
        return next((self._pauses[target] for target in targets if target in self._pauses), None)

    def skips_of(self, lane: Lane) -> frozenset[int]:
        """The offsets that are to be skipped as soon as the lane stands at them."""
        return self._skips.get((lane.tp, lane.index), frozenset())

    def note_skipped(self, lane: Lane, offset: int) -> None:
        """The record is skipped, as was asked for."""
        self._skipped.add((lane.tp, lane.index, offset))

    # --- a reading ---------------------------------------------------------------------------------------------------

    def instructed(self, event: Instructed, now: float) -> None:
        """All that operators want now."""
        given = self._complete(event.instructions)
        pauses = {pause.target: pause for pause in given.pauses}
        changed = self._changed(pauses)
        self._pauses = pauses
        self._take_requests(given.requests)
        for partition in [partition for partition in self._core.partitions.values() if partition.is_active]:
            if any(target.topic == partition.tp.topic for target in changed):
                self._core.settle_down(partition, list(partition.lanes.values()), now)
        for request in given.requests:
            self._handle(request, now)

    def _complete(self, given: Instructions) -> Instructions:
        """A Redis that was emptied or rolled back has lost pauses: they still stand, and it is told."""
        if given.number >= self._number:
            self._number = given.number
            return given
        pauses = {**{pause.target: pause for pause in given.pauses}, **self._pauses}
        self._core.emit(KeepPauses(self._number, tuple(self._pauses.values())))
        return replace(given, pauses=tuple(pauses.values()))

    def _changed(self, pauses: dict[Target, Pause]) -> set[Target]:
        """The targets that are paused or resumed now; those that concern this bridge are told."""
        changed = set(pauses.keys() ^ self._pauses.keys())
        topics = {tp.topic for tp in self._core.partitions}
        for target in sorted(target for target in changed if target.topic in topics):
            text = str(pauses[target]) if target in pauses else f"{target} is resumed"
            self._core.emit(Report("warning", "operator", text))
        return changed

    def _take_requests(self, requests: tuple[Request, ...]) -> None:
        skips: dict[tuple[TopicPartition, int], set[int]] = {}
        for request in requests:
            if request.action == "skip":
                skips.setdefault((request.tp, request.target.lane), set()).add(request.offset)
        self._skips = {lane: frozenset(offsets) for lane, offsets in skips.items()}
        self._skipped = {each for each in self._skipped if each[2] in self._skips.get(each[:2], ())}

    # --- requests ----------------------------------------------------------------------------------------------------

    def _handle(self, request: Request, now: float) -> None:
        partition = self._core.partitions.get(request.tp)
        if partition is None or not partition.is_active:
            return  # whoever has the partition does it
        answer: Answer | None
        lane = partition.lanes.get(request.target.lane)
        if lane is None:
            answer = _no(f"there is no lane {request.target.lane}, the partition has {len(partition.lanes)}")
        elif request.offset < max(partition.position, lane.watermark):
            was_skipped = (lane.tp, lane.index, request.offset) in self._skipped
            text = f"record {request.offset} is {'skipped' if was_skipped else 'finished already'}"
            answer = Answer(text, is_done=was_skipped or request.action == "retry")
        elif request.action == "retry":
            answer = RETRIES[lane.phase](self, partition, lane, request, now)
        else:
            answer = self._skip(partition, lane, request, now)
        if answer is not None:
            self._core.emit(AnswerRequest(request, answer.text, answer.is_done))
            text = f"{request.action} of {request.offset}, asked for by {request.who}: {answer.text}"
            lane_number = None if lane is None else lane.index
            self._core.emit(Report("warning", "operator", text, request.tp, lane_number))

    def _skip(self, partition: Partition, lane: Lane, request: Request, now: float) -> Answer | None:
        """Begin, if the lane stands at the record; what it answers ends the request."""
        if lane.phase is Phase.FREE:
            return _no(f"record {request.offset} has not failed: nothing to skip")
        if not lane.at_stake:
            if lane.phase is Phase.STOPPED:  # Redis was emptied: the record must fail once more to be passed
                self._begin_afresh(partition, lane, now)
            return None
        assert lane.outcome is not None
        if request.offset not in {*lane.at_stake, lane.outcome.next_offset}:
            at = ", ".join(str(offset) for offset in lane.at_stake[:5])
            return _no(f"the lane stands at {at}, not at record {request.offset}")
        self._core.settle_down(partition, (lane,), now)
        return None

    def _begin_afresh(self, partition: Partition, lane: Lane, now: float) -> None:
        lane.counters = NO_ATTEMPTS
        lane.stalled = False
        lane.go_on(now)
        self._core.settle_down(partition, (lane,), now)

    # --- retry, by phase ---------------------------------------------------------------------------------------------

    def _nothing_to_retry(self, partition: Partition, lane: Lane, request: Request, now: float) -> Answer | None:
        return _no("no attempt has failed: nothing to try again")

    def _not_yet(self, partition: Partition, lane: Lane, request: Request, now: float) -> Answer | None:
        return None

    def _retry_in_flight(self, partition: Partition, lane: Lane, request: Request, now: float) -> Answer | None:
        flight = lane.flight
        assert flight is not None
        if flight.claim is None:
            self._core.dispatching.publish_again(partition, lane, now)
            return _yes(f"link {flight.link} is published again")
        if not lane.stalled:
            return _no(f"link {flight.link} is running on {flight.claim.worker}: nothing to try again before it ends")
        # a pool that cannot be stopped from outside: it may go on beside the new attempt
        text = f"given up on by {request.who}: {lane.reason}"
        self._core.dispatching.set_fault(lane, flight.link, "timeout", flight.claim.worker, LINK_TIMEOUT, text)
        return _yes(f"link {flight.link} on {flight.claim.worker} is not waited for any more; it counts as a timeout")

    def _retry_now(self, partition: Partition, lane: Lane, request: Request, now: float) -> Answer | None:
        if (pause := self.pause_of(lane.tp, lane.index)) is not None:
            return _no(f"{pause}: resume it first")
        lane.retry_at = now
        self._core.settle_down(partition, (lane,), now)
        return _yes("it is tried again now")

    def _retry_disposing(self, partition: Partition, lane: Lane, request: Request, now: float) -> Answer | None:
        flight = lane.flight
        assert flight is not None
        if flight.is_hook and lane.stalled and lane.writing is None:
            lane.retry_at = now
            self._core.settle_down(partition, (lane,), now)
            return _yes("its on_failed task is asked again now")
        if lane.writing is not None or lane.begun or flight.is_hook:
            return _no(
                "it is being given up, its dead letter may be written already: it can be skipped, not tried again"
            )
        return self._retry_stopped(partition, lane, request, now)

    def _retry_stopped(self, partition: Partition, lane: Lane, request: Request, now: float) -> Answer | None:
        outcome = lane.outcome
        if outcome is not None and outcome.rejected:
            return _no(f"record {outcome.rejected[0].offset} was rejected for good: it can be skipped, not tried again")
        if (pause := self.pause_of(lane.tp, lane.index)) is not None:
            return _no(f"{pause}: resume it first")
        self._begin_afresh(partition, lane, now)
        return _yes("it is tried again now, as if for the first time")


Retry = Callable[[Operators, "Partition", Lane, Request, float], Answer | None]

#: what `retry` does; an answer ends the request, None leaves it for the next reading
RETRIES: dict[Phase, Retry] = {
    Phase.FREE: Operators._nothing_to_retry,
    Phase.DISPATCHING: Operators._not_yet,
    Phase.RUNNING: Operators._retry_in_flight,
    Phase.ADOPTED: Operators._retry_in_flight,
    Phase.RETRYING: Operators._retry_now,
    Phase.DISPOSING: Operators._retry_disposing,
    Phase.STOPPED: Operators._retry_stopped,
}
