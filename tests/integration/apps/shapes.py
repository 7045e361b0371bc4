"""The three shapes of a chain: a RecordTask alone, a BatchTask alone, and RecordTask | RecordTask | BatchTask."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordTask
from tests.integration.apps import journal

TOPIC = os.environ.get("TEST_TOPIC", "shapes")

app = Celery("shapes", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="shapes")


@app.task(base=RecordTask)
def note(record: Record) -> None:
    """Alone."""
    journal.write(task="note", partition=record.partition, offset=record.offset, text=(record.value or b"").decode())


@app.task(base=BatchTask)
def store(batch: Batch, table: str) -> str:
    """Alone, or at the end."""
    journal.write(
        task="store",
        table=table,
        partition=batch.partition,
        offsets=[record.offset for record in batch],
        texts=[(record.value or b"").decode() for record in batch],
        data=[record.data for record in batch],
        id=batch.id,
    )
    return "nobody gets this"


@app.task(base=RecordTask)
def parse(record: Record) -> int:
    """First of three."""
    journal.write(task="parse", partition=record.partition, offset=record.offset, data=record.data)
    return int(record.value or b"")


@app.task(base=RecordTask)
def double(record: Record) -> dict[str, int]:
    """Second of three."""
    journal.write(task="double", partition=record.partition, offset=record.offset, data=record.data)
    return {"doubled": 2 * record.data}


bridge.pipeline(f"{TOPIC}-record", chain=note.s(), batch_size=20, batch_timeout=0.2)
bridge.pipeline(f"{TOPIC}-batch", chain=store.s("plain"), batch_size=20, batch_timeout=0.2)
bridge.pipeline(f"{TOPIC}-three", chain=parse.s() | double.s() | store.s("doubled"), batch_size=20, batch_timeout=0.2)
