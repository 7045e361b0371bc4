"""Reads dead letter topics, and keeps what a replay has got through as a group of its own.

Rules: partitions are assigned, no group is joined; read_committed; what comes after the ends taken at the start is not
read. Every wait is bounded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, Message

from bridge.kafka.errors import KafkaUnavailable, LastError, code_of, error_of, explain, refused_option
from bridge.kafka.fetching import rows_of, runs_of, set_events_apart
from bridge.kafka.profile import ConsumerSettings, admin_profile, client_id
from bridge.records import OFFSET, Row, TopicPartition

_client_logger = logging.getLogger("bridge.kafka.client")

T = TypeVar("T")

#: how many records come at once
CHUNK = 200
#: seconds without an answer after which reading is given up, and between two tries
PATIENCE_S, _RETRY_S = 30.0, 0.1

_TRY_AGAIN = frozenset(
    {"NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "_WAIT_COORD", "_TRANSPORT"}
)
_HOPELESS = frozenset({"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "_AUTHENTICATION"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What the group has committed for a partition; `offset` None: nothing."""

    offset: int | None = None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring records of a partition, and that everything below `upto` has been read."""

    tp: TopicPartition
    rows: list[Row]
    upto: int


class DeadLetterReader:
    """Reads partitions from one offset to another. `settings.group_id` is the group for `kept` and `keep`.

    Raises BadKafkaOption when the client refuses the options; all methods raise KafkaUnavailable.
    """

    def __init__(self, settings: ConsumerSettings, patience: float = PATIENCE_S) -> None:
        self._settings = settings
        self._patience = patience
        self._last_error = LastError()
        try:
            self._client = ck.Consumer(
                {**_profile(settings), "error_cb": self._last_error.note},
                logger=_client_logger,
            )
        except KafkaException as error:
            raise refused_option(error, settings) from error

    def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """The first offset that is there, and the end: nothing at or above it is to be read."""
        return {tp: self._ask(partial(self._bounds, tp)) for tp in tps}

    def read(self, ranges: Mapping[TopicPartition, tuple[int, int]]) -> Iterator[list[Run]]:
        """The records of each partition in [start, end), in order; each step brings CHUNK records at most, or nothing
        when none came for a moment."""
        open_ends = {tp: end for tp, (start, end) in ranges.items() if start < end}
        places = [_place(tp, ranges[tp][0]) for tp in open_ends]
        self._client.assign(places)
        self._client.resume(places)  # an earlier reading has left its partitions paused
        heard_at = time.monotonic()
        while open_ends:
            runs = self._take(open_ends)
            yield runs
            if runs:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > self._patience:
                raise self._unavailable(KafkaError(KafkaError._TIMED_OUT))

    def kept(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, Kept]:
        """What the group has committed."""
        places = [_place(tp) for tp in tps]
        answers = self._ask(lambda: self._client.committed(places, timeout=10.0)) if places else []
        for answer in answers:
            if answer.error is not None:
                raise self._unavailable(answer.error)
        return {
            TopicPartition(answer.topic, answer.partition): Kept(answer.offset, answer.metadata or "")
            if answer.offset >= 0
            else Kept()
            for answer in answers
        }

    def keep(self, states: Mapping[TopicPartition, Kept]) -> None:
        """Commit for the group; returns when the broker has it."""
        if not states:
            return
        places = [
            ck.TopicPartition(tp.topic, tp.partition, state.offset or 0, state.metadata) for tp, state in states.items()
        ]
        for answer in self._ask(lambda: self._client.commit(offsets=places, asynchronous=False)) or []:
            if answer.error is not None:
                raise self._unavailable(answer.error)

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _bounds(self, tp: TopicPartition) -> tuple[int, int]:
        low, high = self._client.get_watermark_offsets(_place(tp), timeout=10.0)
        return low, high

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask again while the coordinator moves, and while a broker is not connected yet."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return question()
            except KafkaException as error:
                known = error_of(error)
                if code_of(known) not in _TRY_AGAIN or time.monotonic() > deadline:
                    raise self._unavailable(known) from error
            time.sleep(_RETRY_S)

    def _take(self, open_ends: dict[TopicPartition, int]) -> list[Run]:
        first = self._client.poll(0.2)
        if first is None:
            return []
        records, events = set_events_apart([first, *self._client.consume(CHUNK - 1, 0)])
        runs: list[Run] = []
        for place, messages in runs_of(records) if records else ():
            rows, _ = rows_of(messages)
            runs += self._run(TopicPartition._make(place), rows, open_ends)
        for event in events:
            runs += self._event(event, open_ends)
        return runs

    def _run(self, tp: TopicPartition, rows: list[Row], open_ends: dict[TopicPartition, int]) -> list[Run]:
        if (end := open_ends.get(tp)) is None:
            return []
        upto = min(end, rows[-1][OFFSET] + 1)
        if upto == end:
            self._finish(tp, open_ends)
        return [Run(tp, [row for row in rows if row[OFFSET] < end], upto)]

    def _event(self, event: Message, open_ends: dict[TopicPartition, int]) -> list[Run]:
        error, tp = event.error(), TopicPartition(event.topic() or "", event.partition() or 0)
        if error is None:
            return []
        if error.code() == KafkaError._PARTITION_EOF:
            if (end := open_ends.get(tp)) is None:
                return []
            self._finish(tp, open_ends)
            return [Run(tp, [], end)]
        if code_of(error) in _HOPELESS or error.fatal():
            raise self._unavailable(error)
        self._last_error.note(error)
        return []

    def _finish(self, tp: TopicPartition, open_ends: dict[TopicPartition, int]) -> None:
        del open_ends[tp]
        self._client.pause([_place(tp)])

    def _unavailable(self, error: KafkaError) -> KafkaUnavailable:
        known = explain(self._last_error.explain(error), self._settings)
        return KafkaUnavailable(f"Kafka cannot be read: {known}")


def _profile(settings: ConsumerSettings) -> dict[str, object]:
    return {
        "queued.max.messages.kbytes": 16 * 1024,
        **admin_profile(settings),
        "client.id": f"{client_id()}-dead-letters",
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }


def _place(tp: TopicPartition, offset: int = ck.OFFSET_INVALID) -> ck.TopicPartition:
    return ck.TopicPartition(tp.topic, tp.partition, offset)
