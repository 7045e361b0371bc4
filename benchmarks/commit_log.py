"""When offsets were committed, to the millisecond and without asking the broker again and again: Kafka keeps commits in
a topic of its own, and who reads along at its end gets each as soon as it counts.

A time is that of the arrival here, so late by one delivery of Kafka (0.5 to 2 ms on an idle machine), never early.
"""

from __future__ import annotations

import threading
import time
from struct import Struct

from confluent_kafka import Consumer, TopicPartition

from benchmarks.stack import Stack
from benchmarks.topics import Onlooker

_LOG = "__consumer_offsets"
_PATIENCE_S = 30.0
_VERSION, _LENGTH, _PARTITION, _OFFSET = Struct(">h"), Struct(">h"), Struct(">i"), Struct(">q")
#: the versions of keys that are about offsets
_OFFSET_KEYS = (0, 1)


class CommitLog:
    """`with CommitLog(stack, group, topic) as log:` hears what the group commits of the topic from then on."""

    def __init__(self, stack: Stack, group: str, topic: str) -> None:
        with Onlooker(stack, group, topic, 1) as onlooker:
            onlooker.committed()  # the first question of a cluster's life creates the log
        self._about = group, topic
        self._ended = threading.Event()
        #: when it arrived (time.monotonic_ns), partition, offset
        self.heard: list[tuple[int, int, int]] = []
        options = {"bootstrap.servers": stack.kafka.bootstrap_servers, "group.id": "commit-log", "log_level": 0}
        self._client = Consumer({**options, "enable.auto.commit": False, "fetch.wait.max.ms": 500})
        self._client.assign([self._end_of(number) for number in self._numbers()])
        self._thread = threading.Thread(target=self._read, name="commit-log", daemon=True)

    def _numbers(self) -> list[int]:
        return list(self._client.list_topics(_LOG, _PATIENCE_S).topics[_LOG].partitions)

    def _end_of(self, number: int) -> TopicPartition:
        place = TopicPartition(_LOG, number)
        place.offset = self._client.get_watermark_offsets(place, _PATIENCE_S)[1]
        return place

    def __enter__(self) -> CommitLog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _read(self) -> None:
        while not self._ended.is_set():
            message = self._client.poll(0.2)
            if message is None or message.error() is not None:
                continue
            now, value = time.monotonic_ns(), message.value()
            about = read_key(message.key() or b"")
            if value is not None and about is not None and about[:2] == self._about:
                self.heard.append((now, about[2], _OFFSET.unpack_from(value, _VERSION.size)[0]))


def read_key(key: bytes) -> tuple[str, str, int] | None:
    """Group, topic and partition of a commit; None for what is no commit."""
    if len(key) < _VERSION.size or _VERSION.unpack_from(key)[0] not in _OFFSET_KEYS:
        return None
    texts, at = [], _VERSION.size
    for _ in range(2):
        end = at + _LENGTH.size + _LENGTH.unpack_from(key, at)[0]
        texts.append(key[at + _LENGTH.size : end].decode())
        at = end
    return texts[0], texts[1], _PARTITION.unpack_from(key, at)[0]
