"""One number for what a record carries: whoever produces, handles or dead-letters it must come to the same.

None is another key, value or header value than no bytes; repeated headers and their order count, and so does the
timestamp (milliseconds, -1: none).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from bridge.records import Record

if TYPE_CHECKING:
    from confluent_kafka import Message

Headers = Sequence[tuple[str, bytes | None]]

#: what a dead letter adds to the headers of the record that it was, and the one of these that has its timestamp
ADDED = ("__dlq.errors.", "lanebridge.")
TIMESTAMP = "lanebridge.timestamp"


def digest(timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
    """The sum of these."""
    parts = [str(timestamp_ms).encode(), key, value]
    for name, content in headers:
        parts += [name.encode(), content]
    return zlib.crc32(b"".join(_framed(parts)))


def _framed(parts: Iterable[bytes | None]) -> Iterable[bytes]:
    for part in parts:
        yield b"-" if part is None else b"%d:%b" % (len(part), part)


def of_record(record: Record) -> int:
    """Of a record as a task sees it."""
    return digest(record.timestamp_ms, record.key, record.value, record.headers)


def of_message(message: Message) -> int:
    """Of a message as a plain client has read it. (What a delivery report tells has no headers: who produces takes
    `digest` of what it has given.)"""
    return digest(message.timestamp()[1], message.key(), message.value(), _headers(message))


def of_letter(message: Message) -> int:
    """Of the record that a dead letter was."""
    headers = _headers(message)
    own = [header for header in headers if not header[0].startswith(ADDED)]
    said = [content or b"" for name, content in headers if name == TIMESTAMP]
    at_ms = round(datetime.fromisoformat(said[-1].decode()).timestamp() * 1000) if said else -1
    return digest(at_ms, message.key(), message.value(), own)


def _headers(message: Message) -> Headers:
    return cast("list[tuple[str, bytes | None]]", message.headers() or [])
