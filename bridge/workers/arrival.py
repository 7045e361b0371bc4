"""What a worker does with a link's message as it arrives: a copy of a link that it has in hand is dropped.

Why: Celery knows what it has in hand by task id alone. When a copy ends, refused by the ledger, the link beside it is
listed no more and cannot be killed: it counts as lost, and runs on beside the lane's next attempt. Copies are ordinary:
links that nobody has claimed are published again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery.worker import state
from celery.worker.strategy import default

logger = logging.getLogger(__name__)


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Celery's way to say what is done with a message of this task."""
    take = default(task, app, consumer, **options)

    def arrive(message: Any, body: Any, ack: Callable[..., Any], *rest: Any, **more: Any) -> Any:
        link = (message.headers or {}).get("id", "")
        if not has_in_hand(consumer, task.name, link):
            return take(message, body, ack, *rest, **more)
        logger.info("a copy of link %s is dropped: it is in hand", link, extra={"action": "copy_dropped"})
        return ack(logger, consumer.connection_errors)

    return arrive


def has_in_hand(consumer: Any, task: str, link: str) -> bool:
    """Whether the worker runs the link, or has it waiting for the pool or for the task's rate limit."""
    bucket = consumer.task_buckets[task]
    waiting = () if bucket is None else list(bucket.contents)
    return link in state.requests or any(request.id == link for request, _ in waiting)
