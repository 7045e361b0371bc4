"""Kafka and Celery as one puts them together by hand: a loop that consumes, sends tasks, waits for their results and
commits. Once a task for each record, once for each batch. Nothing is lost while nothing fails; that is all it promises
(order only with a task for each batch).

Run: python -m benchmarks.naive record (or batch), with MEASURED_* in its environment; workers: celery -A
benchmarks.naive worker.
"""

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from confluent_kafka import Consumer, Message

from benchmarks.seen import Seen

_REDIS = os.environ["CELERY_BROKER_URL"]

app = Celery("naive", broker=_REDIS, backend=_REDIS)


@app.task(name="store_record")
def store_record(value: str) -> int:
    """Almost nothing."""
    return len(value)


@app.task(name="store_batch")
def store_batch(values: list[str]) -> int:
    """Almost nothing."""
    return len(values)


def by_record(messages: list[Message]) -> int:
    """A task for each; how many were done."""
    results: list[Any] = [store_record.delay(_text(message)) for message in messages]
    return len([result.get(timeout=60) for result in results])


def by_batch(messages: list[Message]) -> int:
    """A task for all; how many records it had."""
    result: Any = store_batch.delay([_text(message) for message in messages])
    return int(result.get(timeout=60))


def _text(message: Message) -> str:
    return (message.value() or b"").decode()


def consume(kind: str) -> None:
    """Until it is ended from outside."""
    seen = Seen(Path(os.environ["MEASURED_SEEN"]))
    handle = {"record": by_record, "batch": by_batch}[kind]
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["MEASURED_SERVERS"],
            "group.id": os.environ["MEASURED_GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([os.environ["MEASURED_TOPIC"]])
    while True:
        messages = consumer.consume(int(os.environ["MEASURED_BATCH"]), 1.0)
        if not messages:
            continue
        if handle(messages) != len(messages):
            raise RuntimeError("records were lost on the way")
        seen.take_messages(messages)
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    consume(sys.argv[1])
