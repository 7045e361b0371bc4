"""Records on their way into a task: each gets its `data`, one that cannot be decoded is left out and rejected.

Rules: decoded is what has no data of a RecordTask yet, record by record, as the task asks for it. A decoder's exception
says that its record is bad, unless the pipeline's `retry_on` names it (a registry that is away), or time or memory ran
out: then it comes out as it is, at the record that was to be next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from celery.exceptions import SoftTimeLimitExceeded
from msgspec.structs import replace

from bridge.entries import Rejection
from bridge.ledger.payload import Payload
from bridge.records import Decode, Record, Retry
from bridge.workers.describe import message_of
from bridge.workers.errors import ends_the_process
from bridge.workers.outcomes import TRACEBACKS, Place, Stop, rejection, stop_at
from bridge.workers.rules import TopicRules


def decoder_of(rules: TopicRules, payload: Payload) -> Decode | None:
    """What the payload's records are still to be decoded with; None: nothing."""
    return None if rules.decode is None or payload.data is not None else rules.decode


def decoded(records: Sequence[Record], decode: Decode, place: Place, rejected: list[Rejection]) -> Iterator[Record]:
    """The records of a batch that can be decoded, with their data; those that cannot go to `rejected`. Raises what is
    no fault of the record that is next."""
    for index, record in enumerate(records):
        try:
            data = decode(record)
        except BaseException as error:
            if ends_the_process(error) or _is_no_fault_of_a_record(error, place.retry):
                raise
            rejected.append(_undecodable(record, error, place, index, in_full=len(rejected) < TRACEBACKS))
        else:
            yield replace(record, data=data)


def decode_batch(
    records: Sequence[Record], decode: Decode, place: Place, rejected: list[Rejection]
) -> tuple[Sequence[Record], Stop | None]:
    """The records of a batch that its task is called with, and where decoding stopped, if it did: a task still gets
    those before a record that must wait, but none when the time is up."""
    given: list[Record] = []
    before = len(rejected)
    try:
        for record in decoded(records, decode, place, rejected):
            given.append(record)
    except SoftTimeLimitExceeded as error:
        return (), stop_at(error, records[0].offset, place, named=False, index=0)
    except BaseException as error:
        if ends_the_process(error):
            raise
        at = len(given) + len(rejected) - before
        return given, stop_at(error, records[at].offset, place, named=True, index=at)
    return given, None


def _undecodable(record: Record, error: BaseException, place: Place, index: int, *, in_full: bool) -> Rejection:
    return rejection(
        record.offset,
        message_of(error),
        place,
        error=error,
        disposition="undecodable",
        index=index,
        in_full=in_full,
    )


def _is_no_fault_of_a_record(error: BaseException, retry: Retry) -> bool:
    if isinstance(error, (SoftTimeLimitExceeded, MemoryError)):
        return True
    return retry.retry_on is not None and retry.tries_again(error)
