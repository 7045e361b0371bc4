"""Cuts a lane's records into batches.

A batch closes by `size`, `bytes` (before the record that would exceed it), `predicate` (with the record it says
yes to), `timeout` (counted from the batch's first record; it closes once its lane is free, so that a waiting batch
goes on filling) or `flush`. Records keep their order and are in exactly one batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from bridge.records import OFFSET, PipelineRules, Record, Row, TopicPartition

#: what a row costs in memory beside its key, value and headers (measured on CPython 3.11: tuple, integers, bytes)
ROW_OVERHEAD_BYTES = 300


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """Rows that go together; `size_bytes` is what keys, values and headers weigh."""

    rows: tuple[Row, ...]
    trigger: str
    size_bytes: int


def rows_bytes(rows: Iterable[Row]) -> int:
    """What keys, values and headers of these rows weigh together."""
    size = 0
    for _, _, key, value, headers in rows:
        if key:
            size += len(key)
        if value:
            size += len(value)
        if headers:
            size += sum(len(name) + len(content or b"") for name, content in headers)
    return size


def rows_of(batches: Sequence[ClosedBatch]) -> tuple[Row, ...]:
    """The rows of consecutive batches."""
    return batches[0].rows if len(batches) == 1 else tuple(chain.from_iterable(batch.rows for batch in batches))


def record_of(tp: TopicPartition, row: Row) -> Record:
    """The row as user code sees it."""
    return Record(tp.topic, tp.partition, *row)


class Batcher:
    """The batches of one lane that are not dispatched yet."""

    __slots__ = (
        "_closed",
        "_open",
        "_open_bytes",
        "_opened_at",
        "_records",
        "_rules",
        "_tp",
        "count",
        "predicate_error",
        "size_bytes",
    )

    def __init__(self, tp: TopicPartition, rules: PipelineRules) -> None:
        self._tp = tp
        self._rules = rules
        self._closed: deque[ClosedBatch] = deque()
        self._open: list[Row] = []
        self._open_bytes = 0
        self._opened_at = 0.0
        self._records: list[Record] = []
        #: how many rows it holds, and what they weigh
        self.count = 0
        self.size_bytes = 0
        #: the error of the user's `close_batch`, until somebody has reported it
        self.predicate_error: str | None = None

    def add(self, rows: Sequence[Row], now: float) -> None:
        """Take rows in offset order, all above what it holds."""
        if self._rules.close_batch is not None:
            for row in rows:
                self._add_one(row, now)
            return
        index = 0
        while index < len(rows):
            chunk = rows[index : index + self._rules.batch_size - len(self._open)]
            weight = rows_bytes(chunk)
            if self._open_bytes + weight <= self._rules.batch_bytes:
                self._extend(chunk, weight, now)
            else:
                for row in chunk:
                    self._add_one(row, now)
            index += len(chunk)

    def _extend(self, chunk: Sequence[Row], weight: int, now: float) -> None:
        if not self._open:
            self._opened_at = now
        self._open.extend(chunk)
        self._open_bytes += weight
        self.count += len(chunk)
        self.size_bytes += weight
        if len(self._open) >= self._rules.batch_size:
            self._close("size")
        elif self._open_bytes >= self._rules.batch_bytes:
            self._close("bytes")

    def _add_one(self, row: Row, now: float) -> None:
        weight = rows_bytes((row,))
        if self._open and self._open_bytes + weight > self._rules.batch_bytes:
            self._close("bytes")
        opened = len(self._closed)
        self._extend((row,), weight, now)
        if self._rules.close_batch is not None and len(self._closed) == opened and self._wants_close(row):
            self._close("predicate")

    def _wants_close(self, row: Row) -> bool:
        record = record_of(self._tp, row)
        self._records.append(record)
        assert self._rules.close_batch is not None
        try:
            return bool(self._rules.close_batch(record, tuple(self._records)))
        except Exception as error:  # noqa: BLE001 - the edge of user code; the core reports it
            self.predicate_error = f"{type(error).__name__}: {error}"
            return False

    def _close(self, trigger: str) -> None:
        self._closed.append(ClosedBatch(tuple(self._open), trigger, self._open_bytes))
        self._open = []
        self._records = []
        self._open_bytes = 0

    def take(self, now: float, *, flush: bool, most: int = 1) -> tuple[ClosedBatch, ...]:
        """What may go now as one chain: the next batch, with up to `most` - 1 closed ones behind it as long as all of
        them weigh no more than `batch_bytes`; nothing when none may go. `flush` closes the open one before its time."""
        if not self._closed and self._open:
            if now >= self.deadline:
                self._close("timeout")
            elif flush:
                self._close("flush")
        taken: list[ClosedBatch] = []
        size = 0
        while self._closed and len(taken) < most:
            batch = self._closed[0]
            size += batch.size_bytes
            if taken and size > self._rules.batch_bytes:
                break
            taken.append(self._closed.popleft())
            self.count -= len(batch.rows)
            self.size_bytes -= batch.size_bytes
        return tuple(taken)

    def put_back(self, batches: Sequence[ClosedBatch]) -> None:
        """Batches that were taken go in front of what it holds."""
        self._closed.extendleft(reversed(batches))
        self.count += sum(len(batch.rows) for batch in batches)
        self.size_bytes += sum(batch.size_bytes for batch in batches)

    def take_all(self) -> list[Row]:
        """Every row it holds, in order; it is empty afterwards."""
        rows = list(self.rows())
        self._closed.clear()
        self._open, self._records, self._open_bytes = [], [], 0
        self.count = self.size_bytes = 0
        return rows

    def rows(self) -> Iterator[Row]:
        """Every row it holds, in order."""
        for batch in self._closed:
            yield from batch.rows
        yield from self._open

    @property
    def deadline(self) -> float:
        """When the open batch is due by `timeout`; infinity when there is none."""
        return self._opened_at + self._rules.batch_timeout if self._open else float("inf")

    @property
    def has_closed(self) -> bool:
        """A batch waits only for its lane."""
        return bool(self._closed)

    @property
    def first_offset(self) -> int | None:
        """The first offset it holds, or None."""
        if self._closed:
            return self._closed[0].rows[0][OFFSET]
        return self._open[0][OFFSET] if self._open else None

    @property
    def first_timestamp_ms(self) -> int | None:
        """The timestamp of the first row it holds, or None."""
        if self._closed:
            return self._closed[0].rows[0][1]
        return self._open[0][1] if self._open else None
