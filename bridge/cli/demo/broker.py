"""The demo's own clients of Kafka: they make the topic, produce, and ask for offsets. They share nothing with the
bridge, and never join its group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.cli.demo.checks import Offsets, Scenario
from bridge.errors import LanebridgeError

_TIMEOUT_S = 10.0
#: records given to the client in one turn, so that the display goes on
_TURN = 5000

#: what goes wrong is said by the answers; the client's own lines would only break the display
_QUIET: Final = {"log_level": 0}


class KafkaSilent(LanebridgeError):
    """Kafka did not answer the demo."""


class RecordNotProduced(LanebridgeError):
    """Kafka did not take a record of the demo."""


class Broker:
    """Asks as a consumer that knows the group's name and never subscribes."""

    def __init__(self, servers: str, group: str, scenario: Scenario) -> None:
        self._scenario = scenario
        self._servers = servers
        self._onlooker = ck.Consumer(
            {"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False, **_QUIET}
        )

    def create_topic(self) -> None:
        """Create the scenario's topic. Raises KafkaSilent."""
        admin = AdminClient({"bootstrap.servers": self._servers, **_QUIET})
        topic = NewTopic(self._scenario.topic, self._scenario.partitions, replication_factor=1)
        with _answers():
            admin.create_topics([topic])[self._scenario.topic].result(_TIMEOUT_S)

    def committed_records(self) -> int:
        """How many records the group has committed, in all partitions."""
        return sum(offset or 0 for offset in self._committed().values())

    def offsets(self) -> dict[int, Offsets]:
        """Committed offset and end of each partition. Raises KafkaSilent."""
        committed = self._committed()
        return {place.partition: Offsets(committed[place.partition], self._end(place)) for place in self._places()}

    def close(self) -> None:
        """Close the connections."""
        self._onlooker.close()

    def _committed(self) -> dict[int, int | None]:
        with _answers():
            places = self._onlooker.committed(self._places(), timeout=_TIMEOUT_S)
        return {place.partition: place.offset if place.offset >= 0 else None for place in places}

    def _end(self, place: ck.TopicPartition) -> int:
        with _answers():
            answer = self._onlooker.get_watermark_offsets(place, timeout=_TIMEOUT_S, cached=False)
        if answer is None:
            raise KafkaSilent
        return int(answer[1])

    def _places(self) -> list[ck.TopicPartition]:
        return [ck.TopicPartition(self._scenario.topic, number) for number in range(self._scenario.partitions)]


class Numbers:
    """Produces the scenario's numbers as text with an empty key, `rate` a second (None: as fast as it goes)."""

    def __init__(self, servers: str, scenario: Scenario, rate: float | None) -> None:
        self._scenario = scenario
        self._rate = rate
        self._producer = ck.Producer({"bootstrap.servers": servers, **_QUIET})
        self._began = time.monotonic()
        self._given = 0
        self.produced = 0

    def produce_on(self) -> None:
        """Produce what is due now. Raises RecordNotProduced."""
        for number in range(self._given + 1, self._due() + 1):
            place = self._scenario.partition_of(number)
            self._producer.produce(self._scenario.topic, str(number), b"", place, on_delivery=self._delivered)
            self._given = number
        self._producer.poll(0)

    def _due(self) -> int:
        wanted = self._scenario.messages
        if self._rate is not None:
            wanted = min(wanted, 1 + int((time.monotonic() - self._began) * self._rate))
        return min(wanted, self._given + _TURN)

    def _delivered(self, error: ck.KafkaError | None, message: ck.Message) -> None:
        if error is not None:
            raise RecordNotProduced(f"Kafka did not take {message.value()!r}: {error}")
        self.produced += 1


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except ck.KafkaException as error:
        raise KafkaSilent(f"{KafkaSilent.__doc__} ({error})") from error
