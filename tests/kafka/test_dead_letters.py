"""Dead letters on a real broker: acknowledged, byte for byte, never in a topic that nobody made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from bridge.devstack import KafkaServer
from bridge.kafka.dead_letter_headers import ADDED_BYTES, read_headers, record_headers
from bridge.kafka.dead_letter_sending import producer_profile
from bridge.kafka.dead_letters import DeadLetterFailed
from bridge.kafka.errors import BadKafkaOption
from bridge.kafka.profile import ConsumerSettings
from bridge.records import HEADERS, KEY, VALUE, Headers, Row, TopicPartition
from tests.kafka.letters import OneLot, letter, records_of, row, writing
from tests.kafka.member import settings_for
from tests.waiting import wait_until

MakeTopic = Callable[..., str]
SOURCE = TopicPartition("orders", 5)

#: what must come through unchanged
RECORDS: dict[str, Row] = {
    "plain": row(),
    "null key": row(key=None),
    "empty key": row(key=b""),
    "null value": row(value=None),
    "empty value": row(value=b""),
    "nothing": row(key=None, value=None),
    "bytes that are no text": row(key=bytes(range(256)), value=bytes(range(256)) * 4),
    "headers repeated, null, empty, no text": row(
        headers=(("a", b"1"), ("b", None), ("a", b"2"), ("a", b"1"), ("c", b""), ("ü", b"\xff\xfe\0"), ("", b"x"))
    ),
    "one megabyte": row(value=bytes(1_000_000)),
}


@pytest.fixture
def producer(kafka: KafkaServer) -> Iterator[OneLot]:
    """On the session's broker."""
    with writing(kafka.bootstrap_servers) as found:
        yield found


def test_records_stay_byte_for_byte(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, producer: OneLot
) -> None:
    dlq = make_topic(topic_name, 1, {"max.message.bytes": "2000000"})
    producer.write_one(SOURCE, dlq, [letter(record) for record in RECORDS.values()])
    found = records_of(kafka.bootstrap_servers, dlq)
    assert len(found) == len(RECORDS)
    for name, written, record in zip(RECORDS, found, RECORDS.values(), strict=True):
        assert (written[KEY], written[VALUE]) == (record[KEY], record[VALUE]), name
        assert written[HEADERS][: len(record[HEADERS])] == record[HEADERS], name
        assert record_headers(written[HEADERS]) == record[HEADERS], name
        about = read_headers(written[HEADERS])
        assert about is not None
        assert (about.tp, about.offset, about.omitted) == (SOURCE, 7, ""), name


@pytest.mark.parametrize(("partition", "target"), [(0, 0), (2, 2), (3, 0), (5, 2)])
def test_a_letter_goes_to_its_partition_modulo_the_topics(
    kafka: KafkaServer,
    make_topic: MakeTopic,
    topic_name: str,
    producer: OneLot,
    partition: int,
    target: int,
) -> None:
    dlq = make_topic(topic_name, 3)
    producer.write_one(TopicPartition("orders", partition), dlq, [letter()])
    assert [len(records_of(kafka.bootstrap_servers, dlq, number)) for number in range(3)] == [
        int(number == target) for number in range(3)
    ]


def test_the_number_of_partitions_is_asked_again_after_a_while(
    kafka: KafkaServer, kafka_admin: AdminClient, make_topic: MakeTopic, topic_name: str
) -> None:
    now = [0.0]
    dlq = make_topic(topic_name, 1)
    with writing(kafka.bootstrap_servers, clock=lambda: now[0]) as producer:
        producer.write_one(SOURCE, dlq, [letter()])
        kafka_admin.create_partitions([NewPartitions(dlq, 2)])[dlq].result(30.0)
        wait_until(lambda: len(kafka_admin.list_topics(dlq, timeout=10.0).topics[dlq].partitions) == 2)
        producer.write_one(SOURCE, dlq, [letter()])
        now[0] = 61.0

        def reaches_the_new_one() -> bool:
            producer.write_one(SOURCE, dlq, [letter()])
            return bool(records_of(kafka.bootstrap_servers, dlq, 1))

        wait_until(reaches_the_new_one)
    assert len(records_of(kafka.bootstrap_servers, dlq, 0)) >= 2


