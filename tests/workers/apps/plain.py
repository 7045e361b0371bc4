"""An app with lane tasks of every behaviour that the tests need, and ordinary tasks beside them."""

import logging
import os
import signal
import time
from typing import Any

from celery import Celery, Task

from bridge.records import Batch, Record
from bridge.workers.errors import RecordFailed
from bridge.workers.install import install
from bridge.workers.tasks import BatchTask, RecordTask
from tests.workers.apps import journal
from tests.workers.apps.settings import REDIS_URL, worker_settings

app = Celery("plain", broker=REDIS_URL, backend=REDIS_URL)
app.conf.broker_connection_retry_on_startup = True
install(app, worker_settings)


@app.task
def add(a: int, b: int) -> int:
    """An ordinary task."""
    return a + b


@app.task(base=RecordTask)
def parse(record: Record) -> int:
    """The number in the value."""
    journal.write(task="parse", offset=record.offset, attempt=record.attempt)
    return int(record.value or b"")


@app.task(base=RecordTask)
def double(record: Record, by: int = 2) -> int:
    """What `parse` made, doubled."""
    journal.write(task="double", offset=record.offset, data=record.data)
    return int(record.data) * by


@app.task(base=BatchTask, bind=True)
def store(self: Task, batch: Batch, table: str = "") -> str:
    """Writes down what it gets."""
    journal.write(
        task="store",
        offsets=[record.offset for record in batch],
        data=[record.data for record in batch],
        values=[(record.value or b"").decode("latin-1") for record in batch],
        id=batch.id,
        token=batch.token,
        trigger=batch.trigger,
        lane=batch.lane,
        table=table,
        link=self.request.id,
        queue=(self.request.delivery_info or {}).get("routing_key"),
    )
    return "ignored"


@app.task(base=BatchTask)
def reject_odd(batch: Batch) -> None:
    """Rejects every record whose number is odd."""
    for record in batch:
        if int(record.value or b"") % 2:
            batch.fail(record, "odd")
    journal.write(task="reject_odd", offsets=[record.offset for record in batch])


@app.task(base=BatchTask)
def fail_at(batch: Batch, offset: int) -> None:
    """Says which record failed."""
    for record in batch:
        if record.offset == offset:
            raise RecordFailed(record, "this one")


@app.task(base=BatchTask)
def explode(batch: Batch) -> None:
    """Fails without saying where."""
    raise RuntimeError(f"exploded with {len(batch)} records")


@app.task(base=RecordTask)
def unserialisable(record: Record) -> Any:
    """Returns something that cannot travel from the record 12 on."""
    journal.write(task="unserialisable", offset=record.offset)
    return object() if record.offset >= 12 else record.offset


@app.task(base=BatchTask, bind=True)
def retry_later(self: Task, batch: Batch) -> None:
    """Asks for a retry."""
    try:
        raise ConnectionError("the table is locked")
    except ConnectionError as error:
        raise self.retry(countdown=7, exc=error) from error


@app.task(base=RecordTask, soft_time_limit=1)
def slow_from(record: Record, offset: int) -> int:
    """Takes too long at a record."""
    if record.offset == offset:
        time.sleep(30)
    return record.offset


@app.task(base=BatchTask, time_limit=1)
def hangs(batch: Batch) -> None:
    """Takes too long for a hard time limit."""
    time.sleep(30)


@app.task(base=BatchTask)
def kills_its_process(batch: Batch) -> None:
    """Dies without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(base=BatchTask)
def exits(batch: Batch) -> None:
    """Ends its process in order."""
    raise SystemExit(3)


@app.task(base=BatchTask)
def gated(batch: Batch, gate: str) -> None:
    """Runs until the test lets it go."""
    journal.write(task="gated", event="begun", id=batch.id)
    journal.wait_for_gate(gate, 60.0)
    journal.write(task="gated", event="ended", id=batch.id)


@app.task(base=RecordTask)
def gated_records(record: Record, gate: str) -> None:
    """Each record runs until the test lets it go."""
    journal.write(task="gated_records", offset=record.offset)
    journal.wait_for_gate(gate, 60.0)


@app.task(base=RecordTask)
def busy_records(record: Record, seconds: float) -> None:
    """Takes its time, and says in the log when it is done."""
    deadline = time.monotonic() + seconds
    if record.offset == 10:
        journal.write(task="busy_records", offset=record.offset)
    while time.monotonic() < deadline:
        time.sleep(0.01)
    logging.getLogger(__name__).info("busy_records %d", record.offset)


@app.task(base=BatchTask, rate_limit="1/h")
def limited(batch: Batch) -> None:
    """One an hour."""


def _write_down_the_time(path: str, seconds: float) -> None:
    """For so long, over and over."""
    deadline = time.time() + seconds
    with open(path, "w") as out:
        while time.time() < deadline:
            out.seek(0)
            out.write(f"{time.time():.6f}")
            out.flush()
            time.sleep(0.0005)


class Hooked(BatchTask):
    """A team's own base with a failure hook, an alert that takes a while."""

    def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
        time.sleep(2)


@app.task(base=Hooked, time_limit=1)
def ticks(batch: Batch, path: str) -> None:
    """Runs on and on, and writes down when it last ran."""
    _write_down_the_time(path, 60.0)


@app.task(base=BatchTask)
def stamp(batch: Batch, path: str) -> None:
    """Writes down when it began."""
    with open(path, "w") as out:
        out.write(f"{time.time():.6f}")


@app.task(base=BatchTask)
def runs_on(batch: Batch, path: str) -> None:
    """Runs for some seconds, and writes down when it last ran."""
    _write_down_the_time(path, 6.0)


class Lingers(BatchTask):
    """A team's own base whose hook hangs when the link is done and the next one is published."""

    def after_return(self, *args: Any) -> None:
        time.sleep(30)


@app.task(base=Lingers, time_limit=2)
def lingers(batch: Batch) -> None:
    """Done at once."""


class DiesLate(BatchTask):
    """Its process is killed when the link is done and the next one is published."""

    def after_return(self, *args: Any) -> None:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(base=DiesLate)
def dies_late(batch: Batch) -> None:
    """Done at once."""
