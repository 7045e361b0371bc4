"""A world for each acceptance test, or for a module of them, on the session's servers."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from bridge.devstack import KafkaServer, RedisServer
from tests.integration.world import World

#: Celery's queues have the same names in every test: each test has a database of its own
_databases = itertools.cycle(range(1, 16))
_serial = itertools.count(1)

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def make_world(kafka: KafkaServer, redis_server: RedisServer) -> MakeWorld:
    """`with make_world(directory, "readable-name") as world:`."""

    def make(directory: Path, name: str) -> World:
        url = f"{redis_server.url.rpartition('/')[0]}/{next(_databases)}"
        with Redis.from_url(url) as client:
            client.flushdb()
        return World(directory, kafka.bootstrap_servers, url, f"{name}-{os.getpid()}-{next(_serial)}")

    return make


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world for one test; its topics and group are named after it."""
    with make_world(tmp_path, request.node.originalname.replace("_", "-")[:60]) as made:
        yield made