def test_lots_of_several_partitions_are_written_together_and_one_that_fails_holds_up_no_other(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, producer: OneLot
) -> None:
    tiny = make_topic(topic_name, 2, {"max.message.bytes": "4000"})
    unwritable = letter(row(1, headers=(), key=None, value=None), traceback="t" * 20_000)
    problems = producer.write(
        tiny,
        [
            (TopicPartition("orders", 0), [letter(row(1))]),
            (TopicPartition("orders", 1), [letter(row(2)), unwritable]),
            (TopicPartition("orders", 2), [letter(row(3, value=bytes(9_000)))]),
        ],
    )
    assert [problem is None for problem in problems] == [True, False, True]
    assert "takes not even a stub" in str(problems[1])
    assert [found[VALUE] for found in records_of(kafka.bootstrap_servers, tiny, 0)] == [row(1)[VALUE], None]


def test_no_letters_write_nothing(kafka: KafkaServer, producer: OneLot, make_topic: MakeTopic, topic_name: str) -> None:
    producer.write_one(SOURCE, make_topic(topic_name), [])
    assert records_of(kafka.bootstrap_servers, topic_name) == []


# --- too large


@pytest.fixture
def narrow(make_topic: MakeTopic, topic_name: str) -> str:
    """A topic that takes no more than 50,000 bytes at once."""
    return make_topic(topic_name, 1, {"max.message.bytes": "50000"})


def test_small_letters_are_not_refused_for_their_sum(kafka: KafkaServer, narrow: str, producer: OneLot) -> None:
    producer.write_one(SOURCE, narrow, [letter(row(offset, value=bytes(10_000))) for offset in range(40)])
    written = [read_headers(record[HEADERS]) for record in records_of(kafka.bootstrap_servers, narrow)]
    assert [(about.offset, about.omitted) for about in written if about] == [(offset, "") for offset in range(40)]


def test_a_value_that_is_too_large_is_left_out_and_the_rest_kept(
    kafka: KafkaServer, narrow: str, producer: OneLot, caplog: pytest.LogCaptureFixture
) -> None:
    headers: Headers = (("a", b"\xff"), ("a", None))
    with caplog.at_level(logging.WARNING, "bridge"):
        producer.write_one(SOURCE, narrow, [letter(row(7, value=bytes(60_000), headers=headers)), letter(row(8))])
    small, stub = records_of(kafka.bootstrap_servers, narrow)
    assert small[VALUE] == b"value"
    assert (stub[KEY], stub[VALUE], record_headers(stub[HEADERS])) == (b"key", None, headers)
    about = read_headers(stub[HEADERS])
    assert about is not None
    assert (about.tp, about.offset, about.omitted) == (SOURCE, 7, "value (60000 bytes)")
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("bridge.kafka.dead")]
    assert line.startswith(f"orders[5] offset 7: its dead letter is too large for {narrow} and is written as a stub")


def test_headers_that_are_too_large_are_left_out_and_the_value_kept(
    kafka: KafkaServer, narrow: str, producer: OneLot
) -> None:
    producer.write_one(SOURCE, narrow, [letter(row(headers=(("big", bytes(60_000)),)))])
    (stub,) = records_of(kafka.bootstrap_servers, narrow)
    assert (stub[KEY], stub[VALUE], record_headers(stub[HEADERS])) == (b"key", b"value", ())
    assert dict(stub[HEADERS])["lanebridge.omitted"] == b"headers (60003 bytes)"


def test_everything_that_is_too_large_is_left_out(kafka: KafkaServer, narrow: str, producer: OneLot) -> None:
    huge = row(key=bytes(60_000), value=bytes(70_000), headers=(("big", bytes(80_000)),))
    producer.write_one(SOURCE, narrow, [letter(huge)])
    (stub,) = records_of(kafka.bootstrap_servers, narrow)
    assert (stub[KEY], stub[VALUE], record_headers(stub[HEADERS])) == (None, None, ())
    omitted = b"headers (80003 bytes), value (70000 bytes), key (60000 bytes)"
    assert dict(stub[HEADERS])["lanebridge.omitted"] == omitted


