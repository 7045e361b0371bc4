"""Nothing, but each batch of one partition takes a second for as long as a file is there."""

import time

from benchmarks.apps.declared import declare, notes_folder, pipeline, seen
from benchmarks.apps.noted import SLOW, SLOW_FLAG, SLOW_PARTITION, SLOW_S, writer
from bridge import Batch, BatchTask

app, bridge = declare()
_seen, _flag = seen(), notes_folder() / SLOW_FLAG


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Raises when a record is missing, comes again, or too early."""
    if batch.partition == SLOW_PARTITION and _flag.exists():
        writer(notes_folder())(SLOW.pack(time.monotonic_ns()))
        time.sleep(SLOW_S)
    _seen.take(batch.partition, batch.first_offset, batch.last_offset, len(batch))


pipeline(bridge, store.s())
