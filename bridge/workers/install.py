"""Makes the workers of a Celery app serve lanes. The app keeps its tasks, queues, default queue, routes and results.

Rules: everything is decided when a worker starts, after the app's configuration is complete, however it was given.
Lane queues are added to what the app has, declared exactly as Celery declares a queue that it meets by name.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery, bootsteps, signals

import bridge.workers.inspecting  # noqa: F401 - `celery inspect lanes` is there as soon as an app has a bridge
from bridge.errors import ConfigurationError
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.workers.errors import WorkerRefused
from bridge.workers.heartbeat import HeartbeatThread, describe_worker
from bridge.workers.identity import ignores_sigterm, name_worker, worker_id
from bridge.workers.installed import WorkerSettings, connection_of, remember, serves_lanes, settings_of
from bridge.workers.refusals import refusals
from bridge.workers.unknown import report_unknown_task

logger = logging.getLogger(__name__)


def install(app: Celery, settings: Callable[[], WorkerSettings]) -> None:
    """Make the app's workers serve lanes. `settings` is called when a worker, or a link, needs them; what it raises
    ends the worker's start. May be called again: the last settings count."""
    remember(app, settings)
    app.steps["worker"].add(LaneStep)
    for when, what in _HANDLERS:
        when.connect(what, weak=False, dispatch_uid=f"lanebridge.{what.__name__}")


def lane_queue(number: int) -> str:
    """The name of a lane queue."""
    return f"lane-{number}"


def add_lane_queues(app: Celery, count: int) -> None:
    """Add lane-0 ... lane-(count - 1) to the queues that the app knows, and to those that its workers consume by
    default. A queue of that name that the app declares itself stays as it is."""
    queues = app.amqp.queues
    for name in map(lane_queue, range(count)):
        if name not in queues:
            queues.select_add(queues.new_missing(name))


class LaneStep(bootsteps.Step):
    """Part of a worker's start: refuses settings that break a promise and draws the worker's id, before the pool
    forks."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        try:
            connection_of(worker.app)
        except (ConfigurationError, ValueError) as error:
            raise WorkerRefused(f"This worker cannot serve lanes: {error}") from error
        found = refusals(worker.app)
        if found:
            raise WorkerRefused("This worker cannot serve lanes:\n" + "\n".join(f"- {text}" for text in found))
        name_worker(worker.hostname)


def _on_start(instance: Any, **_: Any) -> None:
    """Before -Q is applied. Celery swallows what this raises: bad settings are for LaneStep to tell."""
    if serves_lanes(instance.app):
        with suppress(ConfigurationError):
            add_lane_queues(instance.app, settings_of(instance.app).lane_queues)


def _on_ready(sender: Any, **_: Any) -> None:
    """The worker consumes from now on."""
    worker = sender.controller
    if not serves_lanes(worker.app):
        return
    settings, name = settings_of(worker.app), worker_id()
    ledger = Ledger(connect(settings.ledger_url), settings.group_id)
    worker.lanebridge_heartbeat = HeartbeatThread(name, ledger, lambda: describe_worker(worker, name), settings)
    worker.lanebridge_heartbeat.start()
    logger.info("worker %s serves lanes", name, extra={"action": "worker_ready"})


def _on_shutdown(sender: Any, **_: Any) -> None:
    """All links have ended."""
    heartbeat = getattr(sender, "lanebridge_heartbeat", None)
    if heartbeat is not None:
        heartbeat.stop()


def _on_unknown_task(sender: Any, message: Any, name: str, id: str, **_: Any) -> None:
    """Celery reports it to the app's result backend only."""
    if serves_lanes(sender.app):
        report_unknown_task(sender.app, message, name, id)


def _on_child_start(**_: Any) -> None:
    """Also sent by the solo pool, in the main process, which must hear SIGTERM."""
    if ignores_sigterm():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


_HANDLERS: tuple[tuple[Any, Callable[..., None]], ...] = (
    (signals.celeryd_init, _on_start),
    (signals.worker_ready, _on_ready),
    (signals.worker_shutdown, _on_shutdown),
    (signals.task_unknown, _on_unknown_task),
    (signals.worker_process_init, _on_child_start),
)
