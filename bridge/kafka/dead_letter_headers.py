"""What a dead letter says about itself, as headers beside those of the record that it is.

Rules: names under `__dlq.errors.` and `lanebridge.` are ours, and so are Spring's in letters of the profile `spring`;
older ones of ours are replaced, all others are kept byte for byte and in order. What is added is bounded. Values are
UTF-8 text (times ISO 8601, UTC), but Spring's numbers are big-endian integers, as Spring reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, cast

from bridge.entries import DeadLetter
from bridge.records import HEADERS, OFFSET, TIMESTAMP, Headers, TopicPartition

Profile = Literal["kafka", "spring"]

#: how many bytes a letter's headers may add to a record, and how many of a name (a task, an exception) they carry
ADDED_BYTES, NAME_BYTES = 16 * 1024, 512

KAFKA_PREFIX, OWN_PREFIX = "__dlq.errors.", "lanebridge."

#: how often a record has been replayed: the one header of ours that a replay keeps
REPLAYS = "lanebridge.replays"
#: what a stub leaves out, and its size
OMITTED = "lanebridge.omitted"
_PROFILE = "lanebridge.profile"
_DISPOSITION = "lanebridge.disposition"
_EXCEPTION = "lanebridge.exception"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes letters: the bridge's consumer group, its version, and how it names its headers."""

    group: str
    version: str
    profile: Profile = "kafka"


@dataclass(frozen=True, slots=True)
class About:
    """What a dead letter's headers say. `tp` and `offset` are the place of the record that it was; `omitted` says what
    the letter does not carry of it ("" it is whole)."""

    tp: TopicPartition
    offset: int
    disposition: str = ""
    exception: str = ""
    message: str = ""
    replays: int = 0
    omitted: str = ""


