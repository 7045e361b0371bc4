"""Arroyo's batch step. MEASURED_COMMITS: "batch" commits after each batch, "second" once per second."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from arroyo.backends.kafka import KafkaConsumer, KafkaPayload
from arroyo.commit import IMMEDIATE, ONCE_PER_SECOND
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategy, ProcessingStrategyFactory, RunTask
from arroyo.processing.strategies.batching import BatchStep, ValuesBatch
from arroyo.types import BrokerValue, Commit, Message, Partition, Topic

from benchmarks.seen import Seen

seen = Seen(Path(os.environ["MEASURED_SEEN"]))


def store(message: Message[ValuesBatch[KafkaPayload]]) -> None:
    """Nothing. Raises when a record is missing, comes again, or too early."""
    seen.take_all(len(message.payload), lambda index: _place(message.payload[index]))


def _place(value: BrokerValue[KafkaPayload]) -> tuple[int, int]:
    return value.partition.index, value.offset


class Batches(ProcessingStrategyFactory[KafkaPayload]):
    """Batches, the task, the commit."""

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        """One chain of steps for all partitions."""
        return BatchStep(int(os.environ["MEASURED_BATCH"]), 1.0, RunTask(store, CommitOffsets(commit)))


def consume() -> None:
    """Until SIGTERM."""
    consumer = KafkaConsumer(
        {
            "bootstrap.servers": os.environ["MEASURED_SERVERS"],
            "group.id": os.environ["MEASURED_GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
    )
    policy = {"batch": IMMEDIATE, "second": ONCE_PER_SECOND}[os.environ["MEASURED_COMMITS"]]
    processor = StreamProcessor(consumer, Topic(os.environ["MEASURED_TOPIC"]), Batches(), policy)
    signal.signal(signal.SIGTERM, lambda *_: processor.signal_shutdown())
    processor.run()


if __name__ == "__main__":
    consume()
