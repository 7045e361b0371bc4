"""Notes for each record when it was sent and when its task began."""

import os
import time
from functools import cache
from io import FileIO

from benchmarks.apps.declared import declare, notes_folder, pipeline, wrong
from benchmarks.apps.noted import SENT, Note
from bridge import Batch, BatchTask

app, bridge = declare()

#: the next offset of each partition: its queue is served by this process alone, from the first record on
_next: dict[int, int] = {}


@app.task(base=BatchTask)
def note(batch: Batch) -> None:
    """Raises when a record is missing, comes again, or too early."""
    began = time.monotonic_ns()
    wanted = _next.get(batch.partition, 0)
    if batch.first_offset != wanted or len(batch) != batch.last_offset - batch.first_offset + 1:
        wrong(f"{batch} came, offset {wanted} was next")
    _next[batch.partition] = batch.last_offset + 1
    lines = [Note.pack(batch.partition, each.offset, *SENT.unpack_from(each.value or b""), began) for each in batch]
    _notes().write(b"".join(lines))


@cache
def _notes() -> FileIO:
    return FileIO(notes_folder() / f"{os.getpid()}.notes", "w")


pipeline(bridge, note.s())
