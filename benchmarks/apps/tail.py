"""Notes when each batch was done."""

import time

from benchmarks.apps.declared import declare, notes_folder, pipeline, seen
from benchmarks.apps.noted import ENDED, writer
from bridge import Batch, BatchTask

app, bridge = declare()
_seen = seen()


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Raises when a record is missing, comes again, or too early."""
    _seen.take(batch.partition, batch.first_offset, batch.last_offset, len(batch))
    writer(notes_folder())(ENDED.pack(batch.partition, batch.last_offset, time.monotonic_ns()))


pipeline(bridge, store.s())
