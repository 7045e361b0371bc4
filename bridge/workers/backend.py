"""Where Celery stores what our code cannot report: killed pool children, time limits, revoked links.

Rules: errors only (FAILURE, REVOKED), at the ledger's Redis whatever the app's result backend is, under Celery's usual
key, and published on a channel of that name; not for the links behind the one that failed: they may be running. The
worker's id is in the entry: only the worker that holds a claim may end it. Nothing here blocks a worker while Redis is
away: what could not be stored is found by the bridge's sweep. Errors that the chain's outcome tells are for people
only, and soon gone: in an outage there are many.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import Any

import redis
from celery import states
from celery.backends.base import KeyValueStoreBackend

from bridge.workers.describe import message_of, shorten_traceback
from bridge.workers.identity import worker_id

logger = logging.getLogger(__name__)

#: seconds that a stored error is kept, and one that the chain's outcome tells, too
ERROR_EXPIRES, TOLD_EXPIRES = 3600, 60

#: the link that has failed; its error is stored for those behind it in its chain too, which may be running by now
_failed: ContextVar[str] = ContextVar("the link whose error is stored", default="")

_expires: ContextVar[int] = ContextVar("seconds that errors stored here are kept", default=ERROR_EXPIRES)


class ErrorBackend(KeyValueStoreBackend):
    """A Celery result backend that stores the errors of links and nothing else."""

    supports_autoexpire = True
    supports_failure_expires = True

    def __init__(self, app: Any, client: redis.Redis) -> None:
        super().__init__(app=app, serializer="json", accept=["json"], expires=ERROR_EXPIRES)
        self._client = client

    def _add_global_keyprefix(self) -> None:
        """The app's prefix is for the app's results."""

    def prepare_compression(self, compression: str | None) -> None:
        """Never compressed: the bridge reads the entries as JSON."""

    def mark_as_failure(
        self, task_id: str, exc: Any, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        """Store the error of a link, and of those behind it in its chain."""
        is_told = getattr(request, "has_reported", False)
        token = _expires.set(TOLD_EXPIRES if is_told else ERROR_EXPIRES)
        failed = _failed.set(task_id)
        try:
            return super().mark_as_failure(task_id, exc, traceback, request, **options)
        finally:
            _failed.reset(failed)
            _expires.reset(token)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        """Store an error; anything else is dropped."""
        if state not in {states.FAILURE, states.REVOKED}:
            return result
        meta = {
            "task_id": task_id,
            "status": state,
            "result": self.encode_result(result, state),
            "traceback": None if traceback is None else shorten_traceback(str(traceback)),
            "children": [],
            "date_done": self.app.now().isoformat(),
            "worker": worker_id(),
        }
        self._write(task_id, json.dumps(meta))
        return meta["result"]

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """Type and text: an exception's arguments may be of any type and size."""
        if serializer is not None:
            return super().prepare_exception(exc, serializer)
        return {
            "exc_type": type(exc).__qualname__,
            "exc_message": [message_of(exc)],
            "exc_module": type(exc).__module__,
        }

    def get(self, key: str) -> bytes | None:
        """The entry under a key; Celery's AsyncResult reads errors with it."""
        return self._client.get(key)  # type: ignore[return-value]

    def mget(self, keys: list[str]) -> list[bytes | None]:
        """Several entries."""
        return self._client.mget(keys)  # type: ignore[return-value]

    def delete(self, key: str) -> None:
        """Forget an entry."""
        self._client.delete(key)

    def _write(self, task_id: str, value: str) -> None:
        key = self.get_key_for_task(task_id)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.set(key, value, ex=_expires.get())
                if _failed.get() in ("", task_id):
                    pipe.publish(key, value)
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            logger.warning(
                "the error of link %s could not be stored (%s); the bridge finds the link by its heartbeat check",
                task_id,
                error,
                extra={"action": "error_not_stored"},
            )
