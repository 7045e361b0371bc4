"""Tasks that know no Celery app: `shared_task`."""

from celery import shared_task

from bridge.records import Batch, Record
from bridge.workers.tasks import BatchTask, RecordTask
from tests.workers.apps import journal


@shared_task
def add(a: int, b: int) -> int:
    """An ordinary task."""
    return a + b


@shared_task(base=RecordTask)
def parse(record: Record) -> int:
    """A link."""
    return int(record.value or b"")


@shared_task(base=BatchTask, bind=True)
def store(self: object, batch: Batch) -> None:
    """A link."""
    journal.write(task="store", data=[record.data for record in batch], app=self.app.main)  # type: ignore[attr-defined]