def letter_headers(tp: TopicPartition, letter: DeadLetter, sender: Sender, omitted: str = "") -> Headers:
    """What is added to the record's own headers (`record_headers`), at most ADDED_BYTES of it: the traceback is cut
    first, then the message."""
    replays = replays_of(letter.row[HEADERS])
    headers = _all_headers(tp, letter, sender, omitted, replays)
    for name, copies in (("traceback", 2 if sender.profile == "spring" else 1), ("message", 1)):
        if (excess := _size(headers) - ADDED_BYTES) > 0:
            letter = _shortened(letter, name, -(-excess // copies))
            headers = _all_headers(tp, letter, sender, omitted, replays)
    return headers


def record_headers(headers: Headers, profile: str = "") -> Headers:
    """A record's own headers: without ours, of an earlier letter or of one about to be written in `profile`."""
    is_spring = "spring" in (profile, _text(_last(headers, _PROFILE)))
    return tuple(
        header
        for header in headers
        if not header[0].startswith((KAFKA_PREFIX, OWN_PREFIX)) and not (is_spring and header[0] in SPRING_NAMES)
    )


def replays_of(headers: Headers) -> int:
    """How often a record has been replayed."""
    found = _text(_last(headers, REPLAYS))
    return int(found) if found.isascii() and found.isdigit() else 0


def replayed_headers(headers: Headers) -> Headers:
    """The headers of a dead letter's record as it goes back to its topic: its own, and the counter."""
    return (*record_headers(headers), (REPLAYS, str(replays_of(headers) + 1).encode()))


def read_headers(headers: Headers) -> About | None:
    """What a dead letter says, of either profile; None when it does not say which record it was."""
    is_spring = _text(_last(headers, _PROFILE)) == "spring"
    place = _spring_place(headers) if is_spring else _kafka_place(headers)
    if place is None:
        return None
    message = _last(headers, "kafka_dlt-exception-message" if is_spring else f"{KAFKA_PREFIX}message")
    return About(
        *place,
        disposition=_text(_last(headers, _DISPOSITION)),
        exception=_text(_last(headers, _EXCEPTION)),
        message=_text(message),
        replays=replays_of(headers),
        omitted=_text(_last(headers, OMITTED)),
    )


# --- writing ----------------------------------------------------------------------------------------------------------


def _all_headers(tp: TopicPartition, letter: DeadLetter, sender: Sender, omitted: str, replays: int) -> Headers:
    place = SPRING if sender.profile == "spring" else KAFKA
    named = {name: of(tp, letter, sender) for name, of in place.items()}
    own = {name: _encode(of(letter)) for name, of in OWN.items()}
    own |= {"lanebridge.version": _encode(sender.version), _PROFILE: _encode(sender.profile)}
    own |= {OMITTED: _encode(omitted), REPLAYS: _encode(str(replays) if replays else "")}
    return tuple((name, value) for name, value in (named | own).items() if value)


#: of the default profile: the names of KIP-1191
KAFKA: Mapping[str, Callable[[TopicPartition, DeadLetter, Sender], bytes]] = {
    f"{KAFKA_PREFIX}topic": lambda tp, letter, sender: _encode(tp.topic),
    f"{KAFKA_PREFIX}partition": lambda tp, letter, sender: _encode(str(tp.partition)),
    f"{KAFKA_PREFIX}offset": lambda tp, letter, sender: _encode(str(letter.row[OFFSET])),
    f"{KAFKA_PREFIX}group": lambda tp, letter, sender: _encode(sender.group),
    f"{KAFKA_PREFIX}delivery.count": lambda tp, letter, sender: _encode(str(letter.attempts)),
    f"{KAFKA_PREFIX}message": lambda tp, letter, sender: _encode(letter.message),
}

#: of the profile `spring`, instead
SPRING: Mapping[str, Callable[[TopicPartition, DeadLetter, Sender], bytes]] = {
    "kafka_dlt-original-topic": lambda tp, letter, sender: _encode(tp.topic),
    "kafka_dlt-original-partition": lambda tp, letter, sender: struct.pack(">i", tp.partition),
    "kafka_dlt-original-offset": lambda tp, letter, sender: struct.pack(">q", letter.row[OFFSET]),
    "kafka_dlt-original-timestamp": lambda tp, letter, sender: struct.pack(">q", letter.row[TIMESTAMP]),
    "kafka_dlt-original-consumer-group": lambda tp, letter, sender: _encode(sender.group),
    "kafka_deliveryAttempt": lambda tp, letter, sender: struct.pack(">i", letter.attempts),
    "kafka_dlt-exception-fqcn": lambda tp, letter, sender: _encode(_name(letter.exception)),
    "kafka_dlt-exception-message": lambda tp, letter, sender: _encode(letter.message),
    "kafka_dlt-exception-stacktrace": lambda tp, letter, sender: _encode(letter.traceback),
}
SPRING_NAMES = frozenset(SPRING)
#: those of them that are binary numbers
SPRING_NUMBERS = frozenset(
    {
        "kafka_dlt-original-partition",
        "kafka_dlt-original-offset",
        "kafka_dlt-original-timestamp",
        "kafka_deliveryAttempt",
    }
)

#: of every profile; what is not known ("") is left out
OWN: Mapping[str, Callable[[DeadLetter], str]] = {
    _DISPOSITION: lambda letter: letter.disposition,
    _EXCEPTION: lambda letter: _name(letter.exception),
    "lanebridge.traceback": lambda letter: letter.traceback,
    "lanebridge.timestamp": lambda letter: _record_time(letter.row[TIMESTAMP]),
    "lanebridge.first.failure": lambda letter: iso_time(letter.first_failed_ms),
    "lanebridge.last.failure": lambda letter: iso_time(letter.last_failed_ms),
    "lanebridge.task": lambda letter: _name(letter.task),
    "lanebridge.link": lambda letter: str(letter.link),
    "lanebridge.chain": lambda letter: _name(letter.chain),
    "lanebridge.index": lambda letter: str(letter.index) if letter.index >= 0 else "",
}


def iso_time(at_ms: int) -> str:
    """`2026-11-24T09:30:01.042Z`; "" for a time that is not known (0, -1) or that no calendar has."""
    return _record_time(at_ms) if at_ms else ""


def _record_time(at_ms: int) -> str:
    """The same of a record: only -1 is none, 0 and what is below are times like any other."""
    if at_ms == -1:
        return ""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def _shortened(letter: DeadLetter, name: str, excess: int) -> DeadLetter:
    """The letter with `excess` bytes less in one of its texts: of a traceback the end is kept, where the error is."""
    text = _encode(getattr(letter, name))
    room = max(0, len(text) - excess - len("..."))
    kept = text[len(text) - room :] if name == "traceback" else text[:room]
    shown = kept.decode(errors="ignore")
    shown = f"...{shown}" if name == "traceback" else f"{shown}..."
    return replace(letter, traceback=shown) if name == "traceback" else replace(letter, message=shown)


def _name(text: str) -> str:
    """A name, shortened when somebody has made it as long as a text."""
    return _encode(text)[:NAME_BYTES].decode(errors="ignore")


def _encode(text: str) -> bytes:
    """Half of a surrogate pair has no UTF-8: it is written as an escape."""
    return text.encode(errors="backslashreplace")


def _size(headers: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") for name, value in headers)


# --- reading ----------------------------------------------------------------------------------------------------------


def _kafka_place(headers: Headers) -> tuple[TopicPartition, int] | None:
    topic, partition, offset = (
        _text(_last(headers, f"{KAFKA_PREFIX}{name}")) for name in ("topic", "partition", "offset")
    )
    if not topic or not all(number.isascii() and number.isdigit() for number in (partition, offset)):
        return None
    return TopicPartition(topic, int(partition)), int(offset)


def _spring_place(headers: Headers) -> tuple[TopicPartition, int] | None:
    topic, partition, offset = (
        _last(headers, f"kafka_dlt-original-{name}") or b"" for name in ("topic", "partition", "offset")
    )
    if not topic or len(partition) != struct.calcsize(">i") or len(offset) != struct.calcsize(">q"):
        return None
    number, at = cast("tuple[int, int]", struct.unpack(">iq", partition + offset))
    return TopicPartition(_text(topic), number), at


def _last(headers: Headers, name: str) -> bytes | None:
    return next((value for known, value in reversed(headers) if known == name), None)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
