"""Writes down which offsets it got."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge
from tests.integration.apps import journal

app = Celery("ends", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="ends")


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """The offsets of the batch."""
    journal.write(topic=batch.topic, partition=batch.partition, offsets=[record.offset for record in batch])


bridge.pipeline(os.environ.get("TEST_TOPIC", "ends"), chain=store.s(), batch_size=10, batch_timeout=0.2)
