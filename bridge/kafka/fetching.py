"""From the client's messages to runs of rows: the hot path.

Rules: nothing here runs Python code per record; columns are read by `map` over the message's own accessors and zipped
into rows. Messages that are events (end of log, errors) are set apart first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any, cast

from confluent_kafka import Message

from bridge.kafka.errors import BrokerError
from bridge.records import OFFSET, Headers, Row, TopicPartition

_milliseconds = itemgetter(1)


@dataclass(frozen=True, slots=True)
class Fetch:
    """What one call has brought.

    `runs`: records by partition, in offset order. `ends`: partitions of which everything below the offset has been
    delivered. `missing`: partitions whose log no longer has the next offset; nothing comes until they are started
    anew. `errors`: what a person should know.
    """

    runs: list[tuple[TopicPartition, list[Row]]] = field(default_factory=list)
    ends: list[tuple[TopicPartition, int]] = field(default_factory=list)
    missing: list[TopicPartition] = field(default_factory=list)
    errors: list[BrokerError] = field(default_factory=list)


def set_events_apart(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """Records, and events: messages that carry an error or an end of log."""
    if not any(map(Message.error, messages)):
        return messages, []
    pairs = list(zip(messages, map(Message.error, messages), strict=True))
    return [message for message, error in pairs if not error], [message for message, error in pairs if error]


def runs_of(records: Sequence[Message], only_topic: str = "") -> Iterator[tuple[tuple[str, int], Sequence[Message]]]:
    """Neighbouring records of the same partition. `only_topic`: there is no other ("": ask each record)."""
    topics = [only_topic] * len(records) if only_topic else cast("list[str]", list(map(Message.topic, records)))
    partitions = cast("list[int]", list(map(Message.partition, records)))
    if partitions.count(partitions[0]) == topics.count(topics[0]) == len(records):
        yield (topics[0], partitions[0]), records  # the usual case: the client hands out long runs
        return
    start = 0
    for place, group in groupby(zip(topics, partitions, strict=True)):
        end = start + len(list(group))
        yield place, records[start:end]
        start = end


def rows_of(records: Sequence[Message]) -> tuple[list[Row], list[int]]:
    """The records' rows, byte for byte what was produced, and the offsets of those whose headers cannot be read."""
    found, unreadable = _headers(records)
    headers: Iterator[Headers] = map(_frozen, found) if any(found) else repeat(())
    columns = zip(
        map(Message.offset, records),
        map(_milliseconds, map(Message.timestamp, records)),
        map(Message.key, records),
        map(Message.value, records),
        headers,
        strict=False,
    )
    rows = cast("list[Row]", list(columns))
    return rows, [rows[index][OFFSET] for index in unreadable]


def _headers(records: Sequence[Message]) -> tuple[list[Any], list[int]]:
    """The headers of all records, and the indices of those that have a name that is not UTF-8: the client fails at
    these, and what it gives for them when asked again must not be touched (its tuples have holes)."""
    found: list[Any] = []
    unreadable: list[int] = []
    remaining = map(Message.headers, records)
    while len(found) < len(records):
        try:
            found.extend(remaining)  # keeps what came before an exception, and goes on after it
        except SystemError:
            unreadable.append(len(found))
            found.append(None)
    return found, unreadable


def _frozen(headers: Any) -> Headers:
    return tuple(headers) if headers else ()
