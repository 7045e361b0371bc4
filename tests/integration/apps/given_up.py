"""Stores numbers; what is none fails. With TEST_ON_FAILED a task decides about what is given up."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordTask, Retry
from tests.integration.apps import journal

app = Celery("given_up", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="given-up")


@app.task(base=RecordTask)
def parse(record: Record) -> int:
    """The number that the record is."""
    journal.write(task="parse", topic=record.topic, offset=record.offset)
    return int(record.value or b"")


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Odd hundreds are rejected."""
    journal.write(task="store", offsets=[record.offset for record in batch])
    for record in batch:
        if record.data % 200 == 100:
            batch.fail(record, f"{record.data} is odd")


@app.task(base=BatchTask)
def decide(batch: Batch, verdict: str) -> str:
    """What was asked."""
    journal.write(task="decide", offsets=[record.offset for record in batch])
    return verdict


verdict = os.environ.get("TEST_VERDICT")
bridge.pipeline(
    os.environ.get("TEST_TOPIC", "given-up"),
    chain=parse.s() | store.s(),
    batch_size=10,
    batch_timeout=0.2,
    retry=Retry(max_attempts=2, delay=0.05),
    **({"on_failed": decide.s(verdict)} if verdict else {}),
)
