"""An app with a bridge: what its pipelines say of decoding, retries and failed records holds in its workers."""

import json
import os
import time
from typing import Any

from celery import Celery
from confluent_kafka.serialization import Deserializer, MessageField, SerializationContext, SerializationError

from bridge import Batch, BatchTask, Bridge, Record, RecordFailed, RecordTask, Retry
from tests.workers.apps import journal
from tests.workers.apps.settings import GROUP, REDIS_URL

app = Celery("judged", broker=REDIS_URL)
bridge = Bridge(app, group_id=GROUP, ledger_url=REDIS_URL, lane_queues=4, worker_heartbeat=0.3)


class Worthless(Exception):
    """Never gets better."""


class Registered(Deserializer):
    """Stands for one of Confluent's deserializers: the value behind five bytes, the first of them zero."""

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> Any:
        if value == b"away":
            raise ConnectionRefusedError("the registry is away")
        if value is None or ctx is None or value[:1] != b"\x00":
            raise SerializationError("no magic byte")
        return {"topic": ctx.topic, "field": ctx.field, "value": json.loads(value[5:])}


deserializer = Registered()


def from_registry(record: Record) -> Any:
    """The value by its schema."""
    return deserializer(record.value, SerializationContext(record.topic, MessageField.VALUE))


def slowly(record: Record) -> Any:
    """Takes too long for one value, and dies of another."""
    if record.value == b"slow":
        time.sleep(30)
    if record.value == b"die":
        os._exit(9)
    return record.value.decode() if record.value else None


@app.task(base=RecordTask)
def note(record: Record) -> Any:
    """Writes down what it gets; raises what the data says."""
    journal.write(task="note", offset=record.offset, data=record.data)
    if record.data == "worthless":
        raise Worthless("not this one")
    if record.data == "again":
        raise ValueError("try me again")
    return record.data


@app.task(base=BatchTask)
def store(batch: Batch) -> None:
    """Writes down what it gets."""
    journal.write(task="store", offsets=[record.offset for record in batch], data=[record.data for record in batch])


@app.task(base=BatchTask, soft_time_limit=1)
def hurry(batch: Batch) -> None:
    """Never has the time."""
    journal.write(task="hurry", offsets=[record.offset for record in batch])


@app.task(base=BatchTask)
def point_at(batch: Batch, offset: int) -> None:
    """Says which record failed, and why."""
    for record in batch:
        if record.offset == offset:
            raise RecordFailed(record, Worthless("pointed at"))


@app.task(base=BatchTask)
def decide(batch: Batch, answer: Any = "skip") -> Any:
    """Returns what it is told to."""
    journal.write(
        task="decide",
        failures=[[each.record.offset, each.disposition, each.exception, each.message] for each in batch.failures],
        values=[None if record.value is None else record.value.decode() for record in batch],
        data=[record.data for record in batch],
    )
    if answer == "raise":
        raise Worthless("cannot decide")
    return answer


@app.task(base=BatchTask)
def decide_by_offset(batch: Batch) -> dict[int, str]:
    """A mapping, as a task that looks at each failure makes it."""
    failures = [[each.record.offset, each.disposition, each.exception, each.message] for each in batch.failures]
    journal.write(task="decide_by_offset", failures=failures)
    return {each.record.offset: "skip" if each.exception == "Worthless" else "stop" for each in batch.failures}


bridge.pipeline(
    "numbers",
    chain=note.s() | store.s(),
    decode="json",
    retry=Retry(give_up_on=(Worthless,)),
    on_failed=decide.s(),
)
bridge.pipeline("^registry", chain=store.s(), decode=from_registry, retry=Retry(retry_on=(ConnectionError,)))
bridge.pipeline("slow", chain=hurry.s(), decode=slowly)
