"""What the bridge asks of Kafka off the loop."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bridge.devstack import KafkaServer
from bridge.kafka.admin import Admin, KafkaFacts
from bridge.kafka.errors import KafkaUnavailable
from bridge.records import TopicPartition
from bridge.settings.patterns import expand_names
from tests.kafka.member import Entry, Member, numbered, produce, run_until, settings_for
from tests.waiting import wait_until

MakeTopic = Callable[..., str]


@pytest.fixture
def admin(kafka: KafkaServer, group_name: str) -> Iterator[Admin]:
    """Asks about this test's group."""
    asking = Admin(settings_for(kafka.bootstrap_servers, group_name), timeout=15.0)
    yield asking
    asking.close()


def test_the_facts_of_several_partitions_come_together(
    kafka: KafkaServer,
    kafka_admin: AdminClient,
    make_topic: MakeTopic,
    topic_name: str,
    group_name: str,
    admin: Admin,
) -> None:
    topic = make_topic(topic_name, 2)
    first, second, missing = TopicPartition(topic, 0), TopicPartition(topic, 1), TopicPartition(f"{topic}-none", 0)
    produce(kafka.bootstrap_servers, topic, numbered(7))
    with Member(settings_for(kafka.bootstrap_servers, group_name), [topic]) as member:
        run_until(lambda: len(member.assigned) == 2, member)
        member.consumer.commit({first: Entry(1, 5, "lb1 owner=ü")})
        run_until(lambda: member.answers, member)

    facts = admin.facts([first, second, missing])

    known, empty = facts[first], facts[second]
    assert isinstance(known, KafkaFacts)
    assert isinstance(empty, KafkaFacts)
    assert known == KafkaFacts(5, "lb1 owner=ü", known.topic_id, 0, 7)
    assert empty == KafkaFacts(None, "", known.topic_id, 0, 0)
    assert isinstance(facts[missing], KafkaUnavailable)
    assert "create the topic" in str(facts[missing])
    assert admin.committed([first, second]) == {first: 5, second: None}
    assert admin.ends([first, second]) == {first: 7, second: 0}
    assert (admin.facts([]), admin.committed([]), admin.ends([])) == ({}, {}, {})


def test_a_topic_created_anew_has_another_id(
    kafka_admin: AdminClient, make_topic: MakeTopic, topic_name: str, admin: Admin
) -> None:
    tp = TopicPartition(topic_name, 0)

    def topic_id() -> str:
        facts = admin.facts([tp])[tp]
        return facts.topic_id if isinstance(facts, KafkaFacts) else ""

    make_topic(topic_name)
    before = wait_until(topic_id)
    assert admin.topic_ids([topic_name, f"{topic_name}-none"]) == {topic_name: before}
    kafka_admin.delete_topics([topic_name])[topic_name].result(30.0)
    wait_until(lambda: admin.missing_topics([topic_name]))
    make_topic(topic_name)
    after = wait_until(topic_id)

    assert before != after


def test_the_end_of_a_log_is_its_high_watermark_also_with_a_transaction_open(
    kafka: KafkaServer, make_topic: MakeTopic, topic_name: str, admin: Admin
) -> None:
    tp = TopicPartition(make_topic(topic_name), 0)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic_name})
    producer.init_transactions(30.0)
    producer.begin_transaction()
    for value in numbered(4):
        producer.produce(tp.topic, value)
    producer.flush(30.0)

    assert admin.ends([tp]) == {tp: 4}
    producer.abort_transaction(30.0)
    wait_until(lambda: admin.ends([tp]) == {tp: 5}, what="the control record counts, too")


def test_topics_are_found_by_name_and_by_regular_expression(
    make_topic: MakeTopic, topic_name: str, admin: Admin
) -> None:
    one, two = make_topic(f"{topic_name}-one", 2), make_topic(f"{topic_name}-two")
    expected = [TopicPartition(one, 0), TopicPartition(one, 1), TopicPartition(two, 0)]

    assert admin.expand([one, f"^{topic_name}-.*", "none"]) == expected
    assert admin.missing_topics([one, "none", f"^{topic_name}-none"]) == ["none"]


@pytest.mark.parametrize(
    ("whole_name", "found"), [(False, ["ab", "abc", "other"]), (True, ["ab", "other"])], ids=["classic", "consumer"]
)
def test_a_regular_expression_is_read_as_the_group_protocol_reads_it(whole_name: bool, found: list[str]) -> None:
    existing = ["abc", "ab", "b", "other", "__consumer_offsets"]
    assert expand_names(["^ab", "other", "none", "^__.*"], existing, whole_name=whole_name) == found
