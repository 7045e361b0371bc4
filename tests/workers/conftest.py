"""Workers and a stand-in for the bridge, on the session's Redis."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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

_numbers = itertools.count()

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
    """A plain worker with each kind of pool that serves a whole module, and the owner of a partition of its group."""
    pool = str(request.param)
    folder = tmp_path_factory.mktemp(pool)
    with one_worker(redis_server, folder, "worker", "-c", "2", "-P", pool, *QUIET) as serving:
        yield serving


@contextmanager
def one_worker(server: RedisServer, folder: Path, *command: str, app: str = PLAIN) -> Iterator[Serving]:
    """A worker for several tests. While it lives no other may: lane queues of one Redis are the same for all groups."""
    group = f"{folder.name}-{os.getpid()}-{next(_numbers)}"
    with ExitStack() as stack:
        bridge = StandIn(server.url, group)
        stack.callback(bridge.close)
        worker = _starter(stack, server.url, group, folder)(*command, "-n", bridge.hostname, app=app)
        heartbeat = worker.wait_until_alive(bridge.ledger, bridge.hostname)
        yield Serving(heartbeat.pool, worker, bridge, heartbeat.worker)


def _starter(stack: ExitStack, url: str, group: str, folder: Path) -> StartWorker:
    def start(*command: str, app: str = PLAIN, environ: Mapping[str, str] | None = None, **where: Path) -> Worker:
        values = {"TEST_REDIS_URL": url, "TEST_GROUP": group, **(environ or {})}
        return stack.enter_context(Worker(app, command, values, folder / f"worker-{next(_numbers)}.log", **where))

    return start
