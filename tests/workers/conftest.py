"""Workers and a stand-in for the bridge, on the session's Redis."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery

from bridge.devstack import RedisServer
from bridge.workers.installed import WorkerSettings
from tests.workers.fakes import SETTINGS, Bench, FakeConnection, FakeLedger
from tests.workers.processes import Worker
from tests.workers.standin import StandIn

PLAIN = "tests.workers.apps.plain"


@pytest.fixture
def app() -> Celery:
    """An app without broker."""
    return Celery("unit", set_as_current=False)


@pytest.fixture
def bench(app: Celery, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """`bench(payload(...))`: a bench whose ledger gives out this payload."""

    def make(blob: bytes = b"", settings: WorkerSettings = SETTINGS) -> Bench:
        ledger = FakeLedger(blob)
        connection = FakeConnection(ledger, settings)
        monkeypatch.setattr("bridge.workers.tasks.connection_of", lambda _: connection)
        return Bench(app, ledger)

    return make


@pytest.fixture(scope="module", params=["prefork", "solo"])
def pool(request: pytest.FixtureRequest) -> str:
    """The kind of pool that the module's worker has."""
    return str(request.param)


@pytest.fixture
def start_worker(redis_server: RedisServer, tmp_path: Path, group_name: str) -> Iterator[Callable[..., Worker]]:
    """Starts workers for this test's group: `start_worker("worker", "-c", "1", app=..., environ=...)`."""
    with ExitStack() as stack:
        numbers = iter(range(100))

        def start(*command: str, app: str = PLAIN, environ: dict[str, str] | None = None) -> Worker:
            log = tmp_path / f"worker-{next(numbers)}.log"
            values = {"TEST_REDIS_URL": redis_server.url, "TEST_GROUP": group_name, **(environ or {})}
            return stack.enter_context(Worker(app, command, values, log))

        yield start


@pytest.fixture
def standin(redis_server: RedisServer, group_name: str) -> Iterator[StandIn]:
    """The owner of a partition of this test's group."""
    bridge = StandIn(redis_server.url, group_name)
    yield bridge
    bridge.close()
