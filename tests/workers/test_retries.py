"""Which failures are tried again: what the pipeline's `Retry` says of an exception, asked in the worker."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from bridge.entries import BatchHeader, Failure
from bridge.records import Batch, Record, Retry
from bridge.workers.errors import LinkFailed, RecordFailed
from tests.workers.fakes import Bench, payload, ruled
from tests.workers.standin import rows
from tests.workers.test_link import batch_task, record_task

MakeBench = Callable[..., Bench]


class Broken(Exception):
    """Never gets better."""


class VeryBroken(Broken):
    """A special case of it."""


def failure(table: Bench, task: Any, raised: type[BaseException]) -> Failure:
    """Run a task that fails; what is reported."""
    with pytest.raises(raised):
        table.run(task)
    found = table.ledger.outcome.failure
    assert found is not None
    return found


GIVE_UP = Retry(give_up_on=(Broken,))
ONLY = Retry(retry_on=(ConnectionError,))
BOTH = Retry(retry_on=(Exception,), give_up_on=(Broken,))

CASES = pytest.mark.parametrize(
    ("retry", "error", "again"),
    [
        (Retry(), Broken(), True),
        (GIVE_UP, Broken(), False),
        (GIVE_UP, VeryBroken(), False),
        (GIVE_UP, ValueError(), True),
        (ONLY, ConnectionRefusedError(), True),
        (ONLY, ValueError(), False),
        (BOTH, ValueError(), True),
        (BOTH, VeryBroken(), False),
    ],
)


@CASES
def test_an_exception_of_a_record_task_is_asked_about(
    app: Celery, bench: MakeBench, retry: Retry, error: Exception, again: bool
) -> None:
    def code(record: Record) -> None:
        raise error

    found = failure(bench(payload(rows(1, 2)), ruled(retry)), record_task(app, code), type(error))
    assert (found.retryable, found.kind, found.exception) == (again, "failed", type(error).__name__)


@CASES
def test_an_exception_of_a_batch_task_is_asked_about(
    app: Celery, bench: MakeBench, retry: Retry, error: Exception, again: bool
) -> None:
    def code(batch: Batch) -> None:
        raise error

    assert failure(bench(payload(rows(1, 2)), ruled(retry)), batch_task(app, code), type(error)).retryable is again


@CASES
def test_the_reason_of_a_record_failed_is_asked_about(
    app: Celery, bench: MakeBench, retry: Retry, error: Exception, again: bool
) -> None:
    def code(batch: Batch) -> None:
        raise RecordFailed(batch[0], error)

    found = failure(bench(payload(rows(1, 2)), ruled(retry)), batch_task(app, code), LinkFailed)
    assert (found.retryable, found.named, found.exception) == (again, True, type(error).__name__)


@pytest.mark.parametrize(
    ("retry", "again"),
    [(Retry(), True), (ONLY, False), (GIVE_UP, True), (Retry(give_up_on=(RecordFailed,)), False)],
)
def test_a_record_failed_whose_reason_is_text_is_asked_about_itself(
    app: Celery, bench: MakeBench, retry: Retry, again: bool
) -> None:
    def code(batch: Batch) -> None:
        raise RecordFailed(batch[1], "bad one")

    found = failure(bench(payload(rows(1, 2)), ruled(retry)), batch_task(app, code), LinkFailed)
    assert (found.retryable, found.exception, found.message) == (again, "RecordFailed", "bad one")


def test_record_failed_keeps_its_reason() -> None:
    reason = ValueError("x")
    assert RecordFailed(Record("t", 0, 1), reason).reason is reason
    assert RecordFailed(Record("t", 0, 1), "text").reason == "text"


@pytest.mark.parametrize("retry", [Retry(), GIVE_UP, ONLY])
@pytest.mark.parametrize("throw", [True, False])
@pytest.mark.parametrize("kind", ["record", "batch"])
def test_a_retry_that_a_task_asks_for_is_always_tried_again(
    app: Celery, bench: MakeBench, retry: Retry, throw: bool, kind: str
) -> None:
    def code(self: Any, subject: object) -> None:
        raise self.retry(countdown=7, exc=Broken("no"), throw=throw)

    make = record_task if kind == "record" else batch_task
    table = bench(payload(rows(1, 2)), ruled(retry))
    found = failure(table, make(app, code, bind=True), Broken)
    assert (found.retryable, found.exception, table.ledger.outcome.delay) == (True, "Broken", 7.0)


def test_a_retry_may_be_the_reason_of_a_record_failed(app: Celery, bench: MakeBench) -> None:
    def code(self: Any, batch: Batch) -> None:
        raise RecordFailed(batch[1], self.retry(countdown=3, exc=Broken("no"), throw=False))

    table = bench(payload(rows(1, 2)), ruled(GIVE_UP))
    found = failure(table, batch_task(app, code, bind=True), LinkFailed)
    assert (found.offset, found.retryable, found.exception, table.ledger.outcome.delay) == (11, True, "Broken", 3.0)


@pytest.mark.parametrize("retry", [Retry(), ONLY, Retry(retry_on=(Exception,))])
def test_data_that_cannot_travel_is_never_tried_again(app: Celery, bench: MakeBench, retry: Retry) -> None:
    table = bench(payload(rows(1), links=2), ruled(retry))
    assert not failure(table, record_task(app, lambda record: object()), LinkFailed).retryable


@pytest.mark.parametrize(
    ("retry", "again"),
    [(Retry(), True), (ONLY, True), (Retry(give_up_on=(SoftTimeLimitExceeded,)), False)],
)
def test_a_soft_time_limit_has_its_own_counter_unless_it_is_given_up_on_by_name(
    app: Celery, bench: MakeBench, retry: Retry, again: bool
) -> None:
    def slow(record: Record) -> None:
        raise SoftTimeLimitExceeded

    found = failure(bench(payload(rows(1)), ruled(retry)), record_task(app, slow), SoftTimeLimitExceeded)
    assert (found.kind, found.retryable) == ("timeout", again)


# --- where and when ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [10, 12, 13])
def test_a_failure_says_where_in_its_batch_the_record_was_and_when(app: Celery, bench: MakeBench, offset: int) -> None:
    def of_a_record(record: Record) -> None:
        if record.offset == offset:
            raise Broken

    def of_a_batch(batch: Batch) -> None:
        raise RecordFailed(next(record for record in batch if record.offset == offset), "bad")

    records = [row for row in rows(1, 2, 3, 4) if row[0] != 11]
    expected = [10, 12, 13].index(offset)
    for task, raised in ((record_task(app, of_a_record), Broken), (batch_task(app, of_a_batch), LinkFailed)):
        found = failure(bench(payload(records)), task, raised)
        assert (found.offset, found.index) == (offset, expected)
        assert found.at_ms > 1_600_000_000_000


def test_in_a_train_the_place_is_that_in_the_record_s_own_batch(app: Celery, bench: MakeBench) -> None:
    def code(record: Record) -> None:
        if record.offset == 14:
            raise Broken

    batches = (BatchHeader(10, 11, 2, "size"), BatchHeader(12, 12, 1, "size"), BatchHeader(13, 15, 3, "flush"))
    found = failure(bench(payload(rows(1, 2, 3, 4, 5, 6), batches=batches)), record_task(app, code), Broken)
    assert (found.offset, found.index) == (14, 1)


def test_an_exception_given_to_fail_keeps_class_and_traceback(app: Celery, bench: MakeBench) -> None:
    def check(batch: Batch) -> None:
        for record in batch:
            if record.offset == 11:
                batch.fail(record, Broken("made"))
            if record.offset == 12:
                try:
                    raise VeryBroken("raised")
                except VeryBroken as error:
                    batch.fail(record, error)
            if record.offset == 13:
                batch.fail(record, "text")

    table = bench(payload(rows(1, 2, 3, 4)))
    table.run(batch_task(app, check))
    made, raised, text = table.ledger.outcome.rejected
    assert [each.disposition for each in (made, raised, text)] == ["rejected"] * 3
    assert (made.exception, made.reason, made.traceback, made.index) == ("Broken", "made", "", 1)
    assert (raised.exception, raised.reason, raised.index) == ("VeryBroken", "raised", 2)
    assert "in check" in raised.traceback
    assert (text.exception, text.reason, text.traceback, text.index) == ("", "text", "", 3)
    assert made.at_ms > 1_600_000_000_000
