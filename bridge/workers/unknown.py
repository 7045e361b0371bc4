"""A link whose task this worker does not know: told to the bridge, which would not hear of it.

Rules: Celery has already dropped the message. Nothing here may end the worker's loop: what fails is logged, and the
bridge finds the link by its sweep.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from celery import Celery, states
from kombu.exceptions import KombuError

from bridge.ledger.handle import Handle, is_handle
from bridge.ledger.notices import ErrorNotice
from bridge.workers.identity import worker_id
from bridge.workers.installed import connection_of

logger = logging.getLogger(__name__)


def report_unknown_task(app: Celery, message: Any, task: str, link_id: str) -> None:
    """Tell the bridge of the message's partition, if the message is a link's."""
    handle = _handle_in(message)
    if handle is None:
        return
    notice = ErrorNotice(link_id, states.FAILURE, "NotRegistered", task, worker_id())
    try:
        connection_of(app).ledger.report_error(handle, notice)
    except (redis.RedisError, OSError) as error:
        logger.warning(
            "link %s names the task %s, which is not registered here; the bridge could not be told (%s)",
            link_id,
            task,
            error,
            extra={"action": "unknown_task_not_told"},
        )


def _handle_in(message: Any) -> Handle | None:
    try:
        args = message.payload[0]
        return Handle.from_message(args[0]) if args and is_handle(args[0]) else None
    except (KombuError, LookupError, TypeError, ValueError) as error:
        logger.debug("message of an unknown task is not readable (%s)", error, extra={"action": "unknown_task"})
        return None
