"""The app that is measured: tasks that do nothing but look whether they get what comes next, so that all cost is the
framework's, and a fast wrong run fails. What differs from case to case is in the environment."""

import json
import os
from pathlib import Path
from typing import Any

from celery import Celery, chain

from benchmarks.seen import Seen
from bridge import Batch, BatchTask, Bridge, Record, RecordTask

app = Celery("measured", broker=os.environ["CELERY_BROKER_URL"])
bridge = Bridge(app, group_id="measured")

_links = int(os.environ.get("MEASURED_LINKS", "1"))
_seen = Seen(Path(os.environ["MEASURED_SEEN"]))


@app.task(base=RecordTask)
def parse(record: Record) -> int:
    """Almost nothing."""
    return record.offset


@app.task(base=BatchTask)
def check(batch: Batch) -> None:
    """Nothing. Raises when a record is missing, comes again, or too early."""
    _seen.take(batch.partition, batch.first_offset, batch.last_offset, len(batch), link=1)


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """The same, as the last link."""
    _seen.take(batch.partition, batch.first_offset, batch.last_offset, len(batch))


def _chain() -> Any:
    if _links == 1:
        return store.s()
    return chain(parse.s(), check.s(), store.s()) if _links == 3 else chain(parse.s(), store.s())


bridge.pipeline("measured", chain=_chain(), **json.loads(os.environ.get("MEASURED_OPTIONS", "{}")))
