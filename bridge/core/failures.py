"""What happens to a chain that did not succeed: the table, and nothing else.

Attempts are counted at the first unfinished offset, apart for each kind, and start anew when it moves. A lane never
runs past a record that is still to be tried again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import isfinite
from typing import Literal

from bridge.core.events import ErrorHeard
from bridge.core.isolation import is_split, moved
from bridge.entries import Counters, Failure, FailureKind, Outcome, failure_of
from bridge.records import Retry


class Verdict(Enum):
    """What the lane does next. GIVE_UP: the record at fault is disposed of, once it stands alone."""

    TRY_AGAIN = "try again"
    STALL = "stall"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Limits:
    """How often one record may time out or lose its worker."""

    max_timeouts: int = 2
    max_worker_losses: int = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """`wait` in seconds; `reason` for a person."""

    verdict: Verdict
    counters: Counters
    wait: float
    reason: str


Counted = Literal["failures", "timeouts", "losses", ""]

#: kind of failure -> the counter it moves ("" none: never counted, the lane stalls and is tried again)
COUNTED: dict[FailureKind, Counted] = {
    "failed": "failures",
    "timeout": "timeouts",
    "worker_lost": "losses",
    "revoked": "",
    "not_registered": "",
}

#: seconds before a lane that stalled is tried again: doubling, up to the limit
STALL_DELAY, STALL_MAX_DELAY = 1.0, 60.0


def count(counters: Counters, at: int, failure: Failure) -> Counters:
    """The counters after one more failure at offset `at`."""
    current = moved(counters, at)
    name = COUNTED[failure.kind]
    if not name:
        return current
    since = current.since_ms or failure.at_ms
    more = {name: getattr(current, name) + 1, "tries": current.tries + 1, "since_ms": since}
    return replace(current, **more)


def judge(outcome: Outcome, counters: Counters, retry: Retry, limits: Limits, *, stalls: int, roll: float) -> Decision:
    """What to do about the record that stopped the chain. `stalls` counts uncounted failures in a row."""
    failure = failure_of(outcome)
    after = count(counters, outcome.next_offset, failure)
    counted = COUNTED[failure.kind]
    if not counted:
        wait = stall_wait(stalls)
        return Decision(Verdict.STALL, after, wait, f"{_why_stalled(failure)} (tried again in {wait:.0f} s)")
    allowed = {
        "failures": retry.max_attempts,
        "timeouts": limits.max_timeouts,
        "losses": limits.max_worker_losses,
    }[counted]
    tries = getattr(after, counted)
    if is_split(after, counted) or tries >= allowed or not failure.retryable:
        return Decision(Verdict.GIVE_UP, after, 0.0, give_up_reason(failure, outcome.next_offset, after))
    wait = _wait(outcome, retry, counted, tries, roll)
    where = _where(failure, outcome.next_offset)
    return Decision(Verdict.TRY_AGAIN, after, wait, f"attempt {tries} of {allowed} failed at {where}: {failure}")


def _why_stalled(failure: Failure) -> str:
    if failure.kind == "not_registered":
        return f"task {failure.task or failure.message} is not registered on a worker that consumes its queue"
    return str(failure)


def stall_wait(stalls: int) -> float:
    """Seconds before a lane that stalled `stalls` times in a row is tried again."""
    return min(STALL_DELAY * 2.0 ** min(stalls, 16), STALL_MAX_DELAY)


def _wait(outcome: Outcome, retry: Retry, counted: Counted, tries: int, roll: float) -> float:
    if counted != "failures":
        return 0.0
    asked = outcome.delay
    return asked if asked is not None and isfinite(asked) else retry.wait(tries, roll)


def _where(failure: Failure, offset: int) -> str:
    return f"offset {offset} in {failure.task}" if failure.task else f"offset {offset}"


def give_up_reason(failure: Failure, offset: int, counters: Counters) -> str:
    """Why the record at `offset` is given up, in words. In a batch that is split a number would count its parts."""
    counted = COUNTED[failure.kind]
    if not failure.retryable:
        what = "not to be retried"
    elif is_split(counters, counted):
        what = "out of attempts (its batch was split)"
    else:
        what = f"out of attempts ({getattr(counters, counted or 'tries')})"
    return f"{_where(failure, offset)}, {what}: {failure}"


def told_by_celery(event: ErrorHeard) -> tuple[FailureKind, str] | None:
    """What an error stored by Celery means, and which claim it must agree with ("" none); None: the sweep finds out."""
    if event.exception == "NotRegistered":
        return "not_registered", ""
    if event.exception == "WorkerLostError" and event.worker:
        return "worker_lost", event.worker
    if event.exception == "TimeLimitExceeded" and event.worker:
        return "timeout", event.worker
    if event.status == "REVOKED":
        return "revoked", event.worker if "terminated" in event.message else ""
    return None
