"""A consumer under test with everything that it was told, and the records that a test produces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from bridge.kafka.commits import Answered
from bridge.kafka.consumer import Consumer, FetchInterrupted
from bridge.kafka.errors import BrokerError
from bridge.kafka.profile import ConsumerSettings
from bridge.records import OFFSET, Row, TopicPartition

#: the two protocols of consumer groups
PROTOCOLS = ("classic", "consumer")


@dataclass(frozen=True, slots=True)
class Entry:
    """A commit of one partition."""

    serial: int
    offset: int
    metadata: str = ""


def settings_for(
    servers: str, group: str, protocol: str = "classic", session_timeout: float = 6.0, **options: object
) -> ConsumerSettings:
    """Short time-outs; `options` are raw ones, `_` for `.`."""
    raw: dict[str, object] = {name.replace("_", "."): value for name, value in options.items()}
    if protocol == "consumer":
        raw["group.protocol"] = "consumer"
    return ConsumerSettings(servers, group, session_timeout=session_timeout, heartbeat_interval=0.5, kafka=raw)


class Member:
    """Owns a Consumer, starts what it gets at `start_at` (None: leaves it silent), and remembers everything."""

    def __init__(
        self,
        settings: ConsumerSettings,
        topics: Sequence[str],
        start_at: int | None = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.start_at = start_at
        self.assigned: set[TopicPartition] = set()
        self.history: list[tuple[str, tuple[TopicPartition, ...]]] = []
        self.rows: dict[TopicPartition, list[Row]] = {}
        self.ends: dict[TopicPartition, int] = {}
        self.missing: list[TopicPartition] = []
        self.errors: list[BrokerError] = []
        self.answers: list[tuple[TopicPartition, Answered]] = []
        self.in_revoke: Callable[[Sequence[TopicPartition]], None] = lambda _: None
        self.consumer = Consumer(settings, self, clock)
        self.consumer.subscribe(topics)
        self._to_start: list[TopicPartition] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.consumer.close()

    # --- callbacks ---------------------------------------------------------------------------------------------------

    def on_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.history.append(("assign", tuple(partitions)))
        self.assigned |= set(partitions)
        self._to_start += partitions

    def on_revoke(self, partitions: Sequence[TopicPartition]) -> None:
        self.history.append(("revoke", tuple(partitions)))
        self.assigned -= set(partitions)
        self.in_revoke(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        self.history.append(("lost", tuple(partitions)))
        self.assigned -= set(partitions)

    def on_commit(self, answers: Mapping[TopicPartition, Answered]) -> None:
        self.answers += answers.items()

    # --- work --------------------------------------------------------------------------------------------------------

    def turn(self, timeout: float = 0.05, max_records: int = 500) -> None:
        """One fetch, kept."""
        fetch = self.consumer.fetch(max_records, timeout)
        for tp, rows in fetch.runs:
            assert tp in self.assigned, f"{tp} is not ours"
            self.rows.setdefault(tp, []).extend(rows)
        self.ends |= dict(fetch.ends)
        self.missing += fetch.missing
        self.errors += fetch.errors
        if self.start_at is not None:
            for tp in self._to_start:
                self.consumer.start(tp, self.start_at)
        self._to_start.clear()

    def offsets(self, tp: TopicPartition) -> list[int]:
        """The offsets that have come, in the order in which they came."""
        return [row[OFFSET] for row in self.rows.get(tp, [])]

    def positions(self) -> dict[TopicPartition, int]:
        """The next expected offset of every partition that has delivered something."""
        return {tp: rows[-1][OFFSET] + 1 for tp, rows in self.rows.items() if rows}

    def said(self, word: str) -> list[tuple[TopicPartition, ...]]:
        """The partitions of each callback of this name, in order."""
        return [partitions for known, partitions in self.history if known == word]

    def partitions_told(self) -> list[tuple[str, tuple[TopicPartition, ...]]]:
        """The callbacks that came with partitions, in order."""
        return [entry for entry in self.history if entry[1]]

    def answer_to(self, tp: TopicPartition) -> Answered | None:
        """The last answer to a commit of the partition."""
        return next((answered for known, answered in reversed(self.answers) if known == tp), None)


def run_until(condition: Callable[[], object], *members: Member, timeout: float = 40.0, what: str = "") -> None:
    """Let the members work until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what or condition}"
        for member in members:
            member.turn()


def recovering_turn(member: Member, max_records: int, timeout: float) -> bool:
    """One fetch as the runtime does it: True when it was interrupted and set back."""
    try:
        member.turn(timeout, max_records)
    except FetchInterrupted:
        member.consumer.seek_back(member.positions())
        return True
    return False


def produce(servers: str, topic: str, values: Iterable[bytes | None], partition: int = 0) -> None:
    """One record per value."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "log_level": 0})
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(30.0) == 0


def numbered(count: int) -> list[bytes]:
    """`count` different values."""
    return [b"value-%d" % number for number in range(count)]
