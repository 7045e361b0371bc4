"""Reads the ledger, the workers' heartbeats and what operators want, for the core; publishes the bridge's state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from bridge.core.effects import AnswerRequest, KeepPauses, ReadLanes
from bridge.core.events import EffectFailed, Instructed, LanesRead
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.runtime.mail import Post

logger = logging.getLogger(__name__)

#: seconds after which a published state is gone when its bridge is
STATE_EXPIRY = 10.0


@dataclass(frozen=True, slots=True)
class PublishState:
    """The state document of this bridge, for every view."""

    blob: bytes


@dataclass(frozen=True, slots=True)
class WithdrawState:
    """The bridge ends: no view shows it any more."""


@dataclass(frozen=True, slots=True)
class ReadInstructions:
    """What operators want now. Told again and again: another thread, which reads with each assignment, may have told
    an older reading last."""


SweeperItem = ReadLanes | PublishState | WithdrawState | ReadInstructions | AnswerRequest | KeepPauses


class Sweeper:
    """The work of the sweeper's thread. It has a Redis client of its own, so that a publisher that waits for Redis
    does not hold up the sweep."""

    def __init__(self, ledger: Ledger, operators: Operators, bridge_id: str, post: Post) -> None:
        self._ledger = ledger
        self._operators = operators
        self._bridge_id = bridge_id
        self._post = post
        self._redis_since: float | None = None
        self._handlers: dict[type, Callable[[Any], None]] = {
            ReadLanes: self._read,
            PublishState: self._publish,
            WithdrawState: lambda item: ledger.forget_state(bridge_id),
            ReadInstructions: self._read_instructions,
            AnswerRequest: self._answer,
            KeepPauses: self._keep_pauses,
        }

    @property
    def redis_answers(self) -> bool:
        """The last call was answered."""
        return self._redis_since is not None

    def work(self, items: list[SweeperItem]) -> None:
        """In order; of several states only the last. What is not done about operators is read again."""
        latest = {type(item): item for item in items}
        for item in items:
            if isinstance(item, (PublishState, ReadInstructions)) and item is not latest[type(item)]:
                continue
            try:
                self._handlers[type(item)](item)
            except redis.RedisError as error:
                self._redis_since = None
                if isinstance(item, ReadLanes):
                    self._post(EffectFailed(item, f"the ledger cannot be reached: {error}"))

    def _publish(self, item: PublishState) -> None:
        self._ledger.publish_state(self._bridge_id, item.blob, STATE_EXPIRY)
        self._answered()

    def _read_instructions(self, item: ReadInstructions) -> None:
        self._post(Instructed(self._operators.read()))

    def _answer(self, item: AnswerRequest) -> None:
        at_ms = time.time_ns() // 1_000_000
        self._operators.answer(item.request, item.result, done=item.is_done, bridge=self._bridge_id, at_ms=at_ms)

    def _keep_pauses(self, item: KeepPauses) -> None:
        self._operators.keep_pauses(item.number, item.pauses)

    def _answered(self) -> float:
        if self._redis_since is None:
            self._redis_since = time.monotonic()
        return self._redis_since

    def _read(self, item: ReadLanes) -> None:
        entries = self._ledger.read([tp for tp, _ in item.partitions])
        workers = self._ledger.heartbeats()
        since = self._answered()
        found = {tp: (serial, entries[tp]) for tp, serial in item.partitions}
        self._post(LanesRead(item.number, found, workers, since))
