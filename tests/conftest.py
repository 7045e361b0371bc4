"""What all tests share: one Kafka and one Redis per session, and names that no two tests share."""

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

import pytest
from celery import _state
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.devstack import KafkaServer, RedisServer
from tests import chromium, promtool, redis62
from tests.waiting import wait_until

#: who may log in at the broker's SASL listener
SASL_USERS = {"alice": "right"}

#: what some machines cannot test, and why this one cannot ("" it can)
LEFT_OUT = {
    "the ledger's tests on Redis 6.2": redis62.WHY_NOT,
    "what promtool says of metrics and alert rules": promtool.WHY_NOT,
    "the Lanes tab in a browser": chromium.WHY_NOT,
}

_serial = itertools.count(1)

# a shell that starts a job in the background makes it ignore SIGINT, and so would every process that a test starts
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: what Celery itself puts into every app
import_module("celery.app.builtins")
_CELERYS_OWN = set(_state._on_app_finalizers)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What is left out on this machine is said, also by the process that collects nothing itself."""
    for what, why in LEFT_OUT.items():
        if why:
            terminalreporter.write_line(f"left out: {what}, for {why}", yellow=True)


@pytest.fixture(autouse=True)
def _tasks_of_other_tests_stay_theirs() -> None:
    """Celery registers what `@app.task` makes in every app of the process, also in those of other tests."""
    _state._on_app_finalizers.intersection_update(_CELERYS_OWN)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """The session's broker. A test that stops or freezes it takes one of its own instead."""
    with KafkaServer(sasl_users=SASL_USERS) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's Redis. A test that stops, freezes or empties it takes one of its own instead."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_admin(kafka: KafkaServer) -> AdminClient:
    """A client that lives as long as the session: a temporary one would be destroyed with its answers."""
    return AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> str:
    """A topic name of this test alone; the topic is not created."""
    return _unique(request.node.name)


@pytest.fixture
def group_name(request: pytest.FixtureRequest) -> str:
    """A consumer group's name of this test alone."""
    return _unique(request.node.name) + "-group"


@pytest.fixture(scope="session")
def make_topic(kafka_admin: AdminClient) -> Callable[..., str]:
    """Creates topics: `make_topic(name, partitions=1, config={"cleanup.policy": "compact"})` gives the name."""

    def make(name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        kafka_admin.create_topics([topic])[name].result(timeout=30.0)
        wait_until(lambda: _has_leaders(kafka_admin, name, partitions), what=f"leaders of {name}")
        return name

    return make


def _has_leaders(admin: AdminClient, name: str, partitions: int) -> bool:
    topic = admin.list_topics(name, timeout=10.0).topics[name]
    return len(topic.partitions) == partitions and all(part.leader >= 0 for part in topic.partitions.values())


def _unique(test: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:60]
    return f"{readable}-{os.getpid()}-{next(_serial)}"
