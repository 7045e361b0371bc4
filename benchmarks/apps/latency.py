"""Notes for each record when it was sent and when its task began."""

import time

from benchmarks.apps.declared import declare, notes_folder, pipeline, seen
from benchmarks.apps.noted import LATENCY, SENT, writer
from bridge import Batch, BatchTask

app, bridge = declare()
_seen = seen()


@app.task(base=BatchTask)
def note(batch: Batch) -> None:
    """Raises when a record is missing, comes again, or too early."""
    began = time.monotonic_ns()
    _seen.take(batch.partition, batch.first_offset, batch.last_offset, len(batch))
    notes = [LATENCY.pack(batch.partition, each.offset, *SENT.unpack_from(each.value or b""), began) for each in batch]
    writer(notes_folder())(b"".join(notes))


pipeline(bridge, note.s())
