"""One delivery of one link: claim it, then advance, complete or fail.

Rules: nothing runs without a claim, and what a delivery that lost its claim has done counts for nothing. Finished work
is reported for as long as the link may take while Redis is away. What a task raised is raised again once the ledger has
the outcome, so that Celery and Flower show it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import redis
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from bridge.entries import Outcome, Rejection
from bridge.ledger.data import UnserialisableData
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import ClaimAnswer
from bridge.ledger.payload import Payload, decode
from bridge.workers.errors import ClaimRefused, LedgerSilent, LinkFailed, RecordFailed, RetryAsked
from bridge.workers.identity import BEAT, LAPSES, PULSE, Pulse, worker_id
from bridge.workers.installed import Connection
from bridge.workers.outcomes import Conclusion, Place, Stop, conclude, index_in_batch, stop_at, told_by

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: seconds between two tries of a step while Redis is away: the first, and the longest
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0

#: what Celery acts on, or a worker dies of, instead of showing a failed link; and what cannot be sent as it is
_NOT_SHOWN = (Ignore, Reject, Retry, MemoryError, RecordFailed, RetryAsked, UnserialisableData)


class Delivery:
    """One delivery of a link, with a nonce of its own."""

    def __init__(self, connection: Connection, handle: Handle, pulse: Pulse = PULSE) -> None:
        self.handle = handle
        self._ledger = connection.ledger
        self._settings = connection.settings
        self._worker = worker_id()
        self._nonce = secrets.token_hex(8)
        self._pulse = pulse.values
        self._lapses = self._pulse[LAPSES]
        self._timeout = connection.settings.worker_timeout
        self._trusted_until = self._silent_until = 0.0
        self._claimed_at = self._slowest_s = 0.0
        #: seconds between two questions to the ledger while the heartbeat is not known to be fresh
        self._pause = self._timeout / 3
        #: the chain has the outcome that this delivery gave it
        self.has_reported = False

    def claim(self) -> Payload:
        """The link's records, if this delivery may run it. Raises ClaimRefused, UnknownFormat."""
        try:
            answer = self._insist(self._ask, self._settings.claim_timeout)
        except LedgerSilent as error:
            logger.warning("link %s not run: %s", self.handle.link_id, error, extra={"action": "claim_given_up"})
            raise ClaimRefused(str(error)) from error
        if answer.payload is None:
            logger.debug("link %s not run: %s", self.handle.link_id, answer.refused, extra={"action": "claim_refused"})
            raise ClaimRefused(answer.refused)
        self._claimed_at, self._slowest_s = time.monotonic(), answer.slowest_s
        self._trusted_until = self._claimed_at + self._pause
        return decode(answer.payload)

    def check(self) -> None:
        """Between records: raises ClaimRefused when the worker was declared dead and the link given to another.

        Asks nobody as long as the worker's heartbeat is fresh and was not gone since the claim.
        """
        now = time.monotonic()
        pulse = self._pulse
        if pulse[LAPSES] == self._lapses and (now - pulse[BEAT] < self._timeout or now < self._trusted_until):
            return
        if now >= self._silent_until:
            self._confirm()

    def advance(self, payload: bytes | None) -> None:
        """Let the next link run, with `payload` (None: with the same records). Raises ClaimRefused, LedgerSilent."""
        took_s = self._took_s()
        self._report(lambda: self._ledger.advance(self.handle, self._nonce, payload, took_s))

    def complete(self, outcome: Outcome) -> None:
        """Report the chain's outcome. Raises ClaimRefused, LedgerSilent."""
        timed = replace(outcome, took_s=max(self._slowest_s, self._took_s()))
        self._report(lambda: self._ledger.complete(self.handle, self._worker, self._nonce, timed))
        self.has_reported = True

    def _took_s(self) -> float:
        return round(time.monotonic() - self._claimed_at, 6)

    def _confirm(self) -> None:
        try:
            lapses, answer = self._pulse[LAPSES], self._ask()
        except (redis.RedisError, OSError) as error:
            logger.debug("claim not confirmed (%s), going on", error, extra={"action": "ledger_away"})
            self._silent_until = time.monotonic() + self._pause
            return
        if answer.refused:
            self._throw_away(answer.refused)
        self._lapses, self._trusted_until = lapses, time.monotonic() + self._pause

    def _ask(self) -> ClaimAnswer:
        return self._ledger.claim(self.handle, self._worker, self._nonce)

    def _report(self, step: Callable[[], bool]) -> None:
        try:
            accepted = self._insist(step, self._settings.link_timeout)
        except SoftTimeLimitExceeded:  # it comes once, and is for the task's own code: what is done is still reported
            accepted = self._insist(step, self._settings.link_timeout)
        if not accepted:
            self._throw_away("the chain was superseded")

    def _throw_away(self, why: str) -> None:
        logger.warning(
            "link %s: its work is thrown away (%s)", self.handle.link_id, why, extra={"action": "superseded"}
        )
        raise ClaimRefused(why)

    def _insist(self, step: Callable[[], T], patience: float) -> T:
        deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
        while True:
            try:
                return step()
            except (redis.RedisError, OSError) as error:
                if time.monotonic() + pause > deadline:
                    raise LedgerSilent(f"the ledger did not answer for {patience:g} s: {error}") from error
                logger.debug("ledger away (%s), asking again", error, extra={"action": "ledger_away"})
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def report(
    delivery: Delivery,
    payload: Payload,
    place: Place,
    stop: Stop | None,
    rejected: Sequence[Rejection],
    data: Sequence[object] | None,
) -> bool:
    """Report a link's work; whether the chain goes on. Raises what stopped the link once the chain has an outcome."""
    conclusion = conclude(payload.offsets, place, payload.header.carried, stop, rejected)
    if conclusion.outcome is None:
        try:
            changed = _next_payload(payload, conclusion, data)
        except UnserialisableData as error:
            return report(delivery, payload, place, _stop_in(payload, error, place), rejected, data)
        delivery.advance(changed)
        if stop is not None:
            logger.warning(
                "link %s stopped at offset %d (%s); %d before it %s on",
                delivery.handle.link_id,
                stop.failure.offset,
                stop.failure,
                len(conclusion.keep),
                "goes" if len(conclusion.keep) == 1 else "go",
                exc_info=stop.error,
                extra={"action": "link_cut"},
            )
        return True
    delivery.complete(conclusion.outcome)
    if stop is not None:
        raise shown(stop.error, f"record {stop.failure.offset}: {stop.failure}")
    return False


def _stop_in(payload: Payload, error: UnserialisableData, place: Place) -> Stop:
    index = index_in_batch(payload, payload.offsets.index(error.offset))
    return stop_at(error, error.offset, place, named=True, index=index)


def _next_payload(payload: Payload, conclusion: Conclusion, data: Sequence[object] | None) -> bytes | None:
    if data is None and len(conclusion.keep) == len(payload):
        return None
    kept = None if data is None else data[: len(conclusion.keep)]
    return payload.cut(conclusion.keep, data=kept, carried=conclusion.carried)


def shown(error: BaseException, text: str) -> BaseException:
    """What Celery can show as a link's failure: the task's own exception, or `text` when it would act on that, or
    could not send it."""
    told = told_by(error) if isinstance(error, RetryAsked) else error
    if isinstance(told, Exception) and not isinstance(told, _NOT_SHOWN):
        return told
    instead = LinkFailed(text)
    instead.__cause__ = error
    return instead
