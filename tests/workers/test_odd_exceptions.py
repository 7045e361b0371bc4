"""Exceptions that are hard to look at, to store or to catch: each is a failure like any other, told in its own words.

What a worker cannot report the bridge takes for a lost worker, much later and with another reason."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from bridge.entries import Failure, Outcome
from bridge.ledger.outcomes import decode_outcome, encode_outcome
from bridge.records import Batch, Record
from bridge.workers.errors import LinkFailed, RecordFailed
from tests.workers.fakes import Bench, payload, ruled
from tests.workers.standin import rows
from tests.workers.test_link import batch_task, record_task

MakeBench = Callable[..., Bench]


class Markup(str):
    """Text of a template engine."""

    def __str__(self) -> str:
        return self


class Wrapper(Exception):
    """Hands on what it was asked for, to what is not there."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


ODD = {
    "half a surrogate pair": (ValueError("caf\udce9"), "ValueError", r"caf\udce9"),
    "text of a class of its own": (ValueError(Markup("<b>")), "ValueError", "<b>"),
    "endless recursion": (Wrapper("x"), "Wrapper", "<exception str() failed>"),
    "cancelled": (asyncio.CancelledError("later"), "CancelledError", "later"),
    "a generator's end": (GeneratorExit(), "GeneratorExit", ""),
}


def raising(error: BaseException) -> Callable[[Any], None]:
    def work(subject: Any) -> None:
        raise error

    return work


def stored(table: Bench) -> Outcome:
    """The outcome, as the ledger gives it back."""
    return decode_outcome(encode_outcome(table.ledger.outcome))


def failure(table: Bench) -> Failure:
    found = stored(table).failure
    assert found is not None
    return found


@pytest.mark.parametrize("make", [record_task, batch_task])
@pytest.mark.parametrize(("error", "name", "message"), ODD.values(), ids=list(ODD))
def test_an_odd_exception_is_a_failure_in_its_own_words(
    app: Celery, bench: MakeBench, make: Callable[..., Any], error: BaseException, name: str, message: str
) -> None:
    table = bench(payload(rows(1)))
    with pytest.raises(type(error) if isinstance(error, Exception) else LinkFailed):
        table.run(make(app, raising(error)))
    assert (failure(table).exception, failure(table).message) == (name, message)
    assert name in failure(table).traceback


@pytest.mark.parametrize(("error", "name", "message"), ODD.values(), ids=list(ODD))
def test_an_odd_exception_of_a_decoder_rejects_its_record(
    app: Celery, bench: MakeBench, error: BaseException, name: str, message: str
) -> None:
    table = bench(payload(rows(1)), ruled(decode=raising(error)))
    table.run(batch_task(app, raising(AssertionError("it was called"))))
    (rejected,) = stored(table).rejected
    assert (rejected.disposition, rejected.exception, rejected.reason) == ("undecodable", name, message)


@pytest.mark.parametrize("reason", ["caf\udce9", Markup("<b>"), ValueError("caf\udce9")])
def test_an_odd_reason_rejects_a_record(app: Celery, bench: MakeBench, reason: object) -> None:
    table = bench(payload(rows(1, 2)))
    table.run(batch_task(app, lambda batch: batch.fail(batch[1], reason)))
    assert [each.offset for each in stored(table).rejected] == [11]


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt()])
@pytest.mark.parametrize("make", [record_task, batch_task])
def test_in_a_thread_nothing_ends_of_an_exit(
    app: Celery, bench: MakeBench, make: Callable[..., Any], error: BaseException
) -> None:
    table, raised = bench(payload(rows(1))), []

    def run() -> None:
        with pytest.raises(LinkFailed):
            table.run(make(app, raising(error)))
        raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert raised
    assert failure(table).exception == type(error).__name__


@pytest.mark.parametrize("record", [Record("others", 0, 11), Record("numbers", 1, 11), None, 11])
def test_record_failed_without_a_record_of_the_batch_finishes_nothing(
    app: Celery, bench: MakeBench, record: Any
) -> None:
    def confused(batch: Batch) -> None:
        raise RecordFailed(record, "not mine")

    table = bench(payload(rows(1, 2)))
    with pytest.raises(LinkFailed):
        table.run(batch_task(app, confused))
    assert (failure(table).offset, failure(table).named) == (10, False)
    assert stored(table).watermark == 10


@pytest.mark.parametrize("countdown", [float("nan"), float("inf")])
def test_a_retry_in_no_time_is_refused(app: Celery, bench: MakeBench, countdown: float) -> None:
    def wait(batch: Batch) -> None:
        task.retry(countdown=countdown)

    task = batch_task(app, wait)
    table = bench(payload(rows(1)))
    with pytest.raises(ValueError, match="name a number of seconds"):
        table.run(task)
    assert stored(table).delay is None
