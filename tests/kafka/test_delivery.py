"""Records come from exactly the offset asked for, byte for byte, and nothing comes before `start`."""

from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

from bridge.devstack import KafkaServer
from bridge.records import HEADERS, KEY, TIMESTAMP, VALUE, TopicPartition
from tests.kafka.member import PROTOCOLS, Member, numbered, produce, recovering_turn, run_until, settings_for
from tests.kafka.raw_headers import produce_with_header

MakeTopic = Callable[..., str]
protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


@protocols
def test_a_partition_is_silent_until_it_is_started_and_then_begins_at_exactly_that_offset(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str, protocol: str
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    produce(kafka.bootstrap_servers, topic, numbered(100))
    settings = settings_for(kafka.bootstrap_servers, group_name, protocol)
    with Member(settings, [topic], start_at=None) as member:
        run_until(lambda: tp in member.assigned, member)
        for _ in range(10):
            member.turn(timeout=0.1)
        assert (member.rows, member.ends, member.missing) == ({}, {}, [])

        member.consumer.start(tp, 37)
        run_until(lambda: tp in member.ends, member)

        assert member.offsets(tp) == list(range(37, 100))
        assert member.ends[tp] == 100
        assert member.errors == []


@protocols
def test_a_start_at_offset_0_a_start_at_the_end_and_an_empty_partition(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str, protocol: str
) -> None:
    topic = make_topic(topic_name, 3)
    from_zero, at_end, empty = (TopicPartition(topic, number) for number in range(3))
    for tp in (from_zero, at_end):
        produce(kafka.bootstrap_servers, topic, numbered(20), partition=tp.partition)
    with Member(settings_for(kafka.bootstrap_servers, group_name, protocol), [topic], start_at=None) as member:
        run_until(lambda: len(member.assigned) == 3, member)
        member.consumer.start(from_zero, 0)
        member.consumer.start(at_end, 20)
        member.consumer.start(empty, 0)

        run_until(lambda: len(member.ends) == 3, member)

        assert member.rows.keys() == {from_zero}
        assert member.offsets(from_zero) == list(range(20))
        assert member.ends == {from_zero: 20, at_end: 20, empty: 0}
        produce(kafka.bootstrap_servers, topic, [b"first"], partition=empty.partition)
        run_until(lambda: member.ends[empty] == 1, member)
        assert member.offsets(empty) == [0]


@protocols
def test_a_start_beyond_the_end_is_reported_and_the_partition_can_be_started_anew(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str, protocol: str
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    produce(kafka.bootstrap_servers, topic, numbered(10))
    with Member(settings_for(kafka.bootstrap_servers, group_name, protocol), [topic], start_at=5000) as member:
        run_until(lambda: member.missing, member)
        assert member.missing == [tp]
        assert member.rows == {}

        member.consumer.start(tp, 4)
        run_until(lambda: tp in member.ends, member)

        assert member.offsets(tp) == list(range(4, 10))
        assert member.history == [("assign", (tp,))]


@protocols
def test_records_deleted_under_the_reader_are_reported_instead_of_skipped(
    kafka: KafkaServer,
    kafka_admin: AdminClient,
    make_topic: MakeTopic,
    topic_name: str,
    group_name: str,
    protocol: str,
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    produce(kafka.bootstrap_servers, topic, numbered(50))
    with Member(settings_for(kafka.bootstrap_servers, group_name, protocol), [topic], start_at=0) as member:
        run_until(lambda: tp in member.ends, member)
        member.consumer.pause(tp)
        produce(kafka.bootstrap_servers, topic, numbered(50))
        kafka_admin.delete_records([Place(topic, 0, 70)])[Place(topic, 0)].result(30.0)

        member.consumer.resume(tp)
        run_until(lambda: member.missing, member)
        assert member.offsets(tp) == list(range(50))
        member.consumer.start(tp, 70)
        run_until(lambda: member.ends[tp] == 100, member)

        assert member.offsets(tp) == [*range(50), *range(70, 100)]


def test_a_record_arrives_byte_for_byte(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    headers: list[tuple[str, str | bytes | None]] = [("a", b"1"), ("a", None), ("ü", b""), ("a", b"\xff\x00")]
    producer.produce(topic, value=None, key=b"")
    producer.produce(topic, value=b"", key=None, timestamp=1_234_567_890_123)
    producer.produce(topic, value=b"\x00\xff", key=b"key", timestamp=1, headers=headers)
    producer.produce(topic, value=b"plain")
    assert producer.flush(30.0) == 0
    with Member(settings_for(kafka.bootstrap_servers, group_name), [topic]) as member:
        run_until(lambda: tp in member.ends, member)

        rows = member.rows[tp]
        assert [(row[KEY], row[VALUE]) for row in rows] == [
            (b"", None),
            (None, b""),
            (b"key", b"\x00\xff"),
            (None, b"plain"),
        ]
        assert [row[TIMESTAMP] for row in rows[1:3]] == [1_234_567_890_123, 1]
        assert rows[0][TIMESTAMP] > 1_600_000_000_000
        assert [row[HEADERS] for row in rows] == [
            (),
            (),
            (("a", b"1"), ("a", None), ("ü", b""), ("a", b"\xff\x00")),
            (),
        ]


def test_a_header_name_that_is_not_utf_8_costs_that_record_its_headers_and_nobody_else_anything(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for value, name in ((b"first", b"\xff"), (b"second", b"\xfe")):
        producer.produce(topic, value=b"before " + value, headers=[("a", b"1")])
        assert producer.flush(30.0) == 0
        produce_with_header(kafka.bootstrap_servers, topic, value, name)
    produce(kafka.bootstrap_servers, topic, [b"last"])
    with Member(settings_for(kafka.bootstrap_servers, group_name), [topic]) as member:
        run_until(lambda: tp in member.ends, member)

        assert [(row[VALUE], row[HEADERS]) for row in member.rows[tp]] == [
            (b"before first", (("a", b"1"),)),
            (b"first", ()),
            (b"before second", (("a", b"1"),)),
            (b"second", ()),
            (b"last", ()),
        ]
        assert "header name that is not UTF-8" in str(member.errors[0])


def test_aborted_records_are_skipped_and_the_end_lies_behind_the_control_record(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30.0)
    for aborted in (False, True):
        producer.begin_transaction()
        for value in numbered(5):
            producer.produce(topic, value)
        producer.flush(30.0)
        if aborted:
            producer.abort_transaction(30.0)
        else:
            producer.commit_transaction(30.0)
    with Member(settings_for(kafka.bootstrap_servers, group_name), [topic]) as member:
        run_until(lambda: member.ends.get(tp) == 12, member)  # five records, a marker, five aborted ones, a marker

        assert member.offsets(tp) == list(range(5))


def test_a_compacted_topic_arrives_with_its_gaps(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    config = {
        "cleanup.policy": "compact",
        "segment.bytes": "1048576",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }
    topic = make_topic(topic_name, config=config)
    tp = TopicPartition(topic, 0)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(20):
        producer.produce(topic, key=b"key-%d" % (number % 2), value=b"value-%d" % number)
    assert producer.flush(30.0) == 0

    def is_compacted() -> bool:
        producer.produce(topic, key=b"other", value=b"rolls the segment")
        producer.flush(30.0)
        with Member(settings_for(kafka.bootstrap_servers, group_name), [topic]) as member:
            run_until(lambda: tp in member.ends, member)
            offsets = member.offsets(tp)
            assert offsets == sorted(offsets)
            return offsets[:2] == [18, 19]

    run_until(is_compacted, timeout=60.0)


@protocols
def test_a_paused_partition_is_silent_the_others_go_on_and_resume_loses_nothing(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str, protocol: str
) -> None:
    topic = make_topic(topic_name, 2)
    paused, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    with Member(settings_for(kafka.bootstrap_servers, group_name, protocol), [topic]) as member:
        run_until(lambda: len(member.ends) == 2, member)
        for tp in (paused, other):
            produce(kafka.bootstrap_servers, topic, numbered(3000), partition=tp.partition)
        run_until(lambda: member.offsets(paused), member)
        member.consumer.pause(paused)
        seen = len(member.offsets(paused))
        run_until(lambda: member.ends[other] == 3000, member)
        assert len(member.offsets(paused)) == seen

        member.consumer.resume(paused)
        run_until(lambda: member.ends[paused] == 3000, member)

        assert member.offsets(paused) == list(range(3000))
        assert member.offsets(other) == list(range(3000))


@protocols
def test_a_start_clears_the_pause_and_seeking_back_does_not(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str, protocol: str
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    produce(kafka.bootstrap_servers, topic, numbered(100))
    with Member(settings_for(kafka.bootstrap_servers, group_name, protocol), [topic]) as member:
        run_until(lambda: tp in member.ends, member)
        member.consumer.pause(tp)
        member.rows.clear()
        member.consumer.seek_back({tp: 60})
        for _ in range(10):
            member.turn(timeout=0.1)
        assert member.rows == {}
        member.consumer.resume(tp)
        run_until(lambda: len(member.offsets(tp)) == 40, member)
        assert member.offsets(tp) == list(range(60, 100))

        member.consumer.pause(tp)
        member.rows.clear()
        member.consumer.start(tp, 90)
        run_until(lambda: len(member.offsets(tp)) == 10, member)

        assert member.offsets(tp) == list(range(90, 100))


@pytest.mark.timeout(120, method="thread")  # the other method needs SIGALRM for itself
@protocols
def test_an_exception_of_a_signal_handler_in_the_middle_of_a_fetch_loses_nothing(
    kafka: KafkaServer,
    make_topic: MakeTopic,
    topic_name: str,
    group_name: str,
    protocol: str,
    alarms: Callable[[], None],
) -> None:
    topic = make_topic(topic_name, 2)
    tps = [TopicPartition(topic, number) for number in range(2)]
    for tp in tps:
        produce(kafka.bootstrap_servers, topic, numbered(40_000), partition=tp.partition)
    with Member(settings_for(kafka.bootstrap_servers, group_name, protocol), [topic]) as member:
        run_until(lambda: len(member.assigned) == 2, member)
        turns = interrupted = 0
        while not all(member.ends.get(tp) == 40_000 for tp in tps):
            turns += 1
            if turns % 5 == 0:
                alarms()
            interrupted += recovering_turn(member, max_records=500, timeout=0.5)

        assert interrupted > 0
        for tp in tps:
            assert member.offsets(tp) == list(range(40_000))


def test_topics_of_a_regular_expression_are_found_also_when_they_come_later(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, topic_metadata_refresh_interval_ms=500)
    with Member(settings, [f"^{topic_name}-.*"]) as member:
        for _ in range(10):
            member.turn(timeout=0.1)
        assert member.errors == []
        topic = make_topic(f"{topic_name}-later")
        produce(kafka.bootstrap_servers, topic, numbered(3))

        run_until(lambda: member.offsets(TopicPartition(topic, 0)) == [0, 1, 2], member)


def test_a_topic_that_does_not_exist_is_reported_once_and_read_when_it_comes(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, topic_metadata_refresh_interval_ms=500)
    with Member(settings, [topic_name]) as member:
        run_until(lambda: member.errors, member)
        assert [error.code for error in member.errors] == ["UNKNOWN_TOPIC_OR_PART"]
        assert topic_name in str(member.errors[0])
        assert "create the topic" in str(member.errors[0])
        produce(kafka.bootstrap_servers, make_topic(topic_name), numbered(3))

        run_until(lambda: member.offsets(TopicPartition(topic_name, 0)) == [0, 1, 2], member)
        assert len(member.errors) == 1
