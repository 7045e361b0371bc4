"""What a bridge looks at before it begins: what keeps it from running, and what it only warns of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import redis

from bridge.devstack import KafkaServer, RedisServer
from bridge.kafka.admin import Admin
from bridge.ledger.connect import connect
from bridge.runtime.kafka_settings import consumer_settings
from bridge.runtime.plan import PipelinePlan
from bridge.runtime.startup import Startup, StartupError
from bridge.runtime.topics import SharedTopic, Topics
from tests.runtime.plans import pipeline, plan

MakeTopic = Callable[..., str]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with connect(redis_server.url) as client:
        yield client


@pytest.fixture
def start(
    kafka: KafkaServer, redis_server: RedisServer, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> Callable[..., list[str]]:
    """Waits as a bridge with these pipelines does; what it has logged, as `level action: text`."""

    def wait(*pipelines: PipelinePlan) -> list[str]:
        given = plan(*pipelines, redis_url=redis_server.url, bootstrap_servers=kafka.bootstrap_servers)
        admin = Admin(consumer_settings(given.settings), timeout=30.0)
        try:
            with caplog.at_level(logging.INFO, "bridge.runtime.startup"):
                Startup(given, Topics(given), admin, client, lambda: False).wait()
        finally:
            admin.close()
        return [f"{record.levelname} {vars(record)['action']}: {record.getMessage()}" for record in caplog.records]

    return wait


Start = Callable[..., list[str]]


def test_a_dead_letter_topic_that_is_missing_is_a_warning_with_the_command_that_creates_it(
    start: Start, make_topic: MakeTopic, topic_name: str, kafka: KafkaServer
) -> None:
    make_topic(topic_name, 3)
    (line,) = start(pipeline("p", topic_name))
    assert line.startswith(f"WARNING dead_letter_topic: Kafka has no topic {topic_name}.dlq for the dead letters of ")
    tool = f"kafka-topics.sh --bootstrap-server {kafka.bootstrap_servers}"
    assert line.endswith(f"; create it: {tool} --create --topic {topic_name}.dlq --partitions 3")


def test_with_its_dead_letter_topic_nothing_is_said(start: Start, make_topic: MakeTopic, topic_name: str) -> None:
    make_topic(topic_name)
    make_topic(f"{topic_name}.dlq")
    assert start(pipeline("p", topic_name)) == []


def test_an_expression_is_looked_at_as_it_matches_now(start: Start, make_topic: MakeTopic, topic_name: str) -> None:
    make_topic(f"{topic_name}-a")
    make_topic(f"{topic_name}-a.dlq")
    make_topic(f"{topic_name}-b")
    left_out, missing = start(pipeline("p", f"^{topic_name}-.*"))
    assert left_out.startswith(f"INFO left_out: topic {topic_name}-a.dlq is not carried: ")
    assert missing.startswith(f"WARNING dead_letter_topic: Kafka has no topic {topic_name}-b.dlq ")


def test_a_topic_that_two_expressions_match_keeps_the_bridge_from_running(
    start: Start, make_topic: MakeTopic, topic_name: str
) -> None:
    make_topic(f"{topic_name}-a")
    with pytest.raises(SharedTopic, match=f"Topic {topic_name}-a is matched by the pipelines "):
        start(pipeline("p", f"^{topic_name}-"), pipeline("q", f"^{topic_name}.*a$"))


def test_a_topic_that_is_missing_keeps_the_bridge_from_running(start: Start, topic_name: str) -> None:
    with pytest.raises(StartupError, match=f"Kafka has no topic {topic_name}: create it"):
        start(pipeline("p", topic_name))
