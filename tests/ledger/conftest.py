"""The contract is checked on a real server and on the model in memory; what only a server has, on the server."""

import time
from collections.abc import Iterator

import pytest
import redis

from bridge.devstack import RedisServer
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from tests.ledger.model import LedgerModel
from tests.ledger.story import AnyLedger, Story


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with connect(redis_server.url) as client:
        yield client


@pytest.fixture
def real(client: redis.Redis, group_name: str) -> Ledger:
    """The ledger of a group of this test alone."""
    return Ledger(client, group_name)


@pytest.fixture(params=["server", "model"])
def story(request: pytest.FixtureRequest, group_name: str) -> Story:
    """A lane on either ledger."""
    ledger: AnyLedger
    if request.param == "server":
        ledger = request.getfixturevalue("real")
    else:
        ledger = LedgerModel(lambda: time.time_ns() // 1_000_000)
    return Story(ledger, group_name)


@pytest.fixture
def real_story(real: Ledger, group_name: str) -> Story:
    """A lane on the server."""
    return Story(real, group_name)


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """A server that the tests of one module may fill, empty and configure."""
    with RedisServer() as server:
        yield server
