"""Stores batches and writes down what it was given; `bad` fails, `odd` is rejected."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge, RecordFailed, Retry
from tests.integration.apps import journal

app = Celery("metered", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="metered")


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """One entry for each chain that runs."""
    journal.write(
        partition=batch.partition,
        offsets=[record.offset for record in batch],
        trigger=batch.trigger,
        failed="bad" if any(record.value == b"bad" for record in batch) else "",
    )
    for record in batch:
        if record.value == b"bad":
            raise RecordFailed(record, "bad")
        if record.value == b"odd":
            batch.fail(record, "odd")


bridge.pipeline(
    os.environ.get("TEST_TOPIC", "metered"),
    chain=store.s(),
    batch_size=10,
    batch_timeout=0.2,
    retry=Retry(max_attempts=3, delay=0.05),
)
