"""Records that make trouble: a large one, one whose task returns what cannot travel, one whose task raises.

TEST_LINK is the name of a task to put into the first chain in place of `measure`.
"""

import os

from celery import Celery, signature

from bridge import Batch, BatchTask, Bridge, Record, RecordTask, Retry
from tests.integration.apps import journal

TOPIC = os.environ.get("TEST_TOPIC", "troubles")

app = Celery("troubles", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="troubles")


class Cursor:
    """Something that lives in one process only."""


@app.task(base=RecordTask)
def measure(record: Record) -> int:
    """The size of the value."""
    return len(record.value or b"")


@app.task(base=RecordTask)
def look_up(record: Record) -> object:
    """Returns what cannot travel for the record 12."""
    return Cursor() if record.offset == 12 else record.offset


@app.task(base=RecordTask)
def check(record: Record) -> int:
    """Fails for the record 7, whatever the attempt."""
    journal.write(task="check", offset=record.offset, attempt=record.attempt)
    if record.offset == 7:
        raise ZeroDivisionError("seven is not for us")
    return record.offset


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Writes down what it gets."""
    journal.write(
        task="store",
        topic=batch.topic,
        offsets=[record.offset for record in batch],
        data=[record.data for record in batch],
        sizes=[len(record.value or b"") for record in batch],
    )


_first = signature(os.environ["TEST_LINK"]) if "TEST_LINK" in os.environ else measure.s()
_patience = Retry(max_attempts=2, delay=0.1)

bridge.pipeline(f"{TOPIC}-large", chain=_first | store.s(), batch_timeout=0.2, retry=_patience)
bridge.pipeline(
    f"{TOPIC}-cursor", chain=look_up.s() | store.s(), batch_timeout=0.2, retry=_patience, on_exhausted="stop"
)
bridge.pipeline(f"{TOPIC}-raises", chain=check.s() | store.s(), batch_timeout=0.2, retry=_patience, on_exhausted="stop")
