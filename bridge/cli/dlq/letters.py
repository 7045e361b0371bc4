"""Which dead letters a command is about: a letter as it was found, and what is chosen of many."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bridge.kafka.dead_letter_headers import About, read_headers
from bridge.records import HEADERS, OFFSET, TIMESTAMP, Row, TopicPartition


@dataclass(frozen=True, slots=True)
class FoundLetter:
    """A record of a dead letter topic; `about` is None when it does not say which record it was."""

    tp: TopicPartition
    row: Row
    about: About | None

    @classmethod
    def of(cls, tp: TopicPartition, row: Row) -> FoundLetter:
        """Read the headers."""
        return cls(tp, row, read_headers(row[HEADERS]))

    @property
    def offset(self) -> int:
        """Its own offset, in the dead letter topic."""
        return self.row[OFFSET]


@dataclass(frozen=True, slots=True)
class Filters:
    """What is chosen; an empty tuple or None means everything. Times are those of the dead letter, in milliseconds:
    `since_ms` and later, before `until_ms`."""

    sources: tuple[str, ...] = ()
    dispositions: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None

    def chooses(self, letter: FoundLetter) -> bool:
        """Whether the letter is chosen. An exception matches by its whole name, or by what follows the last dot."""
        about, at_ms = letter.about, letter.row[TIMESTAMP]
        if about is None:
            return not (self.sources or self.dispositions or self.exceptions) and self._spans(at_ms)
        return (
            (not self.sources or about.tp.topic in self.sources)
            and (not self.dispositions or about.disposition in self.dispositions)
            and (
                not self.exceptions or bool({about.exception, about.exception.rpartition(".")[2]} & {*self.exceptions})
            )
            and self._spans(at_ms)
        )

    def _spans(self, at_ms: int) -> bool:
        return (self.since_ms is None or at_ms >= self.since_ms) and (self.until_ms is None or at_ms < self.until_ms)

    def as_json(self) -> dict[str, Any]:
        """What is not empty."""
        return {name: value for name, value in asdict(self).items() if value not in ((), None)}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Filters:
        """From `as_json`. Raises TypeError for what this version does not know."""
        given: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in found.items()}
        return cls(**given)
