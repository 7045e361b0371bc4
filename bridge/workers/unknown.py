"""A link whose task, or whose topic's pipeline, this worker does not know: told to the bridge, which would not hear of
it. The link is not run; another worker may know (one of a newer version of the app).

Rules: the message of an unknown task is dropped already. Nothing here may end the worker's loop: what fails is logged,
and the bridge finds the link by its sweep.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from celery import Celery, states
from kombu.exceptions import KombuError

from bridge.ledger.handle import Handle, is_handle
from bridge.ledger.ledger import Ledger
from bridge.ledger.notices import ErrorNotice
from bridge.workers.identity import worker_id
from bridge.workers.installed import connection_of

logger = logging.getLogger(__name__)


def report_unknown_task(app: Celery, message: Any, task: str, link_id: str) -> None:
    """Tell the bridge of the message's partition, if the message is a link's."""
    handle = _handle_in(message)
    if handle is None:
        return
    _tell(connection_of(app).ledger, handle, link_id, task)


def report_unknown_topic(ledger: Ledger, handle: Handle) -> str:
    """Tell the bridge that no pipeline here carries the link's topic: how its records are to be decoded is not known.
    Returns the sentence."""
    text = (
        f"no pipeline of {worker_id()} carries {handle.tp.topic}. Remedy: declare it where the workers import it, and "
        "start the workers anew"
    )
    _tell(ledger, handle, handle.link_id, text)
    return text


def _tell(ledger: Ledger, handle: Handle, link_id: str, what: str) -> None:
    notice = ErrorNotice(link_id, states.FAILURE, "NotRegistered", what, worker_id())
    try:
        ledger.report_error(handle, notice)
    except (redis.RedisError, OSError) as error:
        logger.warning(
            "link %s cannot run here: not registered: %s; the bridge could not be told (%s)",
            link_id,
            what,
            error,
            extra={"action": "unknown_not_told"},
        )


def _handle_in(message: Any) -> Handle | None:
    try:
        args = message.payload[0]
        return Handle.from_message(args[0]) if args and is_handle(args[0]) else None
    except (KombuError, LookupError, TypeError, ValueError) as error:
        logger.debug("message of an unknown task is not readable (%s)", error, extra={"action": "unknown_task"})
        return None
