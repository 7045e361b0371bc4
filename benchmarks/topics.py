"""Topics of a case's own, and what a group has committed of them, as the broker says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.case import WrongRun
from benchmarks.stack import Stack

#: seconds for one question to the broker
_PATIENCE_S = 30.0
#: what a broker answers that is still about to look after the group
_NOT_READY = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


def create_topic(stack: Stack, name: str, partitions: int) -> None:
    """A new topic, empty."""
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(_PATIENCE_S)


def delete_topic(stack: Stack, name: str) -> None:
    """What a window leaves must not fill the disk."""
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap_servers, "log_level": 0})
    admin.delete_topics([name])[name].result(_PATIENCE_S)


def fill(stack: Stack, topic: str, records: Iterable[tuple[int, bytes | None, bytes]]) -> None:
    """Produce records, each given as partition, key and value."""
    producer = Producer({"bootstrap.servers": stack.kafka.bootstrap_servers, "linger.ms": 50, "log_level": 0})
    for partition, key, value in records:
        while not _is_queued(producer, topic, partition, key, value):
            producer.poll(0.1)
    producer.flush()


def _is_queued(producer: Producer, topic: str, partition: int, key: bytes | None, value: bytes) -> bool:
    try:
        producer.produce(topic, value, key, partition)
    except BufferError:
        return False
    return True


class Onlooker:
    """Asks what a group has committed of a topic, without being a member. `with Onlooker(...) as onlooker:`."""

    def __init__(self, stack: Stack, group: str, topic: str, partitions: int) -> None:
        options = {"bootstrap.servers": stack.kafka.bootstrap_servers, "group.id": group, "log_level": 0}
        self._client = Consumer({**options, "enable.auto.commit": False})
        self._places = [TopicPartition(topic, number) for number in range(partitions)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def committed(self) -> list[int]:
        """Of each partition; 0 where nothing is committed yet. A broker may need a moment to know."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return [max(place.offset, 0) for place in self._client.committed(self._places, _PATIENCE_S)]
            except KafkaException as error:
                if error.args[0].code() not in _NOT_READY or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def ends(self) -> list[int]:
        """Where the log of each partition ends."""
        return [self._client.get_watermark_offsets(place, _PATIENCE_S)[1] for place in self._places]

    def check_end(self) -> None:
        """Raises WrongRun unless everything is committed, and nothing more."""
        for number, (offset, end) in enumerate(zip(self.committed(), self.ends(), strict=True)):
            if offset != end:
                raise WrongRun(f"{offset} is committed of partition {number}, its log ends at {end}")
