"""The app of the cells about failures. A record's value is JSON; `do` says what the first link does with it: `raise`
(and name it), `unnamed` (fail the whole batch), `rude` (so with an exception that has no words), `reject`, `exit` (the
process) or `hang`, after `after` seconds, only the first `times` times if that is there. `verdict` is what the
on_failed task says of it, after `ponder` seconds.

FAULTS_HISTORY, FAULTS_LINKS, FAULTS_SLEEP, FAULTS_WORK, FAULTS_BATCH, FAULTS_ORDER, FAULTS_LANES, FAULTS_MUTATION as
in app.py; FAULTS_DATABASE: host:port that every link connects to; FAULTS_HARD, FAULTS_SOFT: the first link's time
limits; FAULTS_CODE=old: there is no second link yet; FAULTS_RAISES=1: every callback raises at times (raising.py).
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any, Literal

from celery import Celery

from bridge import Batch, BatchTask, Bridge, Record, RecordFailed, Retry
from tests.faults import history, mutations, raising
from tests.faults.acting import share, tries

HISTORY = os.environ.get("FAULTS_HISTORY", "")
SLEEP = float(os.environ.get("FAULTS_SLEEP", "0"))
WORK = float(os.environ.get("FAULTS_WORK", "0"))
DATABASE = os.environ.get("FAULTS_DATABASE", "")
IS_OLD = os.environ.get("FAULTS_CODE") == "old"
HAS_TWO_LINKS = os.environ.get("FAULTS_LINKS") == "2" and not IS_OLD
HAS_HOOK = "FAULTS_ON_FAILED" in os.environ
ORDER: Literal["partition", "key"] = "key" if os.environ.get("FAULTS_ORDER") == "key" else "partition"
RAISES = os.environ.get("FAULTS_RAISES") == "1"

mutations.apply(os.environ.get("FAULTS_MUTATION", ""))
app = Celery("bad", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))
app.conf.broker_connection_retry_on_startup = True
bridge = Bridge(app, group_id="faults")
if RAISES:
    raising.connect()


def _seconds(name: str) -> float | None:
    return float(os.environ[name]) if name in os.environ else None


def work(task: Any, link: str, batch: Batch) -> None:
    """Write down the begin, do what the records say, write down the end."""
    run = history.begin(HISTORY, task, link, batch)
    try:
        if DATABASE:
            host, _, port = DATABASE.partition(":")
            socket.create_connection((host, int(port)), 2).close()
        if SLEEP or WORK:
            time.sleep(SLEEP + WORK * sum(share(record) for record in batch))
        for record in batch if link == "link1" else ():
            act(batch, record)
    except RecordFailed as error:
        before = [record.offset for record in batch if record.offset < error.record.offset]
        history.end(HISTORY, run, error="named", done=_kept(batch, before))
        raise
    except Exception as error:
        history.end(HISTORY, run, error=type(error).__name__)
        raise
    history.end(HISTORY, run, done=_kept(batch, [record.offset for record in batch]) if batch.rejected else None)


def _kept(batch: Batch, offsets: list[int]) -> list[int]:
    rejected = {each.record.offset for each in batch.rejected}
    return [offset for offset in offsets if offset not in rejected]


def act(batch: Batch, record: Record) -> None:
    """Do what the record says."""
    if record.data is None:  # a tombstone
        return
    what = record.data.get("do")
    place = f"{record.topic}:{record.partition}:{record.offset}"
    if what is None or ("times" in record.data and tries(HISTORY, place) > record.data["times"]):
        return
    time.sleep(record.data.get("after", 0))
    if what == "raise":
        raise RecordFailed(record, ValueError("no good"))
    if what == "unnamed":
        raise ValueError("one of them is no good")
    if what == "rude":
        raise raising.Rude
    if what == "reject":
        batch.fail(record, "not wanted")
    if what == "exit":
        os._exit(1)
    if what == "hang":
        time.sleep(600)


@app.task(
    base=BatchTask, bind=True, name="link1", time_limit=_seconds("FAULTS_HARD"), soft_time_limit=_seconds("FAULTS_SOFT")
)
def link1(self: Any, batch: Batch) -> None:
    work(self, "link1", batch)


_chain = link1.s()

if HAS_TWO_LINKS:

    @app.task(base=BatchTask, bind=True, name="link2")
    def link2(self: Any, batch: Batch) -> None:
        work(self, "link2", batch)

    _chain = _chain | link2.s()


@app.task(base=BatchTask, bind=True, name="decide")
def decide(self: Any, batch: Batch) -> list[str]:
    """What the records themselves say, after the time that they say."""
    run = history.begin(HISTORY, self, "decide", batch)
    abouts = [json.loads(record.value or b"{}") for record in batch]
    time.sleep(sum(about.get("ponder", 0) for about in abouts))
    history.end(HISTORY, run)
    return [about["verdict"] for about in abouts]


bridge.pipeline(
    os.environ.get("FAULTS_TOPIC", "faults"),
    chain=_chain,
    batch_size=int(os.environ.get("FAULTS_BATCH", "100")),
    batch_timeout=float(os.environ.get("FAULTS_TIMEOUT", "0.2")),
    retry=Retry(
        max_attempts=int(os.environ.get("FAULTS_ATTEMPTS", "2")),
        delay=float(os.environ.get("FAULTS_DELAY", "0.2")),
        max_delay=2.0,
        jitter=0.0,
    ),
    order_by=ORDER,
    lanes=int(os.environ.get("FAULTS_LANES", "8")),
    decode=raising.decode if RAISES else "json",
    close_batch=raising.close_batch if RAISES else None,
    link_timeout=float(os.environ.get("FAULTS_LINK_TIMEOUT", "300")),
    **(
        {"on_failed": decide.s()}
        if HAS_HOOK
        else {"on_exhausted": os.environ.get("FAULTS_ON_EXHAUSTED", "dead_letter")}
    ),
)
