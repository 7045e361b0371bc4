"""A link's batch, as a BatchTask is called with it, and what the task says of single records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bridge.entries import BatchHeader, Rejection
from bridge.ledger.payload import Payload
from bridge.records import Batch, Failed, Record
from bridge.workers.describe import message_of
from bridge.workers.errors import RecordFailed, ends_the_process
from bridge.workers.outcomes import TRACEBACKS, Place, Stop, rejection, stop_at


def batch_of(
    payload: Payload, header: BatchHeader, records: Sequence[Record], failures: Sequence[Failed] = ()
) -> Batch:
    """One batch of a payload, of these records."""
    about = payload.header
    return Batch(
        records,
        topic=about.topic,
        partition=about.partition,
        lane=about.lane,
        first_offset=header.first,
        last_offset=header.last,
        id=about.chain,
        attempt=about.attempt,
        trigger=header.trigger,
        token=about.token,
        failures=failures,
    )


def run_batch(call: Callable[[Batch], Any], batch: Batch, place: Place, records: Sequence[Record]) -> Stop | None:
    """Call the task's own code; where it stopped, if it did. `records` are those that the link was given: they may be
    more than the batch has."""
    try:
        call(batch)
    except BaseException as error:
        if ends_the_process(error):
            raise
        named = _named_by(error, batch)
        offset = batch[0].offset if named is None else named
        return stop_at(error, offset, place, named=named is not None, index=_indices(records)[offset])
    return None


def rejected_by(batch: Batch, place: Place, records: Sequence[Record], before: int) -> list[Rejection]:
    """What the task rejected with `batch.fail`; `before` counts what was rejected in front of it."""
    if not batch.rejected:
        return []
    indices = _indices(records)
    return [
        rejection(
            each.record.offset,
            each.reason if each.error is None else message_of(each.error),
            place,
            error=each.error,
            index=indices.get(each.record.offset, -1),
            in_full=before + number < TRACEBACKS,
        )
        for number, each in enumerate(batch.rejected)
    ]


def _named_by(error: BaseException, batch: Batch) -> int | None:
    """The offset of the record at fault, as far as it is known."""
    if isinstance(error, RecordFailed):
        named = error.record
        if isinstance(named, Record) and (named.topic, named.partition) == (batch.topic, batch.partition):
            return named.offset if any(named.offset == each.offset for each in batch) else None
        return None
    return batch[0].offset if len(batch) == 1 else None


def _indices(records: Sequence[Record]) -> dict[int, int]:
    return {record.offset: index for index, record in enumerate(records)}
