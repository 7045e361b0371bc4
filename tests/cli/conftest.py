"""The command line in this process, on apps that a test writes itself."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result

from bridge.cli.main import bridge_group
from bridge.devstack import RedisServer
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ops.state import State, encode_state

Cli = Callable[..., Result]
WriteApp = Callable[..., str]

_serial = itertools.count(1)

#: an app without faults, whose servers are nowhere
GOOD = """
    from celery import Celery
    from bridge import Batch, BatchTask, Bridge

    app = Celery(__name__, broker="redis://:hunter2@127.0.0.1:1/0", set_as_current=False)
    bridge = Bridge(app, group_id="g")

    @app.task(base=BatchTask, shared=False)
    def store(batch: Batch) -> None: ...

    bridge.pipeline("orders", chain=store.s())
"""


@pytest.fixture
def clean_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable speaks of servers of somebody else."""
    for name in [name for name in os.environ if name.startswith(("BRIDGE_", "CELERY_", "FLOWER_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def write_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteApp]:
    """`write_app(source)` gives the name of a new module; with `package=True` the source is its `celery` module."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def write(source: str = GOOD, *, package: bool = False) -> str:
        names.append(f"written_app_{next(_serial)}")
        path = tmp_path / names[-1]
        if package:
            path.mkdir()
            (path / "__init__.py").touch()
        (path / "celery.py" if package else path.with_suffix(".py")).write_text(textwrap.dedent(source))
        return names[-1]

    yield write
    for name in [module for module in sys.modules if module.startswith(tuple(names) or "written_app_")]:
        del sys.modules[name]


@pytest.fixture
def cli(clean_env: None) -> Iterator[Cli]:
    """`cli("lanes", "--json")` runs a command; what it does to logging is undone."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("bridge").level
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(bridge_group, arguments, prog_name="lanebridge")

    yield run
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("bridge").setLevel(before[2])


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The session's Redis."""
    return redis_server.url


@pytest.fixture
def app(write_app: WriteApp, redis_url: str, group_name: str) -> str:
    """An app whose ledger is the session's Redis, with a group of this test alone."""
    return write_app(of_group(GOOD, redis_url, group_name))


def of_group(source: str, redis_url: str, group: str) -> str:
    """The app with this ledger and group."""
    return source.replace("redis://:hunter2@127.0.0.1:1/0", redis_url).replace('"g"', repr(group))


@pytest.fixture
def ledger(redis_url: str, group_name: str) -> Iterator[Ledger]:
    """Where bridges publish."""
    with redis.Redis.from_url(redis_url) as client:
        yield Ledger(client, group_name)


@pytest.fixture
def operators(redis_url: str, group_name: str) -> Iterator[Operators]:
    """Where bridges read what is wanted of them."""
    with redis.Redis.from_url(redis_url) as client:
        yield Operators(client, group_name)


def publish(ledger: Ledger, *states: State) -> None:
    """As bridges do once a second."""
    for state in states:
        ledger.publish_state(state.bridges[0].id, encode_state(state), 60.0)
