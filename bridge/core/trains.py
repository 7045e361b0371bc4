"""Trains: under a backlog one chain carries several consecutive batches of its lane.

A batch's size is what the task wants, a chain's length is what Celery costs; the task is called once per batch all the
same. A lane begins with one batch per chain. The next chain carries at most twice as many as the last one, and no more
than the slowest link gets through in `train_target` seconds: a slow task never gets a train. Only batches that are
closed and wait already ride along, in their first attempt. When a chain stops, the batch that stopped it goes again
alone, and so does each batch behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.batching import Batcher, ClosedBatch, rows_bytes
from bridge.core.isolation import count_up_to
from bridge.entries import BatchHeader
from bridge.records import OFFSET, PipelineRules, Row, TopicPartition


class Pace:
    """How many batches a lane's next chain may carry: `length`."""

    __slots__ = ("_rules", "length")

    def __init__(self, rules: PipelineRules) -> None:
        self._rules = rules
        self.length = 1

    def succeeded(self, batches: int, took_s: float) -> None:
        """A chain of so many batches has got through; its slowest link took `took_s` seconds (0: unknown)."""
        if took_s > 0:
            fitting = int(batches * self._rules.train_target / took_s)
            self.length = max(1, min(2 * batches, fitting, self._rules.max_batches_per_chain))

    def stopped(self) -> None:
        """A chain has left something unfinished."""
        self.length = 1


def headers_of(batches: Sequence[ClosedBatch], last: int) -> tuple[BatchHeader, ...]:
    """What a chain's payload says of its batches; `last` ends its range."""
    ends = [*(batch.rows[-1][OFFSET] for batch in batches[:-1]), last]
    return tuple(
        BatchHeader(batch.rows[0][OFFSET], end, len(batch.rows), batch.trigger)
        for batch, end in zip(batches, ends, strict=True)
    )


def uncouple(rows: Sequence[Row], batches: Sequence[BatchHeader]) -> list[ClosedBatch]:
    """The unfinished rows of a chain, batch by batch."""
    found, start = [], 0
    for batch in batches:
        end = count_up_to(rows, batch.last)
        if end > start:
            found.append(ClosedBatch(tuple(rows[start:end]), batch.trigger, rows_bytes(rows[start:end])))
        start = end
    return found


def cut_anew(tp: TopicPartition, rows: Sequence[Row], rules: PipelineRules, now: float) -> list[ClosedBatch]:
    """The unfinished rows of a chain that an earlier owner dispatched, batch by batch: where it had cut them nobody
    knows any more, but the same rules cut them at the same places."""
    batcher, found = Batcher(tp, rules), list[ClosedBatch]()
    batcher.add(rows, now)
    while batch := batcher.take(now, flush=True):
        found += batch
    return found
