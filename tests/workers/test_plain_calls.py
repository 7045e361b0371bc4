"""Testing a task is calling it: without a handle, a lane task is plain user code."""

from typing import Any

import celery.exceptions
import pytest
from celery import Celery

from bridge.records import Batch, Record
from bridge.workers.errors import RecordFailed
from bridge.workers.tasks import BatchTask, RecordTask

RECORD = Record("numbers", 0, 5, value=b"21")


def test_a_record_task_is_called_with_a_record(app: Celery) -> None:
    @app.task(base=RecordTask, shared=False)
    def double(record: Record, by: int = 2) -> int:
        return int(record.value or b"") * by

    assert double(RECORD) == 42
    assert double.run(RECORD, by=3) == 63


def test_a_batch_task_is_called_with_a_batch(app: Celery) -> None:
    @app.task(base=BatchTask, shared=False, bind=True)
    def store(self: Any, batch: Batch, table: str) -> list[int]:
        batch.fail(batch[0], "not wanted")
        return [record.offset for record in batch]

    batch = Batch.of([RECORD])
    assert store.run(batch, "t") == [5]
    assert store(batch, table="t") == [5]
    assert [each.reason for each in batch.rejected] == ["not wanted"]


def test_record_failed_comes_out_as_it_is(app: Celery) -> None:
    @app.task(base=BatchTask, shared=False)
    def store(batch: Batch) -> None:
        raise RecordFailed(batch[0], ValueError("bad"))

    with pytest.raises(RecordFailed, match="ValueError: bad") as caught:
        store.run(Batch.of([RECORD]))
    assert caught.value.record == RECORD


def test_retry_outside_a_worker_is_celerys_own(app: Celery) -> None:
    @app.task(base=BatchTask, shared=False, bind=True)
    def store(self: Any, batch: Batch) -> None:
        raise self.retry(countdown=5, exc=ConnectionError("locked"))

    with pytest.raises(ConnectionError, match="locked"):
        store(Batch.of([RECORD]))

    @app.task(base=BatchTask, shared=False, bind=True)
    def other(self: Any, batch: Batch) -> None:
        raise self.retry()

    with pytest.raises(celery.exceptions.Retry):
        other(Batch.of([RECORD]))


def test_one_lane_task_may_call_another_as_a_function(app: Celery) -> None:
    @app.task(base=RecordTask, shared=False)
    def parse(record: Record) -> int:
        return int(record.value or b"")

    @app.task(base=RecordTask, shared=False)
    def parse_twice(record: Record) -> int:
        return int(parse(record)) * 2

    assert parse_twice(RECORD) == 42
