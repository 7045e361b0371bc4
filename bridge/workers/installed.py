"""Which apps serve lanes, with what settings, and each process' connection to the ledger.

Rules: settings are asked for when they are first needed, never at import. A process that was forked makes its own
connection; nothing is shared with the process it came from.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from celery import Celery

from bridge.errors import ConfigurationError
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.workers.backend import ErrorBackend
from bridge.workers.rules import TopicRules


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What workers must know. Durations in seconds; `ledger_url` is never shown.

    `link_timeout` is how long a worker tries to report finished work while Redis is away, `worker_timeout` after how
    much silence a worker counts as dead, `heartbeat_interval` how often it says that it lives. `rules_of` gives the
    rules of a topic when a link of it arrives, None for a topic that no pipeline carries.
    """

    group_id: str
    ledger_url: str = field(repr=False)
    rules_of: Callable[[str], TopicRules | None]
    lane_queues: int = 16
    link_timeout: float = 300.0
    claim_timeout: float = 15.0
    worker_timeout: float = 15.0
    heartbeat_interval: float = 3.0


@dataclass(frozen=True, slots=True)
class Connection:
    """A process' way to the ledger."""

    ledger: Ledger
    backend: ErrorBackend
    settings: WorkerSettings


_settings: WeakKeyDictionary[Celery, Callable[[], WorkerSettings]] = WeakKeyDictionary()
_connections: WeakKeyDictionary[Celery, tuple[int, Connection]] = WeakKeyDictionary()
_connecting = threading.Lock()


def remember(app: Celery, settings: Callable[[], WorkerSettings]) -> None:
    """The app serves lanes; `settings` is called when something needs them."""
    _settings[app] = settings


def serves_lanes(app: Celery) -> bool:
    """Whether `install` was called for this very app."""
    return app in _settings


def settings_of(app: Celery) -> WorkerSettings:
    """The app's settings. Raises ConfigurationError when no bridge was declared for it.

    A pool child that was started afresh has a copy of the app: it takes the settings of the only app there is.
    """
    found = _settings.get(app)
    if found is None and len(_settings) == 1:
        found = next(iter(_settings.values()))
    if found is None:
        raise ConfigurationError(
            f"The Celery app {app.main or '__main__'!r} has RecordTask or BatchTask tasks but no bridge. "
            "Remedy: bridge = Bridge(app, group_id=...) beside the app."
        )
    return found()


def connection_of(app: Celery) -> Connection:
    """This process' connection to the app's ledger; made at the first call, without asking the server anything."""
    with _connecting:
        pid, connection = _connections.get(app, (0, None))
        if connection is None or pid != os.getpid():
            settings = settings_of(app)
            client = connect(settings.ledger_url)
            connection = Connection(Ledger(client, settings.group_id), ErrorBackend(app, client), settings)
            _connections[app] = (os.getpid(), connection)
        return connection


def _after_fork() -> None:
    global _connecting  # noqa: PLW0603 - another thread may have held the lock when the process was forked
    _connecting = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
