"""Commits are answered one by one, by our own table, and carry their metadata."""

from collections.abc import Callable

import pytest
from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError
from confluent_kafka import TopicPartition as Place

from bridge.devstack import KafkaServer
from bridge.kafka.commits import Answer, CommitBook, classify
from bridge.records import TopicPartition
from tests.kafka.member import PROTOCOLS, Entry, Member, run_until, settings_for

MakeTopic = Callable[..., str]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_commit_is_confirmed_and_a_second_client_reads_offset_and_metadata(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str, protocol: str
) -> None:
    topic = make_topic(topic_name, 2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    with Member(settings_for(kafka.bootstrap_servers, group_name, protocol), [topic]) as member:
        run_until(lambda: len(member.assigned) == 2, member)
        member.consumer.commit({first: Entry(3, 10, "lb1 owner=ü"), second: Entry(4, 20)})
        member.consumer.commit({first: Entry(3, 11, "lb1 owner=8")})
        run_until(lambda: len(member.answers) == 3, member)

        assert sorted(member.answers) == [
            (first, (3, 10, Answer.OK, "")),
            (first, (3, 11, Answer.OK, "")),
            (second, (4, 20, Answer.OK, "")),
        ]
    client = Client({"bootstrap.servers": kafka.bootstrap_servers, "group.id": group_name})
    found = client.committed([Place(topic, 0), Place(topic, 1)], timeout=30.0)
    client.close()
    assert [(place.offset, place.metadata or "") for place in found] == [(11, "lb1 owner=8"), (20, "")]


def test_a_commit_that_names_an_unknown_partition_is_answered_again_for_all(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    topic = make_topic(topic_name)
    known, unknown = TopicPartition(topic, 0), TopicPartition(topic, 99)
    with Member(settings_for(kafka.bootstrap_servers, group_name), [topic]) as member:
        run_until(lambda: known in member.assigned, member)
        member.consumer.commit({known: Entry(1, 5, "m"), unknown: Entry(2, 6, "m")})
        run_until(lambda: len(member.answers) == 2, member)

        for tp, serial in ((known, 1), (unknown, 2)):
            found, _, answer, text = member.answer_to(tp) or (0, 0, "", "")
            assert (found, answer) == (serial, "again")
            assert "UNKNOWN_TOPIC_OR_PART" in text


def test_metadata_that_is_too_long_is_answered_with_the_reason(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, group_name: str
) -> None:
    topic = make_topic(topic_name)
    tp = TopicPartition(topic, 0)
    with Member(settings_for(kafka.bootstrap_servers, group_name), [topic]) as member:
        run_until(lambda: tp in member.assigned, member)
        member.consumer.commit({tp: Entry(1, 5, "x" * 5000)})
        run_until(lambda: member.answers, member)

        assert "OFFSET_METADATA_TOO_LARGE" in (member.answer_to(tp) or (0, 0, "", ""))[3]


def test_an_empty_commit_asks_nothing_of_the_broker(kafka: KafkaServer, group_name: str) -> None:
    with Member(settings_for(kafka.bootstrap_servers, group_name), ["any"]) as member:
        member.consumer.commit({})
        member.turn()
        assert member.answers == []


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (KafkaError.NO_ERROR, "ok"),
        (KafkaError.NOT_COORDINATOR, "again"),
        (KafkaError._WAIT_COORD, "again"),
        (KafkaError._TRANSPORT, "again"),
        (KafkaError._TIMED_OUT, "again"),
        (KafkaError.REBALANCE_IN_PROGRESS, "again"),
        (KafkaError.ILLEGAL_GENERATION, "again"),
        (KafkaError.STALE_MEMBER_EPOCH, "again"),
        (KafkaError.UNKNOWN_MEMBER_ID, "again"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "again"),
        (KafkaError.FENCED_INSTANCE_ID, "fenced"),
        (KafkaError.FENCED_MEMBER_EPOCH, "fenced"),
        (KafkaError._FATAL, "fenced"),
    ],
)
def test_only_a_fence_gives_a_partition_up(code: int, answer: str) -> None:
    assert classify(KafkaError(code))[0] == answer


def test_no_error_at_all_is_a_confirmation() -> None:
    assert classify(None) == (Answer.OK, "")


def test_a_fatal_error_is_a_fence_whatever_its_code() -> None:
    assert classify(KafkaError(KafkaError.UNKNOWN, "gone", fatal=True))[0] == Answer.FENCED


def test_answers_in_another_order_find_their_commits() -> None:
    tp = TopicPartition("t", 0)
    book = CommitBook()
    for serial, offset, metadata in ((1, 5, "a"), (1, 6, "a"), (2, 5, "b"), (2, 5, "b")):
        book.submit({tp: Entry(serial, offset, metadata)})

    def answered(offset: int, metadata: str) -> tuple[int, int] | None:
        answer = book.answer(None, [Place("t", 0, offset, metadata)]).get(tp)
        return answer and (answer[0], answer[1])

    assert answered(5, "b") == (2, 5)
    assert answered(6, "a") == (1, 6)
    assert answered(5, "a") == (1, 5)
    assert answered(5, "a") is None
    assert answered(5, "b") == (2, 5)
    assert answered(5, "b") is None
