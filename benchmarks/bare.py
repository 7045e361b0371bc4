"""A consumer that does nothing: reads each value, commits after each call, in the background. What Kafka and its client
cost alone. Run: python -m benchmarks.bare, with MEASURED_* in its environment."""

import os
from pathlib import Path

from confluent_kafka import Consumer

from benchmarks.seen import Seen


def consume() -> None:
    """Until it is ended from outside."""
    seen = Seen(Path(os.environ["MEASURED_SEEN"]))
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["MEASURED_SERVERS"],
            "group.id": os.environ["MEASURED_GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.min.messages": 10_000,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([os.environ["MEASURED_TOPIC"]])
    while True:
        messages = consumer.consume(int(os.environ["MEASURED_BATCH"]), 1.0)
        for message in messages:
            message.value()
        seen.take_messages(messages)
        if messages:
            consumer.commit(asynchronous=True)


if __name__ == "__main__":
    consume()
