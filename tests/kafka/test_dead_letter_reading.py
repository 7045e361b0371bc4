"""Reading dead letter topics up to where they ended, and what a replay keeps in its group."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.devstack import KafkaServer
from bridge.kafka.dead_letter_reading import CHUNK, DeadLetterReader, Kept
from bridge.kafka.errors import BadKafkaOption, KafkaUnavailable
from bridge.records import OFFSET, VALUE, TopicPartition
from tests.kafka.member import numbered, produce, settings_for

MakeTopic = Callable[..., str]


@pytest.fixture
def reader(kafka: KafkaServer, group_name: str) -> Iterator[DeadLetterReader]:
    """On the session's broker."""
    found = DeadLetterReader(settings_for(kafka.bootstrap_servers, group_name))
    yield found
    found.close()


def read(reader: DeadLetterReader, ranges: dict[TopicPartition, tuple[int, int]]) -> dict[TopicPartition, list[int]]:
    """The offsets that came, and a check that every partition was told to its end."""
    offsets: dict[TopicPartition, list[int]] = {tp: [] for tp in ranges}
    reached = {tp: start for tp, (start, _) in ranges.items()}
    for runs in reader.read(ranges):
        assert sum(len(run.rows) for run in runs) <= CHUNK
        for run in runs:
            offsets[run.tp] += [row[OFFSET] for row in run.rows]
            assert run.upto >= reached[run.tp]
            reached[run.tp] = run.upto
    assert reached == {tp: max(start, end) for tp, (start, end) in ranges.items()}
    return offsets


def test_what_comes_after_the_ends_is_not_read(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, reader: DeadLetterReader
) -> None:
    topic = make_topic(topic_name, 3)
    first, second, empty = (TopicPartition(topic, number) for number in range(3))
    produce(kafka.bootstrap_servers, topic, numbered(1000), 0)
    produce(kafka.bootstrap_servers, topic, numbered(5), 1)
    ranges = reader.bounds([first, second, empty])
    assert ranges == {first: (0, 1000), second: (0, 5), empty: (0, 0)}
    produce(kafka.bootstrap_servers, topic, numbered(50), 0)
    assert read(reader, ranges) == {first: list(range(1000)), second: list(range(5)), empty: []}
    assert read(reader, {first: (990, 995), second: (4, 4)}) == {first: list(range(990, 995)), second: []}


def test_what_was_not_committed_is_not_read_and_markers_are_no_end(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, reader: DeadLetterReader
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30.0)
    for value in (b"aborted", b"good", b"aborted"):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30.0)
        (producer.commit_transaction if value == b"good" else producer.abort_transaction)(30.0)
    producer.begin_transaction()
    producer.produce(topic, b"open")
    producer.flush(30.0)
    ranges = reader.bounds([tp])
    assert ranges == {tp: (0, 6)}
    values = [row[VALUE] for runs in reader.read(ranges) for run in runs for row in run.rows]
    assert values == [b"good"]
    producer.abort_transaction(30.0)


def test_what_is_kept_is_found_again_up_to_the_brokers_limit(
    make_topic: MakeTopic, topic_name: str, reader: DeadLetterReader
) -> None:
    topic = make_topic(topic_name, 2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert reader.kept([first, second]) == {first: Kept(), second: Kept()}
    assert reader.kept([]) == {}
    reader.keep({first: Kept(7, "x" * 3900)})
    assert reader.kept([first, second]) == {first: Kept(7, "x" * 3900), second: Kept()}
    with pytest.raises(KafkaUnavailable, match="OFFSET_METADATA_TOO_LARGE"):
        reader.keep({first: Kept(8, "x" * 5000)})


def test_a_broker_that_goes_away_ends_the_reading(topic_name: str) -> None:
    with KafkaServer() as server:
        client = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})
        client.create_topics([NewTopic(topic_name, 1, 1)])[topic_name].result(30.0)
        tp = TopicPartition(topic_name, 0)
        reader = DeadLetterReader(settings_for(server.bootstrap_servers, "g"), patience=2.0)
        produce(server.bootstrap_servers, topic_name, numbered(3))
        assert reader.bounds([tp]) == {tp: (0, 3)}
        reader.keep({tp: Kept(1, "")})
        server.kill()
        for ask in (lambda: list(reader.read({tp: (0, 3)})), lambda: reader.kept([tp])):
            with pytest.raises(KafkaUnavailable, match="check that Kafka runs"):
                ask()
        reader.close()


def test_an_option_that_the_client_refuses_is_named() -> None:
    with pytest.raises(BadKafkaOption, match=r"socket\.timeout\.ms"):
        DeadLetterReader(settings_for("127.0.0.1:1", "g", socket_timeout_ms="soon"))
