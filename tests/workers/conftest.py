"""Workers and a stand-in for the bridge, on the session's Redis."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from celery import Celery

from bridge.devstack import RedisServer
from bridge.workers.installed import WorkerSettings
from tests.workers.fakes import SETTINGS, Bench, FakeConnection, FakeLedger
from tests.workers.processes import Worker
from tests.workers.standin import StandIn

PLAIN = "tests.workers.apps.plain"

#: no second of waiting for other workers
QUIET = ("--without-mingle", "--without-gossip", "-l", "INFO")

StartWorker = Callable[..., Worker]


@dataclass(frozen=True)
class Serving:
    """A worker that serves lanes; `id` is how it claims links."""

    pool: str
    worker: Worker
    bridge: StandIn
    id: str


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


@pytest.fixture
def start_worker(redis_server: RedisServer, tmp_path: Path, group_name: str) -> Iterator[StartWorker]:
    """Starts workers for this test's group: `start_worker("worker", "-c", "1", app=..., environ=...)`."""
    with ExitStack() as stack:
        yield _starter(stack, redis_server.url, group_name, tmp_path)


@pytest.fixture
def standin(redis_server: RedisServer, group_name: str) -> Iterator[StandIn]:
    """The owner of a partition of this test's group."""
    bridge = StandIn(redis_server.url, group_name)
    yield bridge
    bridge.close()


@pytest.fixture(scope="module", params=["prefork", "solo"])
def serving(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A worker with each kind of pool that serves a whole module, and the owner of a partition of its group."""
    pool = str(request.param)
    group = f"{request.node.name.rpartition('/')[2].partition('.')[0]}-{pool}-{os.getpid()}"
    with ExitStack() as stack:
        start = _starter(stack, redis_server.url, group, tmp_path_factory.mktemp(pool))
        bridge = StandIn(redis_server.url, group)
        stack.callback(bridge.close)
        worker = start("worker", "-P", pool, "-c", "2", "-n", bridge.hostname, *QUIET)
        heartbeat = worker.wait_until_alive(bridge.ledger, bridge.hostname)
        yield Serving(pool, worker, bridge, heartbeat.worker)
        worker.terminate()
        assert worker.wait() == 0, worker.text()


def _starter(stack: ExitStack, url: str, group: str, folder: Path) -> StartWorker:
    numbers = itertools.count()

    def start(*command: str, app: str = PLAIN, environ: Mapping[str, str] | None = None, **where: Path) -> Worker:
        values = {"TEST_REDIS_URL": url, "TEST_GROUP": group, **(environ or {})}
        return stack.enter_context(Worker(app, command, values, folder / f"worker-{next(numbers)}.log", **where))

    return start
