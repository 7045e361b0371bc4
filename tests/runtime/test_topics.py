"""Which pipeline a topic belongs to, which dead letter topics an expression must not bring, and which are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bridge.devstack import KafkaServer
from bridge.errors import LanebridgeError
from bridge.kafka.admin import Admin
from bridge.records import TopicPartition, lane_queue
from bridge.runtime.kafka_settings import consumer_settings
from bridge.runtime.plan import LinkPlan, PipelinePlan
from bridge.runtime.topics import SharedTopic, Topics
from tests.runtime.plans import pipeline, plan

MakeTopic = Callable[..., str]


def test_a_topic_belongs_to_the_pipeline_that_names_or_matches_it() -> None:
    topics = Topics(plan(pipeline("a", "orders", "refunds"), pipeline("b", "^bills-.*")))
    found = {name: topics.pipeline_of(name).rules.name for name in ("orders", "refunds", "bills-1", "bills-2")}
    assert found == {"orders": "a", "refunds": "a", "bills-1": "b", "bills-2": "b"}
    with pytest.raises(LanebridgeError, match="topic wages was assigned, but no pipeline names it"):
        topics.pipeline_of("wages")


def test_a_topic_that_two_expressions_match_belongs_to_nobody_and_the_text_says_what_to_do() -> None:
    topics = Topics(plan(pipeline("a", "^orders-"), pipeline("b", "^.*-eu")))
    assert topics.pipeline_of("orders-us").rules.name == "a"
    with pytest.raises(SharedTopic, match=r"orders-eu is matched by .*'a' \(topics \^orders-\) and 'b'.* Remedy: "):
        topics.rules_of("orders-eu")


def test_where_the_broker_matches_an_expression_must_match_the_whole_name() -> None:
    given = plan(pipeline("a", "^orders"), pipeline("b", "^orders-.*"), kafka={"group.protocol": "consumer"})
    assert Topics(given).pipeline_of("orders-eu").rules.name == "b"


def test_the_on_failed_task_has_messages_and_a_queue_of_its_own() -> None:
    hook = LinkPlan("decide", options={"queue": "decisions"})
    topics = Topics(plan(pipeline("a", "orders", on_failed=hook), pipeline("b", "bills")))
    orders, bills = TopicPartition("orders", 3), TopicPartition("bills", 3)
    assert topics.queue_of(orders, 0, 0) == "decisions"
    assert topics.queue_of(orders, 0, 1) == lane_queue("orders", 3, 0, 16)
    # a chain of an on_failed task that the declaration no longer has
    assert topics.queue_of(bills, 0, 0) == topics.queue_of(bills, 0, 1) == lane_queue("bills", 3, 0, 16)


@pytest.mark.parametrize(
    ("given", "topic", "is_left_out"),
    [
        ([pipeline("a", "^orders.*")], "orders-eu.dlq", True),
        ([pipeline("a", "^orders.*")], "orders-eu", False),
        ([pipeline("a", "^orders.*")], "orders-eu.dlq.dlq", True),
        ([pipeline("a", "^.*")], "wages.dlq", True),
        ([pipeline("a", "orders"), pipeline("b", "^.*dlq$")], "orders.dlq", True),
        # nobody's: no pipeline carries what it would hold
        ([pipeline("a", "orders"), pipeline("b", "^.*dlq$")], "wages.dlq", False),
        # named: somebody wants it
        ([pipeline("a", "orders"), pipeline("b", "orders.dlq", on_exhausted="stop")], "orders.dlq", False),
        # nothing is written there
        ([pipeline("a", "^orders.*", on_exhausted="stop")], "orders-eu.dlq", False),
        ([pipeline("a", "^orders.*", on_exhausted="skip", on_failed=LinkPlan("h"))], "orders-eu.dlq", True),
        ([pipeline("a", "orders", dead_letter_topic="dead"), pipeline("b", "^d")], "dead", True),
        ([pipeline("a", "^o.*", dead_letter_topic="dlq.{topic}")], "dlq.orders", True),
        ([pipeline("a", "^o.*", dead_letter_topic="o.{topic}.{topic}")], "o.ox.ox", True),
        ([pipeline("a", "^o.*", dead_letter_topic="o.{topic}.{topic}")], "o.ox.oy", False),
    ],
)
def test_a_dead_letter_topic_that_only_an_expression_matches_is_left_out(
    given: list[PipelinePlan], topic: str, is_left_out: bool
) -> None:
    assert Topics(plan(*given)).is_left_out(topic) is is_left_out


# --- on a broker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def look(kafka: KafkaServer) -> Iterator[Callable[..., tuple[Topics, Admin]]]:
    """The topics of pipelines, and a client to ask about them."""
    admins: list[Admin] = []

    def make(*pipelines: PipelinePlan) -> tuple[Topics, Admin]:
        given = plan(*pipelines, bootstrap_servers=kafka.bootstrap_servers)
        admins.append(Admin(consumer_settings(given.settings), timeout=30.0))
        return Topics(given), admins[-1]

    yield make
    for admin in admins:
        admin.close()


Look = Callable[..., tuple[Topics, Admin]]


def test_the_partitions_that_are_carried_are_without_the_dead_letter_topics(
    look: Look, make_topic: MakeTopic, topic_name: str
) -> None:
    make_topic(f"{topic_name}-a", 2)
    make_topic(f"{topic_name}-a.dlq", 1)
    topics, admin = look(pipeline("p", f"^{topic_name}-.*"))
    assert topics.partitions(admin) == [TopicPartition(f"{topic_name}-a", number) for number in range(2)]
    assert topics.left_out(admin) == [f"{topic_name}-a.dlq"]


def test_a_missing_dead_letter_topic_is_told_with_the_command_that_creates_it(
    look: Look, make_topic: MakeTopic, topic_name: str, kafka: KafkaServer
) -> None:
    make_topic(f"{topic_name}-a", 2)
    make_topic(f"{topic_name}-b", 3)
    make_topic(f"{topic_name}-b.dlq", 1)
    names = (f"{topic_name}-a", f"{topic_name}-b")
    topics, admin = look(pipeline("p", f"^{topic_name}-[ab]$"))
    (missing,) = topics.missing_dead_letters(admin)
    create = f"kafka-topics.sh --bootstrap-server {kafka.bootstrap_servers} --create --topic"
    assert (missing.name, missing.sources) == (f"{topic_name}-a.dlq", names[:1])
    assert missing.command == f"{create} {topic_name}-a.dlq --partitions 2"
    assert str(missing).startswith(f"Kafka has no topic {topic_name}-a.dlq for the dead letters of {topic_name}-a: ")

    common = f"{topic_name}-dead"
    topics, admin = look(pipeline("p", *names, dead_letter_topic=common))
    (missing,) = topics.missing_dead_letters(admin)
    assert (missing.sources, missing.command) == (names, f"{create} {common} --partitions 3")


@pytest.mark.parametrize("action", ["skip", "stop"])
def test_only_pipelines_that_may_write_dead_letters_need_a_topic(
    look: Look, make_topic: MakeTopic, topic_name: str, action: str
) -> None:
    make_topic(topic_name)
    topics, admin = look(pipeline("p", topic_name, on_exhausted=action))
    assert topics.missing_dead_letters(admin) == []
    topics, admin = look(pipeline("p", topic_name, on_exhausted=action, on_failed=LinkPlan("hook")))
    assert [missing.name for missing in topics.missing_dead_letters(admin)] == [f"{topic_name}.dlq"]


def test_a_topic_that_two_expressions_match_is_refused_as_soon_as_there_is_one(
    look: Look, make_topic: MakeTopic, topic_name: str
) -> None:
    topics, admin = look(pipeline("a", f"^{topic_name}-"), pipeline("b", f"^{topic_name}-x"))
    topics.check_shared(admin)
    make_topic(f"{topic_name}-y")
    topics.check_shared(admin)
    make_topic(f"{topic_name}-x")
    with pytest.raises(SharedTopic, match=f"Topic {topic_name}-x is matched by the pipelines 'a'"):
        topics.check_shared(admin)
