"""Sleeps for each record, and looks whether each key gets its records one after the other, in order and without gaps.

A lane's queue is served by this process alone, and a lane is never in two threads at once.
"""

import os
import random
import time

from benchmarks.apps.declared import declare, notes_folder, pipeline, wrong
from benchmarks.apps.noted import KEYED, NUMBER, writer
from bridge import Record, RecordTask

app, bridge = declare()

#: seconds that a record takes, least and most
_least, _most = map(float, os.environ["MEASURED_SLEEP"].split(","))

#: the next number of each partition's keys
_next: dict[tuple[int, int], int] = {}


@app.task(base=RecordTask)
def rest(record: Record) -> None:
    """Takes its time."""
    began = time.monotonic_ns()
    key, number = int(record.key or b""), NUMBER.unpack_from(record.value or b"")[0]
    wanted = _next.get((record.partition, key), 0)
    if number != wanted:
        wrong(f"record {number} of key {key} in partition {record.partition} came, {wanted} was next")
    time.sleep(random.uniform(_least, _most))
    if _next.get((record.partition, key), 0) != wanted:
        wrong(f"two records of key {key} in partition {record.partition} were in hand at once")
    _next[record.partition, key] = number + 1
    writer(notes_folder())(KEYED.pack(record.partition, key, number, began, time.monotonic_ns()))


pipeline(bridge, rest.s())
