"""What the broker has acknowledged to a producer, for the history."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tests.faults import history, sums

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message


class Acknowledged:
    """A producer's delivery callback; `write` puts what was acknowledged since the last time into the history."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._records: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """One record: its offset, and the sum of what it carries."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is None and topic is not None and partition is not None and offset is not None:
            self._records[topic, partition].append((offset, sums.of_message(message)))

    def write(self) -> None:
        """One line for each partition."""
        for (topic, partition), records in self._records.items():
            history.write(
                self._directory, {"event": "produced", "topic": topic, "partition": partition, "records": records}
            )
        self._records.clear()
