"""Writes dead letters, in a thread of its own: the broker's acknowledgement may take long, and nothing else waits.

Rules: the ledger is told, and asked whether the owner still is one, right before the letters are produced. Whatever
fails is said to the core, which tries again: writing the same letters twice is allowed, losing one is not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Container, Iterator, Sequence
from typing import Protocol

import redis

from bridge.core.batching import rows_bytes
from bridge.core.effects import WriteDeadLetters
from bridge.core.events import DeadLettersWritten, EffectFailed
from bridge.entries import DeadLetter
from bridge.errors import LanebridgeError
from bridge.ledger.ledger import Ledger
from bridge.records import TopicPartition
from bridge.runtime.mail import Post

logger = logging.getLogger(__name__)

#: bytes of records that the client is given at once
LOT_BYTES = 16 * 1024 * 1024
_LETTER = {"action": "dead_letter"}


class Producer(Protocol):
    """What writes letters to a topic, and returns when all of them are acknowledged or given back."""

    def write(
        self, topic: str, lots: Sequence[tuple[TopicPartition, Sequence[DeadLetter]]]
    ) -> Sequence[LanebridgeError | None]:
        """For each lot None, or what names topic, cause and remedy. Raises LanebridgeError when none can be written."""

    def close(self, timeout: float) -> None:
        """End the connections, within about `timeout` seconds."""


class DeadLetterWriter:
    """The work of the thread. It has a Redis client of its own, so that it waits for nobody's steps."""

    def __init__(self, ledger: Ledger, producer: Producer, post: Post) -> None:
        self._ledger = ledger
        self._producer = producer
        self._post = post
        #: the topics that did not take what they were sent last
        self._silent: set[str] = set()
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
        """End the connections, in at most about `timeout` seconds; nothing may be under way."""
        self._producer.close(timeout)

    def work(self, effects: Sequence[WriteDeadLetters]) -> None:
        """All that is for one topic together, so that lanes do not wait for each other's time-outs; topics that did not
        answer last time come last."""
        for topic, lot in _lots(effects, self._silent):
            if not self._begin():
                for effect in lot:
                    logger.info("%s: dead letters are left to the next owner", effect.tp, extra=_LETTER)
                continue
            try:
                self._write(topic, lot)
            finally:
                self._end()

    def _begin(self) -> bool:
        with self._lock:
            self._is_writing = not self._is_ending
            return self._is_writing

    def _end(self) -> None:
        with self._lock:
            self._is_writing = False

    def _write(self, topic: str, effects: Sequence[WriteDeadLetters]) -> None:
        if not (owned := [effect for effect in effects if self._is_owned(effect)]):
            return
        problems: Sequence[LanebridgeError | None]
        try:
            problems = self._producer.write(topic, [(effect.tp, effect.letters) for effect in owned])
        except LanebridgeError as error:
            problems = [error] * len(owned)
        if any(problems):
            self._silent.add(topic)
        else:
            self._silent.discard(topic)
        for effect, problem in zip(owned, problems, strict=True):
            if problem is None:
                self._post(DeadLettersWritten(effect.tp, effect.serial, effect.lane, effect.number, is_owner=True))
            else:
                self._post(EffectFailed(effect, str(problem)))

    def _is_owned(self, effect: WriteDeadLetters) -> bool:
        try:
            is_owner = self._ledger.dispose(effect.tp, effect.owner, effect.lane, effect.chain)
        except redis.RedisError as error:
            self._post(EffectFailed(effect, f"the ledger cannot be reached: {error}"))
            return False
        if not is_owner:
            self._post(DeadLettersWritten(effect.tp, effect.serial, effect.lane, effect.number, is_owner=False))
        return is_owner


def _lots(effects: Sequence[WriteDeadLetters], silent: Container[str]) -> Iterator[tuple[str, list[WriteDeadLetters]]]:
    """What is for one topic, as much at once as the client may hold."""
    by_topic: dict[str, list[WriteDeadLetters]] = {}
    for effect in effects:
        by_topic.setdefault(effect.topic, []).append(effect)
    for topic in sorted(by_topic, key=lambda topic: topic in silent):
        lot: list[WriteDeadLetters] = []
        held = 0
        for effect in by_topic[topic]:
            weight = rows_bytes(letter.row for letter in effect.letters)
            if lot and held + weight > LOT_BYTES:
                yield topic, lot
                lot, held = [], 0
            lot.append(effect)
            held += weight
        yield topic, lot
