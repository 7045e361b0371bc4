"""What happens to a chain that did not succeed: the table, and nothing else.

Attempts are counted at the first unfinished offset, apart for each kind, and start anew when it moves. A lane never
runs past a record that is still to be tried again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from bridge.entries import Counters, Failure, FailureKind, Outcome
from bridge.records import Retry


class Verdict(Enum):
    """What the lane does next."""

    TRY_AGAIN = "try again"
    STALL = "stall"
    STOP = "stop"


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


def count(counters: Counters, at: int, kind: FailureKind) -> Counters:
    """The counters after one more failure of this kind at offset `at`."""
    current = counters if counters.at == at else Counters(at=at)
    name = COUNTED[kind]
    if not name:
        return current
    return replace(current, **{name: getattr(current, name) + 1})


def judge(outcome: Outcome, counters: Counters, retry: Retry, limits: Limits, *, stalls: int, roll: float) -> Decision:
    """What to do with an outcome that leaves records unfinished. `stalls` counts uncounted failures in a row."""
    if outcome.rejected:
        first = outcome.rejected[0]
        reason = f"record {first.offset} was rejected by {first.task}: {first.reason}"
        return Decision(Verdict.STOP, counters, 0.0, reason)
    failure = outcome.failure or Failure(outcome.next_offset, message="the chain ended without saying why")
    after = count(counters, outcome.next_offset, failure.kind)
    counted = COUNTED[failure.kind]
    if not counted:
        wait = min(STALL_DELAY * 2.0 ** min(stalls, 16), STALL_MAX_DELAY)
        return Decision(Verdict.STALL, after, wait, f"{failure} (tried again in {wait:.0f} s)")
    allowed = {
        "failures": retry.max_attempts,
        "timeouts": limits.max_timeouts,
        "losses": limits.max_worker_losses,
    }[counted]
    tries = getattr(after, counted)
    if tries >= allowed or not failure.retryable:
        return Decision(Verdict.STOP, after, 0.0, _stop_reason(failure, outcome.next_offset, tries))
    wait = _wait(outcome, retry, counted, tries, roll)
    where = _where(failure, outcome.next_offset)
    return Decision(Verdict.TRY_AGAIN, after, wait, f"attempt {tries} of {allowed} failed at {where}: {failure}")


def _wait(outcome: Outcome, retry: Retry, counted: Counted, tries: int, roll: float) -> float:
    if counted != "failures":
        return 0.0
    return outcome.delay if outcome.delay is not None else retry.wait(tries, roll)


def _where(failure: Failure, offset: int) -> str:
    return f"offset {offset} in {failure.task}" if failure.task else f"offset {offset}"


def _stop_reason(failure: Failure, offset: int, tries: int) -> str:
    what = "not to be retried" if not failure.retryable else f"out of attempts ({tries})"
    return f"{_where(failure, offset)}, {what}: {failure}"
