"""Kafka as the core's tests see it: logs with gaps, committed offsets, and who may commit."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from bridge.core.commits import read_metadata
from bridge.core.effects import CommitEntry
from bridge.records import Row, TopicPartition


@dataclass(slots=True)
class Log:
    """One partition. `end` may be beyond the last record (control markers), offsets may have gaps."""

    rows: list[Row] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    start: int = 0
    end: int = 0
    topic_id: str = ""

    def append(self, key: bytes | None, value: bytes, *, gap: int = 0) -> None:
        """One record, behind a gap of `gap` offsets."""
        offset = self.end + gap
        self.rows.append((offset, 1_700_000_000_000 + offset, key, value, ()))
        self.offsets.append(offset)
        self.end = offset + 1

    def mark(self) -> None:
        """A control marker: an offset without a record."""
        self.end += 1

    def delete_below(self, offset: int) -> None:
        """Retention."""
        self.start = max(self.start, min(offset, self.end))

    def read(self, offset: int, count: int) -> list[Row]:
        """At most `count` records from `offset` on."""
        index = bisect_left(self.offsets, offset)
        return self.rows[index : index + count]


@dataclass(slots=True)
class Kafka:
    """The logs, and what the group has committed."""

    logs: dict[TopicPartition, Log] = field(default_factory=dict)
    committed: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    #: how often the topic was created
    creations: int = 1

    @property
    def topic_id(self) -> str:
        """The id that the topic has now."""
        return f"id-{self.creations}"

    def create(self, tp: TopicPartition) -> None:
        """The partition is there, and empty."""
        self.logs[tp] = Log(topic_id=self.topic_id)

    def reached(self, tp: TopicPartition) -> int:
        """The committed offset; -1 when there is none, or it is one of a topic that was deleted since."""
        offset, text = self.committed.get(tp, (-1, ""))
        metadata = read_metadata(text)
        return offset if metadata is None or metadata.topic_id == self.logs[tp].topic_id else -1

    def commit(self, tp: TopicPartition, entry: CommitEntry) -> None:
        """The broker takes it, backwards too."""
        self.committed[tp] = (entry.offset, entry.metadata)
