"""A worker's sign of life in the ledger: its queues, its lane tasks and the links it has reserved or runs.

Rules: a daemon thread of the worker's main process, also while a solo task runs there, until the last link has ended.
No exception ends it; each is logged once per change. Its client is its own and is never used by pool children.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps, concurrency
from celery.worker import state

from bridge.entries import Heartbeat
from bridge.workers.identity import BEAT, PULSE, Pulse
from bridge.workers.installed import WorkerSettings
from bridge.workers.refusals import lane_tasks
from bridge.workers.tasks import LaneTask

logger = logging.getLogger(__name__)

#: seconds after which a heartbeat that is being written has failed, at the latest
_LONGEST_WRITE = 12.0


class HeartbeatLedger(Protocol):
    """What the heartbeat needs of the ledger."""

    def write_heartbeat(self, heartbeat: Heartbeat, expiry_s: float) -> None:
        """Write it; it is gone `expiry_s` seconds later."""

    def is_alive(self, worker: str) -> bool:
        """Whether the worker's heartbeat is there."""

    def forget_worker(self, worker: str) -> None:
        """Remove it at once."""


class HeartbeatThread:
    """Writes what `describe` says every few seconds."""

    def __init__(
        self,
        worker: str,
        ledger: HeartbeatLedger,
        describe: Callable[[], Heartbeat],
        settings: WorkerSettings,
        pulse: Pulse = PULSE,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._describe = describe
        self._settings = settings
        self._pulse = pulse
        self._trouble = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lanebridge-heartbeat", daemon=True)

    def start(self) -> None:
        """Write the first heartbeat, then go on in the background."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """End, and remove the worker from the ledger."""
        self._ended.set()
        self._thread.join(timeout=_LONGEST_WRITE)
        self._guarded(lambda: self._ledger.forget_worker(self._worker))

    def _run(self) -> None:
        while not self._ended.wait(self._settings.heartbeat_interval):
            self._beat()

    def _beat(self) -> None:
        self._guarded(self._write)

    def _write(self) -> None:
        begun, before = time.monotonic(), self._pulse.values[BEAT]
        gone = bool(before) and not self._ledger.is_alive(self._worker)
        self._ledger.write_heartbeat(self._describe(), self._settings.worker_timeout)
        if gone or (before and time.monotonic() - before > self._settings.worker_timeout):
            self._pulse.lapse()
            logger.warning(
                "the heartbeat of %s was gone: its links ask the ledger before they go on",
                self._worker,
                extra={"action": "heartbeat_gone"},
            )
        self._pulse.beat(begun)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next beat must be tried; it is logged
            self._say(f"{type(error).__name__}: {error}")
        else:
            self._say("")

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            logger.warning(
                "heartbeat not written (%s); tried again every %g s",
                trouble,
                self._settings.heartbeat_interval,
                extra={"action": "heartbeat_failed"},
            )
        elif self._trouble and not trouble:
            logger.info("heartbeat written again", extra={"action": "heartbeat_back"})
        self._trouble = trouble


def describe_worker(worker: Any, name: str) -> Heartbeat:
    """What a Celery worker (`WorkController`) says of itself. A worker that shuts down takes no more links: it lists
    no queues."""
    running = worker.blueprint.state == bootsteps.RUN
    queues = worker.app.amqp.queues.consume_from if running else ()
    return Heartbeat(
        worker=name,
        hostname=worker.hostname,
        pool=_pool_name(worker.pool_cls),
        queues=tuple(sorted(queues)),
        tasks=tuple(task.name for task in lane_tasks(worker.app)),
        links=tuple(sorted(_links(worker))),
        concurrency=worker.pool.num_processes if running else worker.concurrency,
    )


def _links(worker: Any) -> set[str]:
    """Link ids that were taken from a queue and have not ended: running, waiting for the pool or for a rate limit."""
    waiting = [request for bucket in _buckets(worker) for request, _ in list(bucket.contents)]
    known = list(state.requests.values())
    return {request.id for request in (*known, *waiting) if isinstance(request.task, LaneTask)}


def _buckets(worker: Any) -> list[Any]:
    return [bucket for bucket in list(worker.consumer.task_buckets.values()) if bucket is not None]


def _pool_name(pool: Any) -> str:
    target = f"{pool.__module__}:{pool.__qualname__}"
    return next((alias for alias, path in concurrency.ALIASES.items() if path == target), target)
