"""One pipeline per shape of the failure table. A record says itself how it fails.

The second attempt of what is gated waits until somebody opens the pipe TEST_GATE for writing.
"""

import json
import os
from pathlib import Path

from celery import Celery
from celery.canvas import Signature, chain

from bridge import Batch, BatchTask, Bridge, Record, RecordFailed, RecordTask, Retry
from tests.integration.apps import journal
from tests.integration.failure_cells import BATCH_SIZE, MAX_ATTEMPTS, SHAPES, Shape

TOPIC = os.environ.get("TEST_TOPIC", "failures")

app = Celery("failure_table", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
bridge = Bridge(app, group_id="failures")


class Broken(Exception):
    """It may work another time."""


class Final(Exception):
    """It never will."""


@app.task(base=RecordTask)
def each(record: Record, link: int, kind: str) -> list[int]:
    """Writes the record down, fails if `kind` says that this link does and the record wants it."""
    _note([record], link)
    if kind and (error := _error_of(record)):
        raise error
    return [*(record.data or ()), link]


@app.task(base=BatchTask)
def every(batch: Batch, link: int, kind: str) -> None:
    """The same for a batch."""
    _note(batch, link)
    for record in batch if kind else ():
        if error := _error_of(record):
            if kind == "rejects":
                batch.fail(record, error)
            elif kind == "named":
                raise RecordFailed(record, error)
            else:
                raise error


def _note(records: Batch | list[Record], link: int) -> None:
    first = records[0]
    journal.write(
        topic=first.topic,
        partition=first.partition,
        link=link,
        offsets=[record.offset for record in records],
        attempts=[record.attempt for record in records],
        data=[record.data for record in records],
    )


def _error_of(record: Record) -> Exception | None:
    """What a run of this record raises."""
    how, _, gated = json.loads(record.value or b"")["fails"].partition(" ")
    text = f"record {record.offset} of {record.topic}"
    if how == "once":
        mark = Path(os.environ["TEST_JOURNAL"], f"{record.topic}-{record.partition}.failed")
        if not mark.exists():
            mark.touch()
            return Broken(text)
        if gated:
            with open(os.environ["TEST_GATE"]):  # waits until somebody writes there
                return None
    return {"always": Broken(text), "final": Final(text)}.get(how)


def _links(shape: Shape) -> Signature:
    links = [
        (each if shape.is_record_task(link) else every).s(link, shape.kind if link == shape.at else "")
        for link in range(1, shape.links + 1)
    ]
    return links[0] if shape.links == 1 else chain(*links)


for shape in SHAPES:
    bridge.pipeline(
        f"{TOPIC}-{shape.name}",
        chain=_links(shape),
        batch_size=BATCH_SIZE,
        batch_timeout=600.0,
        order_by=shape.order,
        lanes=2,
        retry=Retry(max_attempts=MAX_ATTEMPTS, delay=0.05, give_up_on=(Final,)),
        max_batches_per_chain=1,  # the table says in which order links run; test_trains.py tries several at once
        dead_letter_topic=f"{TOPIC}-dead",
    )
