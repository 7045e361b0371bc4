"""From what a task did to what its chain reports: pure, no Celery request, no ledger.

Rules: what lies below a failure goes on, what lies at or above it runs again, so rejections there are dropped. A link
that is not the last passes on what is left; nothing left, or the last link: the chain has its outcome. An outcome's
size is bounded however many records are rejected.
"""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace

from celery.exceptions import SoftTimeLimitExceeded

from bridge.entries import Disposition, Failure, Outcome, OutcomeKind, Rejection
from bridge.ledger.data import UnserialisableData
from bridge.ledger.payload import Carried, Payload
from bridge.records import Retry
from bridge.workers.describe import MESSAGE_LIMIT, REJECTION_TRACEBACK_LIMIT, message_of, plain, traceback_of
from bridge.workers.errors import RecordFailed, RetryAsked

#: how many rejected records of an outcome carry a traceback
TRACEBACKS = 20

#: characters that the reasons of an outcome's rejected records may have in all, unless that leaves one too few
_REASONS, _SHORTEST_REASON = 256 * 1024, 100


@dataclass(frozen=True, slots=True)
class Place:
    """Which link it is: its number from 1, its task's name, whether another link follows, the range's last offset,
    and which exceptions its pipeline tries again."""

    link: int
    task: str
    is_last: bool
    last: int
    retry: Retry = field(default_factory=Retry)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a link did not get past a record: what was raised, the failure it means, the wait asked for (seconds)."""

    error: BaseException
    failure: Failure
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What is reported. `outcome` None: the chain goes on with the records at the indices `keep`, and `carried`."""

    outcome: Outcome | None
    keep: Sequence[int]
    carried: Carried


def stop_at(error: BaseException, offset: int, place: Place, *, named: bool, index: int = -1) -> Stop:
    """The meaning of an exception out of a task at the record `offset`; `named`: this very record is at fault. `index`
    is the record's place in its batch."""
    told, cause = told_by(error), _cause_of(error)
    timed_out = isinstance(error, SoftTimeLimitExceeded)
    unserialisable = isinstance(error, UnserialisableData)
    failure = Failure(
        offset,
        kind="timeout" if timed_out else "failed",
        named=named and not timed_out,
        link=place.link,
        task=place.task,
        exception=type(told).__name__,
        message=f"{place.task}: {message_of(told)}" if unserialisable else message_of(told),
        traceback=traceback_of(error),
        retryable=_is_retryable(error, place.retry),
        index=index,
        at_ms=_now_ms(),
    )
    return Stop(error, failure, cause.delay if isinstance(cause, RetryAsked) else None)


def told_by(error: BaseException) -> BaseException:
    """The exception that went wrong: the reason of a RecordFailed, and what a task caught before `self.retry()`."""
    cause = _cause_of(error)
    return cause.error or cause if isinstance(cause, RetryAsked) else cause


def _cause_of(error: BaseException) -> BaseException:
    if isinstance(error, RecordFailed) and isinstance(error.reason, BaseException):
        return error.reason
    return error


def _is_retryable(error: BaseException, retry: Retry) -> bool:
    """A time limit has a counter of its own, like a killed process: `retry_on` does not take its attempts away."""
    if isinstance(error, UnserialisableData):
        return False
    if isinstance(error, SoftTimeLimitExceeded):
        return not isinstance(error, retry.give_up_on)
    cause = _cause_of(error)
    return isinstance(cause, RetryAsked) or retry.tries_again(cause)


def rejection(
    offset: int,
    reason: str,
    place: Place,
    *,
    error: BaseException | None = None,
    disposition: Disposition = "rejected",
    index: int = -1,
    in_full: bool = True,
) -> Rejection:
    """A record that is given up at once, the reason shortened. `error` is what says so, if it is an exception; `index`
    is the record's place in its batch; `in_full`: with the error's traceback, if it was raised at all."""
    return Rejection(
        offset,
        plain(reason)[:MESSAGE_LIMIT],
        place.link,
        place.task,
        disposition,
        exception="" if error is None else type(error).__name__,
        traceback=_raised_at(error) if in_full else "",
        index=index,
        at_ms=_now_ms(),
    )


def _raised_at(error: BaseException | None) -> str:
    if error is None or error.__traceback__ is None:
        return ""
    return traceback_of(error, REJECTION_TRACEBACK_LIMIT)


def index_in_batch(payload: Payload, position: int) -> int:
    """The place in its batch of the record at this position of the payload."""
    for batch in payload.header.batches:
        if position < batch.count:
            break
        position -= batch.count
    return position


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def conclude(
    offsets: Sequence[int], place: Place, carried: Carried, stop: Stop | None, rejected: Sequence[Rejection]
) -> Conclusion:
    """What a link reports that was given the records `offsets` and ended with `stop`, or without."""
    if stop is not None:
        carried = Carried(stop.failure, carried.rejected, stop.delay)
    end = carried.failure.offset if carried.failure else place.last + 1
    given = set(offsets) if rejected else set()
    here = {each.offset: each for each in rejected if each.offset < end and each.offset in given}
    before = [each for each in carried.rejected if each.offset < end]
    every = sorted([*before, *here.values()], key=lambda each: each.offset)
    carried = replace(carried, rejected=_bounded(every))
    keep = _left(offsets, end, here)
    if keep and not place.is_last:
        return Conclusion(None, keep, carried)
    return Conclusion(Outcome(_kind(keep, carried), end, *_reported(carried)), keep, carried)


def _bounded(rejected: Sequence[Rejection]) -> tuple[Rejection, ...]:
    longest = max(_SHORTEST_REASON, _REASONS // max(len(rejected), 1))
    return tuple(
        replace(each, reason=each.reason[:longest], traceback=each.traceback if number < TRACEBACKS else "")
        if len(each.reason) > longest or (each.traceback and number >= TRACEBACKS)
        else each
        for number, each in enumerate(rejected)
    )


def _left(offsets: Sequence[int], end: int, rejected: Container[int]) -> Sequence[int]:
    if not rejected and (not offsets or offsets[-1] < end):
        return range(len(offsets))
    return [index for index, offset in enumerate(offsets) if offset < end and offset not in rejected]


def _kind(finished: Sequence[int], carried: Carried) -> OutcomeKind:
    if carried.failure is None and not carried.rejected:
        return "ok"
    return "partial" if finished or carried.rejected else "failed"


def _reported(carried: Carried) -> tuple[Failure | None, tuple[Rejection, ...], float | None]:
    return carried.failure, carried.rejected, carried.delay
