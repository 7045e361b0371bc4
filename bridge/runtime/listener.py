"""Hears what chains report: the ledger's notices to this bridge, and errors that Celery stores for its links.

Notices may be lost while a connection is down; the sweep finds what they said. A cut subscription is silent, so
nothing is concluded from silence.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import redis

from bridge.core.dispatching import chain_prefix
from bridge.core.events import ErrorHeard, OutcomeHeard
from bridge.ledger.notices import ack_channel, error_channel, read_error, read_notice
from bridge.runtime.mail import Post, Watcher

logger = logging.getLogger(__name__)

#: seconds between two tries to subscribe again
RECONNECT_PAUSE = 0.5

RESULT_KEY_PREFIX = "celery-task-meta-"


class Listener:
    """A thread that subscribes and posts events."""

    def __init__(
        self, client: redis.Redis, group: str, bridge_id: str, post: Post, broken: Callable[[BaseException], None]
    ) -> None:
        self._client = client
        self._post = post
        self._acks = ack_channel(bridge_id)
        self._errors = error_channel(bridge_id)
        self._results = f"{RESULT_KEY_PREFIX}{chain_prefix(group)}*"
        self._ready = threading.Event()
        self._watcher = Watcher("listener", self._watch, broken)

    def start(self, timeout: float) -> bool:
        """Begin; returns whether the subscription stood within `timeout` seconds."""
        self._watcher.start()
        return self._ready.wait(timeout)

    def stop(self, timeout: float) -> None:
        """End within about a second. May come before `start`."""
        self._watcher.stop(timeout)

    def _watch(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self._listen(ended)
            except redis.RedisError as error:
                if self._ready.is_set():
                    logger.warning("subscription lost (%s); trying again", error, extra={"action": "listener"})
                self._ready.clear()
                ended.wait(RECONNECT_PAUSE)

    def _listen(self, ended: threading.Event) -> None:
        with self._client.pubsub() as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(self._acks, self._errors)
            subscription.psubscribe(self._results)
            while not ended.is_set():
                message = subscription.get_message(timeout=1.0)
                if message is not None:
                    self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        kind, data = message["type"], message["data"]
        if kind in {"subscribe", "psubscribe"}:
            self._ready.set()
        elif kind == "pmessage":
            self._hear_result(data)
        elif kind == "message" and message["channel"] == self._acks.encode():
            notice = read_notice(data)
            self._post(OutcomeHeard(notice.tp, notice.lane, notice.seen, notice.outcome))
        elif kind == "message":
            self._post(ErrorHeard(*read_error(data)))

    def _hear_result(self, data: bytes) -> None:
        meta = json.loads(data)
        if meta.get("status") not in {"FAILURE", "REVOKED"}:
            return
        result = meta.get("result") or {}
        text = result.get("exc_message", "")
        message = " ".join(str(part) for part in text) if isinstance(text, list) else str(text)
        self._post(
            ErrorHeard(meta["task_id"], meta["status"], result.get("exc_type", ""), message, meta.get("worker", ""))
        )
