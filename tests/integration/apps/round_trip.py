"""Reads records that are hard to carry. Until the file TEST_REPAIRED exists every record fails."""

import os
from pathlib import Path

from celery import Celery

from bridge import Bridge, Record, RecordTask, Retry
from tests.integration.apps import journal

TOPIC = os.environ.get("TEST_TOPIC", "round-trip")

app = Celery("round_trip", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="round-trip")


@app.task(base=RecordTask)
def read(record: Record) -> None:
    """Writes down what it got, or fails."""
    if not Path(os.environ["TEST_REPAIRED"]).exists():
        raise ConnectionError(f"no database for {record.offset}")
    journal.write(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=journal.digest(record.key),
        value=journal.digest(record.value),
        headers=[[name, journal.digest(value)] for name, value in record.headers],
    )


for name in ("whole", "large"):
    bridge.pipeline(
        f"{TOPIC}-{name}", chain=read.s(), batch_size=4, batch_timeout=0.2, retry=Retry(max_attempts=2, delay=0.05)
    )
