"""Two links and small batches. Once each, `store` raises at one record, and loses its process at another; a third
record can never be parsed."""

import os
import signal
from pathlib import Path

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordTask, Retry
from tests.integration.apps import journal

TOPIC = os.environ.get("TEST_TOPIC", "trains")
BAD, RAISES, KILLS = b"bad", b"raises", b"kills"

app = Celery("trains", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="trains")


@app.task(base=RecordTask)
def parse(record: Record) -> int:
    """First of two."""
    if record.value == BAD:
        raise ValueError("never")
    return record.offset


def _for_the_first_time(what: bytes) -> bool:
    try:
        (Path(os.environ["TEST_JOURNAL"]) / what.decode()).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Second of two."""
    about = {"partition": batch.partition, "chain": batch.id, "attempt": batch.attempt}
    offsets = [record.offset for record in batch]
    journal.write(what="begun", offsets=offsets, **about)
    values = {record.value for record in batch}
    if KILLS in values and _for_the_first_time(KILLS):
        os.kill(os.getpid(), signal.SIGKILL)
    if RAISES in values and _for_the_first_time(RAISES):
        raise RuntimeError("once")
    assert [record.data for record in batch] == offsets
    journal.write(what="done", offsets=offsets, **about)


bridge.pipeline(
    TOPIC,
    chain=parse.s() | store.s(),
    batch_size=10,
    batch_timeout=0.2,
    retry=Retry(max_attempts=2, delay=0.05),
    train_target=5.0,  # of a busy machine
)
