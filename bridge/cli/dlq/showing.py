"""`dlq show`: one dead letter with all its headers, key and value as far as they can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bridge.cli.dlq.letters import FoundLetter
from bridge.cli.logs import one_line
from bridge.kafka.dead_letter_headers import KAFKA_PREFIX, OWN_PREFIX, SPRING_NUMBERS, iso_time
from bridge.records import HEADERS, KEY, TIMESTAMP, VALUE

#: characters of text, and bytes of what is no text, that are shown
TEXT_LIMIT, HEX_LIMIT = 4000, 512


def describe(letter: FoundLetter) -> Iterator[str]:
    """The letter, line by line."""
    yield from describe_place(letter)
    yield from _headers(letter)
    for name, part in (("Key", letter.row[KEY]), ("Value", letter.row[VALUE])):
        yield ""
        yield from preview(name, part)


def describe_place(letter: FoundLetter) -> Iterator[str]:
    """Where it is, and which record it was."""
    at = iso_time(letter.row[TIMESTAMP])
    yield f"{letter.tp} offset {letter.offset}{f', written {at}' if at else ''}"
    if (about := letter.about) is None:
        yield "It does not say which record it was: it was not written by a bridge."
    else:
        yield f"was {about.tp} offset {about.offset}: {about.disposition or 'given up'}{_why(letter)}"
        if about.omitted:
            yield f"A STUB: the record was too large for this topic. Not here: {about.omitted}"


def _why(letter: FoundLetter) -> str:
    about = letter.about
    assert about is not None
    text = f"{about.exception}: {about.message}" if about.exception else about.message
    return f", {one_line(text)}" if text else ""


def _headers(letter: FoundLetter) -> Iterator[str]:
    headers = letter.row[HEADERS]
    yield ""
    yield f"Headers ({len(headers)})"
    width = min(40, max((len(name) for name, _ in headers), default=0))
    for name, value in headers:
        first, *rest = _lines(readable(name, value))
        yield f"  {one_line(name):<{width}}  {first}"
        yield from (f"  {'':<{width}}  {line}" for line in rest)


def readable(name: str, value: bytes | None) -> str:
    """A header's value, bounded."""
    if value is None:
        return "null"
    if name in SPRING_NUMBERS and len(value) in {4, 8}:
        return str(int.from_bytes(value, "big", signed=True))
    if name.startswith((KAFKA_PREFIX, OWN_PREFIX)):
        return _cut(value.decode(errors="replace"))
    text = _text(value)
    return _hex(value) if text is None else _cut(text)


def preview(name: str, part: bytes | None) -> Iterator[str]:
    """A key or a value: JSON laid out, other text as it is, what is no text as hexadecimal; bounded."""
    if part is None:
        yield f"{name}: null"
        return
    text = _text(part)
    if text is None:
        yield f"{name} ({len(part)} bytes, no text)"
        yield from _indent(_hex(part))
        return
    laid_out = _json(text) if len(text) <= 1_000_000 else None
    yield f"{name} ({len(part)} bytes, {'text' if laid_out is None else 'JSON'})"
    yield from _indent(_cut(text if laid_out is None else laid_out))


def _json(text: str) -> str | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return json.dumps(found, indent=2, ensure_ascii=False) if isinstance(found, (dict, list)) else None


def _text(value: bytes) -> str | None:
    """None for what is no text: not UTF-8, or with control characters."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\r\n\t" for char in text[:TEXT_LIMIT]) else None


def _hex(value: bytes) -> str:
    shown = [value[at : at + 32].hex(" ") for at in range(0, min(len(value), HEX_LIMIT), 32)]
    left = len(value) - HEX_LIMIT
    return "\n".join([*shown, *([f"... {left} bytes more"] if left > 0 else [])])


def _cut(text: str) -> str:
    left = len(text) - TEXT_LIMIT
    return text if left <= 0 else f"{text[:TEXT_LIMIT]}\n... {left} characters more"


def _indent(text: str) -> Iterator[str]:
    return (f"  {line}" for line in _lines(text))


def _lines(text: str) -> list[str]:
    """Without control characters: they could do things to a terminal."""
    return [one_line(line) for line in text.splitlines()] or [""]
