"""Writes dead letters, in a thread of its own: the broker's acknowledgement may take long, and nothing else waits.

Rules: the ledger is told, and asked whether the owner still is one, right before the letters are produced. Whatever
fails is said to the core, which tries again: writing the same letters twice is allowed, losing one is not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

import redis

from bridge.core.effects import WriteDeadLetters
from bridge.core.events import DeadLettersWritten, EffectFailed
from bridge.entries import DeadLetter
from bridge.errors import LanebridgeError
from bridge.ledger.ledger import Ledger
from bridge.records import TopicPartition
from bridge.runtime.mail import Post

logger = logging.getLogger(__name__)


class Producer(Protocol):
    """What writes the letters of a partition to a topic, and returns when all of them are acknowledged."""

    def write(self, tp: TopicPartition, topic: str, letters: Sequence[DeadLetter]) -> None:
        """Raises LanebridgeError, whose text names topic, cause and remedy."""

    def close(self, timeout: float) -> None:
        """End the connections, within about `timeout` seconds."""


class DeadLetterWriter:
    """The work of the thread. It has a Redis client of its own, so that it waits for nobody's steps."""

    def __init__(self, ledger: Ledger, producer: Producer, post: Post) -> None:
        self._ledger = ledger
        self._producer = producer
        self._post = post
        self._lock = threading.Lock()
        self._is_ending = self._is_writing = False

    @property
    def is_writing(self) -> bool:
        """Letters are under way. Once `end_soon` was called, it only goes from True to False."""
        with self._lock:
            return self._is_writing

    def end_soon(self) -> None:
        """Begin with no more letters: the next owner of the partition does. What is being written may end."""
        with self._lock:
            self._is_ending = True

    def close(self, timeout: float) -> None:
        """End the connections, in at most about `timeout` seconds; the thread must have ended."""
        self._producer.close(timeout)

    def work(self, effects: Sequence[WriteDeadLetters]) -> None:
        """One after the other."""
        for effect in effects:
            if not self._begin():
                logger.info("%s: dead letters are left to the next owner", effect.tp, extra={"action": "dead_letter"})
                continue
            try:
                self._post(self._write(effect))
            finally:
                self._end()

    def _begin(self) -> bool:
        with self._lock:
            self._is_writing = not self._is_ending
            return self._is_writing

    def _end(self) -> None:
        with self._lock:
            self._is_writing = False

    def _write(self, effect: WriteDeadLetters) -> DeadLettersWritten | EffectFailed:
        try:
            is_owner = self._ledger.dispose(effect.tp, effect.owner, effect.lane, effect.chain)
            if is_owner:
                self._producer.write(effect.tp, effect.topic, effect.letters)
        except redis.RedisError as error:
            return EffectFailed(effect, f"the ledger cannot be reached: {error}")
        except LanebridgeError as error:
            return EffectFailed(effect, str(error))
        return DeadLettersWritten(effect.tp, effect.serial, effect.lane, effect.number, is_owner)
