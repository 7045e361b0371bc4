"""The contract is checked on real servers, the usual one and the oldest Redis that the ledger runs on, and on the model
in memory; what only a server has, on the servers."""

import time
from collections.abc import Iterator

import pytest
import redis

from bridge.devstack import RedisServer
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from tests.ledger.model import LedgerModel
from tests.ledger.story import Story
from tests.redis62 import WHY_NOT, find_redis62

OLDEST = "redis-6.2"
SERVERS = ("usual", OLDEST)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever needs a ledger is run on each."""
    needed = set(metafunc.fixturenames)
    if "story" in needed:
        metafunc.parametrize("kind", [*SERVERS, "model"], scope="session")
    elif "kind" in needed:
        metafunc.parametrize("kind", SERVERS, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there is no such Redis its tests are left out; tests/conftest.py says so at the end."""
    if WHY_NOT:
        gone = [item for item in items if isinstance(item, pytest.Function) and _kind(item) == OLDEST]
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=gone)


def _kind(item: pytest.Function) -> object:
    return item.callspec.params.get("kind") if hasattr(item, "callspec") else None


def _server(kind: str) -> RedisServer:
    return RedisServer(program=find_redis62() if kind == OLDEST else None)


@pytest.fixture(scope="session")
def redis_server(kind: str) -> Iterator[RedisServer]:
    """One for all tests of its kind. A test that stops, freezes or empties it takes one of its own instead."""
    with _server(kind) as server:
        yield server


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with connect(redis_server.url) as client:
        yield client


@pytest.fixture
def real(client: redis.Redis, group_name: str) -> Ledger:
    """The ledger of a group of this test alone."""
    return Ledger(client, group_name)


@pytest.fixture
def story(request: pytest.FixtureRequest, kind: str, group_name: str) -> Story:
    """A lane on one of the ledgers."""
    if kind == "model":
        return Story(LedgerModel(lambda: time.time_ns() // 1_000_000), group_name)
    return Story(request.getfixturevalue("real"), group_name)


@pytest.fixture
def real_story(real: Ledger, group_name: str) -> Story:
    """A lane on the server."""
    return Story(real, group_name)


@pytest.fixture(scope="module")
def own_server(kind: str) -> Iterator[RedisServer]:
    """A server that the tests of one module may fill, empty and configure."""
    with _server(kind) as server:
        yield server