def test_a_topic_that_takes_not_even_a_stub_is_an_error_with_the_remedy(
    make_topic: MakeTopic, topic_name: str, producer: OneLot
) -> None:
    tiny = make_topic(topic_name, 1, {"max.message.bytes": "100"})
    with pytest.raises(DeadLetterFailed, match=rf"{tiny} takes not even a stub of \d+ bytes; .*max\.message\.bytes"):
        producer.write_one(SOURCE, tiny, [letter()])


def test_headers_never_add_more_than_their_bound(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, producer: OneLot
) -> None:
    dlq = make_topic(topic_name)
    producer.write_one(SOURCE, dlq, [letter(row(value=None), traceback="ü" * 100_000, message="ü" * 100_000)])
    (written,) = records_of(kafka.bootstrap_servers, dlq)
    assert sum(len(name) + len(value or b"") for name, value in written[HEADERS]) <= ADDED_BYTES


# --- what goes wrong


def test_a_missing_topic_is_never_created_and_the_error_says_how_to(make_topic: MakeTopic, topic_name: str) -> None:
    with KafkaServer(settings={"auto.create.topics.enable": "true", "num.partitions": "2"}) as server:
        client = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})
        with writing(server.bootstrap_servers) as producer, pytest.raises(DeadLetterFailed) as caught:
            producer.write_one(SOURCE, topic_name, [letter()])
        assert topic_name not in client.list_topics(timeout=10.0).topics
    assert str(caught.value) == (
        f"dead letters of orders[5] cannot be written: Kafka has no topic {topic_name}; create it: kafka-topics.sh "
        f"--bootstrap-server {server.bootstrap_servers} --create --topic {topic_name} --partitions N"
    )


def test_the_command_proposes_as_many_partitions_as_the_source_has(
    make_topic: MakeTopic, topic_name: str, producer: OneLot
) -> None:
    source = TopicPartition(make_topic(topic_name, 3), 1)
    with pytest.raises(DeadLetterFailed, match=rf"--create --topic {topic_name}.dlq --partitions 3$"):
        producer.write_one(source, f"{topic_name}.dlq", [letter()])


def test_a_topic_that_goes_away_is_not_created_again_and_taken_up_when_it_is_back(
    topic_name: str,
) -> None:
    with KafkaServer(settings={"auto.create.topics.enable": "true"}) as server:
        client = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})

        def there() -> bool:
            return topic_name in client.list_topics(timeout=10.0).topics

        client.create_topics([NewTopic(topic_name, 1, 1)])[topic_name].result(30.0)
        with writing(server.bootstrap_servers, delivery_timeout=2.0) as producer:
            producer.write_one(SOURCE, topic_name, [letter()])
            client.delete_topics([topic_name])[topic_name].result(30.0)
            wait_until(lambda: not there())
            for _ in range(2):  # once by what is remembered, once by asking again
                with pytest.raises(DeadLetterFailed, match=rf"--create --topic {topic_name} --partitions N"):
                    producer.write_one(SOURCE, topic_name, [letter()])
            assert not there()
            client.create_topics([NewTopic(topic_name, 1, 1)])[topic_name].result(30.0)
            wait_until(there)
            wait_until(lambda: _written(producer, topic_name), what="a letter in the new topic")
        assert len(records_of(server.bootstrap_servers, topic_name)) == 1


def _written(producer: OneLot, topic: str) -> bool:
    try:
        producer.write_one(SOURCE, topic, [letter()])
    except DeadLetterFailed:
        return False
    return True


def test_a_broker_that_is_away_ends_in_an_error_and_the_next_try_works_when_it_is_back(topic_name: str) -> None:
    with KafkaServer() as server:
        client = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})
        client.create_topics([NewTopic(topic_name, 1, 1)])[topic_name].result(30.0)
        with writing(server.bootstrap_servers, delivery_timeout=2.0) as producer:
            wait_until(lambda: _written(producer, topic_name))
            server.kill()
            with pytest.raises(DeadLetterFailed) as caught:
                producer.write_one(SOURCE, topic_name, [letter()])
            assert f"cannot be written to {topic_name}: " in str(caught.value)
            assert f"check that Kafka runs and that bootstrap_servers='{server.bootstrap_servers}'" in str(caught.value)
            server.start()
            wait_until(lambda: _written(producer, topic_name), timeout=60.0)
        assert 2 <= len(records_of(server.bootstrap_servers, topic_name)) <= 3


