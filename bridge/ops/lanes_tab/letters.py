"""Dead letters on the page: what reads them is given from outside, because only it knows Kafka's settings."""

from __future__ import annotations

from typing import Protocol

import msgspec


class LetterKind(msgspec.Struct, frozen=True):
    """Dead letters of one cause. Times in milliseconds since 1970; `command` replays these and no others; `newest` is
    where one of the newest is."""

    topic: str
    source: str
    disposition: str
    exception: str
    count: int
    replayed: int
    stubs: int
    oldest_ms: int | None
    newest_ms: int | None
    newest_partition: int
    newest_offset: int
    command: str


class Letter(msgspec.Struct, frozen=True):
    """One dead letter: `headers` as text, `key` and `value` only if values may be shown, else null."""

    title: str
    source: str
    headers: tuple[tuple[str, str], ...]
    key: str | None
    value: str | None


class ReplayWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cause is meant, as LetterKind names it; with `dry_run` nothing is written."""

    topic: str
    source: str
    disposition: str
    exception: str
    dry_run: bool


class Replayed(msgspec.Struct, frozen=True):
    """What was done, a line each, and why it did not go on ("" it is done)."""

    lines: tuple[str, ...]
    problem: str = ""


class Letters(Protocol):
    """Reads the dead letter topics of the app's pipelines. Blocks. Raises LanebridgeError with a sentence."""

    def kinds(self) -> list[LetterKind]:
        """All, by cause."""

    def show(self, topic: str, partition: int, offset: int, *, with_values: bool) -> Letter:
        """One of them, by its own place."""

    def replay(self, wish: ReplayWish) -> Replayed:
        """Write the dead letters of one cause back to where their records were; raises nothing of that."""
