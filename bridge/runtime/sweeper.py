"""Reads the ledger and the workers' heartbeats for the core's sweep, and publishes the bridge's state."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import redis

from bridge.core.effects import ReadLanes
from bridge.core.events import EffectFailed, LanesRead
from bridge.ledger.ledger import Ledger
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


SweeperItem = ReadLanes | PublishState | WithdrawState


class Sweeper:
    """The work of the sweeper's thread. It has a Redis client of its own, so that a publisher that waits for Redis
    does not hold up the sweep."""

    def __init__(self, ledger: Ledger, bridge_id: str, post: Post) -> None:
        self._ledger = ledger
        self._bridge_id = bridge_id
        self._post = post
        self._redis_since: float | None = None

    @property
    def redis_answers(self) -> bool:
        """The last call was answered."""
        return self._redis_since is not None

    def work(self, items: list[SweeperItem]) -> None:
        """In order; of several states only the last."""
        latest = next((item for item in reversed(items) if isinstance(item, PublishState)), None)
        for item in items:
            try:
                if isinstance(item, ReadLanes):
                    self._read(item)
                elif isinstance(item, WithdrawState):
                    self._ledger.forget_state(self._bridge_id)
                elif item is latest:
                    self._ledger.publish_state(self._bridge_id, item.blob, STATE_EXPIRY)
                    self._answered()
            except redis.RedisError as error:
                self._redis_since = None
                if isinstance(item, ReadLanes):
                    self._post(EffectFailed(item, f"the ledger cannot be reached: {error}"))

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