def test_a_broker_that_stands_still_ends_in_an_error(topic_name: str) -> None:
    with KafkaServer() as server:
        client = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})
        client.create_topics([NewTopic(topic_name, 1, 1)])[topic_name].result(30.0)
        with writing(server.bootstrap_servers, delivery_timeout=2.0) as producer:
            wait_until(lambda: _written(producer, topic_name))
            server.suspend()
            with pytest.raises(DeadLetterFailed, match=f"cannot be written to {topic_name}: .*check that"):
                producer.write_one(SOURCE, topic_name, [letter()])
            server.resume()
            wait_until(lambda: _written(producer, topic_name), timeout=60.0)


def test_a_client_that_has_given_up_is_built_anew(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, producer: OneLot
) -> None:
    dlq = make_topic(topic_name)
    producer.write_one(SOURCE, dlq, [letter()])
    before = producer._producer._client
    producer._producer._on_error(KafkaError(KafkaError._FATAL, "given up", True))
    producer.write_one(SOURCE, dlq, [letter()])
    producer.write_one(SOURCE, dlq, [letter()])
    assert producer._producer._client not in (None, before)
    assert len(records_of(kafka.bootstrap_servers, dlq)) == 3


def sasl(kafka: KafkaServer, password: str) -> ConsumerSettings:
    return settings_for(
        kafka.sasl_bootstrap_servers,
        "g",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="alice",
        sasl_password=password,
        fetch_wait_max_ms=20,
    )


def test_the_login_is_the_consumers(kafka: KafkaServer, make_topic: MakeTopic, topic_name: str) -> None:
    dlq = make_topic(topic_name)
    with writing(sasl(kafka, "right")) as producer:
        producer.write_one(SOURCE, dlq, [letter()])
    assert len(records_of(kafka.bootstrap_servers, dlq)) == 1


def test_a_login_that_is_refused_is_told_without_the_password(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str
) -> None:
    dlq = make_topic(topic_name)
    with writing(sasl(kafka, "wrong-password")) as producer, pytest.raises(DeadLetterFailed) as caught:
        producer.write_one(SOURCE, dlq, [letter()])
    assert f"dead letters of orders[5] cannot be written to {dlq}: Kafka refuses the login" in str(caught.value)
    assert "sasl.username='alice'" in str(caught.value)
    assert "wrong-password" not in str(caught.value)


def test_the_producer_connects_as_the_consumer_does_and_takes_none_of_its_other_options() -> None:
    known = ConsumerSettings(
        "b:1",
        "g",
        kafka={
            "sasl.password": "p", "ssl.ca.location": "/ca", "socket.timeout.ms": 5000, "client.rack": "r",
            "fetch.wait.max.ms": 1, "isolation.level": "x", "max.poll.interval.ms": 9, "group.protocol": "x",
        },
    )  # fmt: skip
    profile = producer_profile(known, 30.0)
    assert {"sasl.password", "ssl.ca.location", "socket.timeout.ms", "client.rack", "bootstrap.servers"} <= set(profile)
    assert not {"fetch.wait.max.ms", "isolation.level", "max.poll.interval.ms", "group.protocol"} & set(profile)
    assert (profile["acks"], profile["enable.idempotence"], profile["message.timeout.ms"]) == ("all", True, 30_000)


def test_an_option_that_the_client_refuses_is_named(kafka: KafkaServer, make_topic: MakeTopic, topic_name: str) -> None:
    dlq = make_topic(topic_name)
    with writing(kafka.bootstrap_servers) as producer:
        producer._producer._settings = settings_for(kafka.bootstrap_servers, "g", socket_timeout_ms="soon")
        with pytest.raises(BadKafkaOption, match=r"socket\.timeout\.ms"):
            producer.write_one(SOURCE, dlq, [letter()])
