"""Doubles the numbers of topic `test` and prints them in batches."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordTask, Retry

app = Celery("tasks", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="group_1")


@app.task(base=RecordTask)
def double(record: Record) -> list[str | int]:
    """Parse the number: its text, and twice its value."""
    text = (record.value or b"").decode()
    return [text, 2 * int(text)]


@app.task(base=BatchTask)
def show(batch: Batch) -> None:
    """Print the batch, where it comes from and what closed it, on one line."""
    pairs = ", ".join(f'("{text}", {doubled})' for text, doubled in (record.data for record in batch))
    place = f"{batch.topic}[{batch.partition}] {batch.first_offset}..{batch.last_offset}"
    print(f"Got batch: [{pairs}] {place} by {batch.trigger}", flush=True)


bridge.pipeline(
    "test",
    chain=double.s() | show.s(),
    batch_size=100,
    batch_timeout=0.2,
    retry=Retry(max_attempts=5, delay=1.0, max_delay=60.0),
)
