"""Dead letters for tests, and what a topic holds, read by a plain client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import confluent_kafka as ck

from bridge.entries import DeadLetter
from bridge.kafka.admin import Admin
from bridge.kafka.dead_letters import DeadLetterProducer
from bridge.kafka.profile import ConsumerSettings
from bridge.records import Headers, Row, TopicPartition
from tests.kafka.member import settings_for


def row(
    offset: int = 7,
    key: bytes | None = b"key",
    value: bytes | None = b"value",
    headers: Headers = (),
    timestamp_ms: int = 1_700_000_000_123,
) -> Row:
    """A record as the bridge holds it."""
    return (offset, timestamp_ms, key, value, headers)


def letter(record: Row | None = None, **about: Any) -> DeadLetter:
    """A letter of a record that is out of attempts."""
    known = {
        "disposition": "exhausted",
        "message": "no stock",
        "exception": "ValueError",
        "traceback": "Traceback ...\nValueError: no stock",
        "task": "orders.store",
        "link": 2,
        "chain": "g.orders-1.0-9.7-1",
        "index": 3,
        "attempts": 5,
        "first_failed_ms": 1_700_000_001_000,
        "last_failed_ms": 1_700_000_060_500,
    }
    return DeadLetter(row() if record is None else record, **{**known, **about})


class OneLot(DeadLetterProducer):
    """A producer that is given one lot at a time, and raises what is wrong with it."""

    def write_one(self, tp: TopicPartition, topic: str, letters: Sequence[DeadLetter]) -> None:
        (problem,) = self.write(topic, [(tp, letters)])
        if problem is not None:
            raise problem


@contextmanager
def writing(servers: str | ConsumerSettings, group: str = "g", **options: Any) -> Iterator[OneLot]:
    """A producer of dead letters with an Admin of its own."""
    settings = settings_for(servers, group) if isinstance(servers, str) else servers
    admin = Admin(settings, timeout=5.0)
    producer = OneLot(settings, admin, group=group, version="1.2.3", **options)
    try:
        yield producer
    finally:
        producer.close(5.0)
        admin.close()


def records_of(servers: str, topic: str, partition: int = 0) -> list[Row]:
    """Everything that the partition holds."""
    consumer = ck.Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{topic}-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 8_000_000,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([ck.TopicPartition(topic, partition, 0)])
    found: list[Row] = []
    deadline = time.monotonic() + 60.0
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if (error := message.error()) is not None:
                assert error.code() == ck.KafkaError._PARTITION_EOF, error
                return found
            found.append(_row(message))
    finally:
        consumer.close()
    raise AssertionError(f"the end of {topic}[{partition}] was not reached")


def _row(message: Any) -> Row:
    headers = tuple(message.headers() or ())
    return (message.offset(), message.timestamp()[1], message.key(), message.value(), headers)
