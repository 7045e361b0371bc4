"""Records that end oddly, one bad one in each topic: one whose value cannot travel, one that is not decodable, some
given up by an on_failed task that fails itself, answers nonsense, or stops the lane."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordTask, Retry
from tests.integration.apps import journal

TOPIC = os.environ.get("TEST_TOPIC", "odd-ends")

app = Celery("odd_ends", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="odd-ends")


class Cursor:
    """Something that lives in one process only."""


@app.task(base=RecordTask)
def look_up(record: Record) -> object:
    """The value, but the bad record's cannot travel."""
    journal.write(task="look_up", topic=record.topic, offset=record.offset)
    return Cursor() if record.value == b"bad" else record.offset


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Writes down what it gets."""
    journal.write(task="store", topic=batch.topic, offsets=[record.offset for record in batch])


@app.task(base=RecordTask)
def check(record: Record) -> None:
    """Fails for the bad record."""
    journal.write(task="check", topic=record.topic, offset=record.offset)
    if record.value == b"bad":
        raise ValueError(f"record {record.offset} is bad")


@app.task(base=BatchTask)
def check_all(batch: Batch) -> None:
    """Fails for a batch with a bad record, and does not say which it is."""
    journal.write(task="check_all", topic=batch.topic, offsets=[record.offset for record in batch])
    if any(record.value == b"bad" for record in batch):
        raise ValueError("somewhere")


@app.task(base=BatchTask)
def decide(batch: Batch, answer: str) -> str:
    """Fails, or says what it was told to say."""
    journal.write(task="decide", topic=batch.topic, offsets=[record.offset for record in batch])
    if answer == "fail":
        raise LookupError("nobody to ask")
    return answer


patience = Retry(max_attempts=3, delay=0.05)
bridge.pipeline(f"{TOPIC}-cursor", chain=look_up.s() | store.s(), batch_timeout=0.2, retry=patience)
bridge.pipeline(f"{TOPIC}-json", chain=store.s(), decode="json", batch_timeout=0.2, retry=patience)
bridge.pipeline(f"{TOPIC}-two", chain=check_all.s(), batch_size=5, batch_timeout=60.0, retry=patience)
for answer in ("fail", "dead-letter", "stop"):
    bridge.pipeline(f"{TOPIC}-{answer}", chain=check.s(), on_failed=decide.s(answer), batch_timeout=0.2, retry=patience)
