"""Logs whose last offsets hold no record, or whose records have gaps between them: `--until-idle` ends all the same,
with everything handled once and the end committed."""

import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.integration.conftest import MakeWorld
from tests.integration.world import World
from tests.waiting import wait_until

APP = "tests.integration.apps.ends"
COMPACTED = {"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01"}


@pytest.fixture(scope="module")
def world(make_world: MakeWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With a worker that serves all topics of the module."""
    with make_world(tmp_path_factory.mktemp("ends"), "ends") as made:
        made.worker(APP, "-P", "solo", TEST_TOPIC=f"^{made.group}")
        yield made


def test_a_topic_that_ends_in_aborted_transactions_and_control_records_is_done_at_its_end(
    world: World, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(f"{world.group}-aborted", 3)
    producer = Producer({"bootstrap.servers": world.servers, "transactional.id": world.group, "log_level": 0})
    producer.init_transactions(30.0)
    _transaction(producer, topic, {0: 20, 1: 20}, commits=True)  # partition 1 ends in the marker of a commit
    _transaction(producer, topic, {0: 7, 2: 5}, commits=False)  # partition 2 has nothing else
    _transaction(producer, topic, {0: 7}, commits=False)
    readable = {number: _readable(world, topic, number) for number in range(3)}
    assert readable == {0: list(range(20)), 1: list(range(20)), 2: []}
    assert world.ends(topic, 3) == [20 + 1 + 7 + 1 + 7 + 1, 20 + 1, 5 + 1]

    bridge = world.bridge(APP, TEST_TOPIC=topic)

    assert bridge.exit_code == 0
    assert world.committed(topic, 3) == world.ends(topic, 3)
    assert {number: _handled(world, topic, number) for number in range(3)} == readable


def test_a_compacted_topic_with_gaps_is_done_at_its_end(world: World, make_topic: Callable[..., str]) -> None:
    topic = make_topic(f"{world.group}-compacted", 1, COMPACTED)
    wait_until(lambda: _has_gaps(world, topic), timeout=60.0, what="gaps in the compacted topic")
    readable = _readable(world, topic, 0)

    bridge = world.bridge(APP, TEST_TOPIC=topic)

    assert bridge.exit_code == 0
    assert world.committed(topic) == world.ends(topic)
    assert set(readable) >= set(_handled(world, topic, 0)) >= set(_readable(world, topic, 0))
    assert _handled(world, topic, 0) == sorted(set(_handled(world, topic, 0)))


def _transaction(producer: Producer, topic: str, counts: dict[int, int], *, commits: bool) -> None:
    producer.begin_transaction()
    for partition, count in counts.items():
        for number in range(count):
            producer.produce(topic, b"%d" % number, partition=partition)
    producer.flush(30.0)
    if commits:
        producer.commit_transaction(30.0)
    else:
        producer.abort_transaction(30.0)


def _has_gaps(world: World, topic: str) -> bool:
    """Write a few records more, every fifth with a key that stays the only one, then look: Kafka compacts what lies
    before the last segment."""
    producer = Producer({"bootstrap.servers": world.servers, "log_level": 0})
    for number in range(25):
        key = f"own-{uuid.uuid4()}" if number % 5 == 0 else f"key-{number % 5}"
        producer.produce(topic, b"%d" % number, key, partition=0)
    producer.flush(30.0)
    return any(after - before > 1 for before, after in pairwise(_readable(world, topic, 0)))


def _readable(world: World, topic: str, partition: int) -> list[int]:
    """The offsets that a stock consumer finds, to the end of the log."""
    options = {"enable.partition.eof": True, "auto.offset.reset": "earliest", "log_level": 0}
    client = Consumer({"bootstrap.servers": world.servers, "group.id": "somebody-else", **options})
    client.assign([TopicPartition(topic, partition, 0)])
    found: list[int] = []
    while True:
        (message,) = client.consume(1, 30.0)
        if message.error() is not None:
            client.close()
            return found
        found.append(message.offset() or 0)


def _handled(world: World, topic: str, partition: int) -> list[int]:
    return [offset for entry in world.journal(topic=topic, partition=partition) for offset in entry["offsets"]]
