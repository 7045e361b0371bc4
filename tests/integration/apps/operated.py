"""Writes records down. `broken` fails until the file TEST_REPAIRED is there, `bad` always: the lane then waits for an
hour, and stops with the second failure."""

import os
from pathlib import Path

from celery import Celery

from bridge import Bridge, Record, RecordTask, Retry
from tests.integration.apps import journal

app = Celery("operated", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="operated")


@app.task(base=RecordTask)
def handle(record: Record) -> None:
    """What it does, and whether that was done."""
    is_done = record.value == b"good" or (record.value == b"broken" and Path(os.environ["TEST_REPAIRED"]).exists())
    journal.write(partition=record.partition, offset=record.offset, done=is_done)
    if not is_done:
        raise ValueError(f"{(record.value or b'').decode()} cannot be handled")


bridge.pipeline(
    os.environ.get("TEST_TOPIC", "operated"),
    chain=handle.s(),
    batch_size=10,
    batch_timeout=0.1,
    retry=Retry(max_attempts=2, delay=3600.0, max_delay=3600.0, jitter=0.0),
    on_exhausted="stop",
)
