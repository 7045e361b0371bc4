"""From what a task did to what its chain reports: pure, no Celery request, no ledger.

Rules: what lies below a failure goes on, what lies at or above it runs again, so rejections there are dropped. A link
that is not the last passes on what is left; nothing left, or the last link: the chain has its outcome.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from celery.exceptions import SoftTimeLimitExceeded

from bridge.entries import Failure, Outcome, OutcomeKind, Rejection
from bridge.ledger.data import UnserialisableData
from bridge.ledger.payload import Carried
from bridge.workers.describe import MESSAGE_LIMIT, message_of, traceback_of
from bridge.workers.errors import RetryAsked


@dataclass(frozen=True, slots=True)
class Place:
    """Which link it is: its number from 1, its task's name, whether another link follows, the range's last offset."""

    link: int
    task: str
    is_last: bool
    last: int


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


def stop_at(error: BaseException, offset: int, place: Place, *, named: bool) -> Stop:
    """The meaning of an exception out of a task at the record `offset`; `named`: this very record is at fault."""
    told, delay = error, None
    if isinstance(error, RetryAsked):
        told, delay = error.error or error, error.delay
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
        retryable=not unserialisable,
    )
    return Stop(error, failure, delay)


def rejection(offset: int, reason: str, place: Place) -> Rejection:
    """A record that its task rejected, the reason shortened."""
    return Rejection(offset, reason[:MESSAGE_LIMIT], place.link, place.task)


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
    carried = replace(carried, rejected=tuple(sorted([*before, *here.values()], key=lambda each: each.offset)))
    keep = _left(offsets, end, here)
    if keep and not place.is_last:
        return Conclusion(None, keep, carried)
    return Conclusion(Outcome(_kind(keep, carried), end, *_reported(carried)), keep, carried)


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
