"""The app that the cells run: its tasks write down what they do, and do what the environment tells them to.

FAULTS_TOPIC: names of topics, with commas between; FAULTS_HISTORY: the directory for the history; FAULTS_LINKS: how
many links; FAULTS_SLEEP: seconds in each link; FAULTS_FAIL: `topic:partition:offset` of a record that always fails;
FAULTS_FAIL_GROUP: a group whose batches all fail; FAULTS_HANG: a record as in FAULTS_FAIL that hangs its first run;
FAULTS_FLAKY: a number, at multiples of which as offsets the first run of each link fails; FAULTS_ORDER, FAULTS_LANES,
FAULTS_BATCH; FAULTS_WORK: seconds that a record takes at most, evenly spread from 0; FAULTS_MUTATION: how the process
is broken. A record that is out of attempts stops its lane: failure_cells.py is about what else may become of it.
"""

from __future__ import annotations

import os
import time
from typing import Any, Literal

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordFailed, Retry
from tests.faults import history, mutations
from tests.faults.acting import share, tries

HISTORY = os.environ.get("FAULTS_HISTORY", "")
LINKS = int(os.environ.get("FAULTS_LINKS", "1"))
SLEEP = float(os.environ.get("FAULTS_SLEEP", "0"))
WORK = float(os.environ.get("FAULTS_WORK", "0"))
FAIL = os.environ.get("FAULTS_FAIL", "")
HANG = os.environ.get("FAULTS_HANG", "")
FLAKY = int(os.environ.get("FAULTS_FLAKY", "0"))
FAIL_GROUP = os.environ.get("FAULTS_FAIL_GROUP", "")
ORDER: Literal["partition", "key"] = "key" if os.environ.get("FAULTS_ORDER") == "key" else "partition"

mutations.apply(os.environ.get("FAULTS_MUTATION", ""))
app = Celery("faults", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
app.conf.broker_connection_retry_on_startup = True
bridge = Bridge(app, group_id=os.environ.get("FAULTS_GROUP", "faults"))


def work(task: Any, link: str, batch: Batch) -> None:
    """Write down the begin, wait, fail if told to, write down the end."""
    if FAIL_GROUP and batch.id.startswith(f"{FAIL_GROUP}."):
        raise RuntimeError("every batch of this group fails")
    run = history.begin(HISTORY, task, link, batch)
    if SLEEP or WORK:
        time.sleep(SLEEP + WORK * sum(share(record) for record in batch))
    for record in batch:
        error = _trouble(link, record)
        if error:
            if error == "flaky":
                history.end(HISTORY, run, error=error)
                raise RuntimeError(error)  # the whole batch: what came before the record is not finished either
            before = [each.offset for each in batch if each.offset < record.offset]
            history.end(HISTORY, run, error=error, done=before)
            raise RecordFailed(record, error)
    history.end(HISTORY, run)


def _trouble(link: str, record: Record) -> str:
    """What is wrong with a record ("" nothing); hangs when it is meant to."""
    place = f"{record.topic}:{record.partition}:{record.offset}"
    if place == HANG and tries(HISTORY, place) == 1:
        time.sleep(600)
    if FLAKY and record.offset % FLAKY == 0 and tries(HISTORY, f"{link}:{place}") == 1:
        return "flaky"
    return "poison" if place == FAIL else ""


@app.task(base=BatchTask, bind=True, name="link1")
def link1(self: Any, batch: Batch) -> None:
    work(self, "link1", batch)


@app.task(base=BatchTask, bind=True, name="link2")
def link2(self: Any, batch: Batch) -> None:
    work(self, "link2", batch)


@app.task(base=BatchTask, bind=True, name="link3")
def link3(self: Any, batch: Batch) -> None:
    work(self, "link3", batch)


_chain = link1.s()
for _next in (link2, link3)[: LINKS - 1]:
    _chain = _chain | _next.s()

bridge.pipeline(
    os.environ.get("FAULTS_TOPIC", "faults").split(","),
    chain=_chain,
    batch_size=int(os.environ.get("FAULTS_BATCH", "100")),
    batch_timeout=float(os.environ.get("FAULTS_TIMEOUT", "0.2")),
    order_by=ORDER,
    lanes=int(os.environ.get("FAULTS_LANES", "8")),
    retry=Retry(max_attempts=3, delay=0.2),
    on_exhausted="stop",
    link_timeout=float(os.environ.get("FAULTS_LINK_TIMEOUT", "300")),
)
