"""The app that is measured: tasks that do nothing but look whether they get what comes next, so that all cost is the
framework's, and a fast wrong run fails."""

import os

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordTask

app = Celery("measured", broker=os.environ["CELERY_BROKER_URL"])
bridge = Bridge(app, group_id="measured")

#: the next offset of each lane (partition, number): its queue is served by this process alone, from the first record on
_next: dict[tuple[int, int], int] = {}


@app.task(base=RecordTask)
def parse(record: Record) -> int:
    """Almost nothing."""
    return record.offset


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Nothing. Raises when a record is missing, comes again, or too early."""
    lane = (batch.partition, batch.lane)
    wanted = _next.get(lane, 0)
    if batch.first_offset != wanted or len(batch) != batch.last_offset - batch.first_offset + 1:
        raise RuntimeError(f"{batch} came, offset {wanted} was next")
    _next[lane] = batch.last_offset + 1


bridge.pipeline(
    "measured",
    chain=store.s() if os.environ.get("MEASURED_LINKS", "1") == "1" else parse.s() | store.s(),
    batch_size=int(os.environ.get("MEASURED_BATCH", "100")),
)
