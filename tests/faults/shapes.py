"""Records of every shape that Kafka takes, and a producer that notes what the broker has acknowledged of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import KafkaError, Message, Producer

from tests.faults import sums
from tests.faults.rig import Failed

#: what a topic must take at least, in bytes
LARGEST = 2_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """A record; `timestamp_ms` 0: the clock's."""

    what: str
    value: bytes | None
    key: bytes | None = b"key"
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int = 0


SHAPES: tuple[Shape, ...] = (
    Shape("empty value", b""),
    Shape("tombstone", None),
    Shape("null key", b"value", None),
    Shape("key of no bytes", b"value", b""),
    Shape("nothing at all", None, None),
    Shape("value of 1 MB", b"1" * 1_000_000),
    Shape("value of 2 MB", b"2" * (LARGEST - 1_000)),
    Shape("key of 100 kB", b"value", b"k" * 100_000),
    Shape("malformed JSON", b'{"n": 1'),
    Shape("JSON that is not UTF-8", b'{"n": "\xff"}'),
    Shape("every byte", bytes(range(256)), bytes(range(256))),
    Shape("repeated header names", b"value", headers=[("a", b"1"), ("b", b"2"), ("a", b"3"), ("a", None), ("a", b"")]),
    Shape("header value that is not UTF-8", b"value", headers=[("bytes", b"\xff\xfe\x00")]),
    Shape("header name of no bytes", b"value", headers=[("", b"value")]),
    Shape("header name beyond ASCII", b"value", headers=[("größe", b"value"), ("\U0001f600", None)]),
    Shape("100 headers", b"value", headers=[(f"name-{n}", b"%d" % n) for n in range(100)]),
    Shape("header of 100 kB", b"value", headers=[("large", b"h" * 100_000)]),
    Shape("duplicate, first", b"same", b"duplicate"),
    Shape("duplicate, second", b"same", b"duplicate"),
    Shape("no timestamp", b"value", timestamp_ms=-1),
    Shape("timestamp of 1969", b"value", timestamp_ms=-5),
    Shape("timestamp of 1970", b"value", timestamp_ms=1),
)

#: says something of the injector: a line's event, and what else is in it
Note = Callable[..., None]


def produce(servers: str, topic: str, placed: Iterable[tuple[int, Shape]], note: Note) -> dict[tuple[int, int], Shape]:
    """Each shape to its partition. Returns partition, offset -> shape; notes the sums. Raises Failed."""
    found: dict[tuple[int, int], Shape] = {}
    refused: list[str] = []
    options: dict[str, Any] = {"bootstrap.servers": servers, "message.max.bytes": LARGEST, "enable.idempotence": True}
    producer = Producer({**options, "log_level": 0})

    def delivered(shape: Shape) -> Callable[[KafkaError | None, Message], None]:
        def done(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                refused.append(f"{shape.what}: {error}")
                return
            place = cast("tuple[int, int]", (message.partition(), message.offset()))
            found[place] = shape
            carried = sums.digest(message.timestamp()[1], shape.key, shape.value, shape.headers)
            note("produced", topic=topic, partition=place[0], records=[[place[1], carried]])

        return done

    for partition, shape in placed:
        headers = cast("Any", list(shape.headers))
        producer.produce(
            topic,
            shape.value,
            shape.key,
            partition=partition,
            headers=headers,
            timestamp=shape.timestamp_ms,
            on_delivery=delivered(shape),
        )
        producer.poll(0)
    if producer.flush(60) or refused:
        raise Failed(f"the records could not be produced: {refused}")
    return found
