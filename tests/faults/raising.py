"""Users' callbacks at their worst: each raises now and then, as FAULTS_RAISES=1 asks for (bad_app.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from celery import signals

from bridge import Record


class Rude(Exception):
    """It cannot even be printed, or sent to another process."""

    def __str__(self) -> str:
        raise RuntimeError("an exception without words")

    def __repr__(self) -> str:
        raise RuntimeError("an exception without words")

    def __reduce__(self) -> Any:
        raise RuntimeError("an exception that cannot be sent")


def decode(record: Record) -> object:
    """JSON; what is none raises something that is no ValueError."""
    try:
        return json.loads(record.value or b"null")
    except ValueError:
        raise Rude from None


def close_batch(record: Record, batch: Sequence[Record]) -> bool:
    """Every 15th offset ends a batch, every 50th raises."""
    if record.offset % 50 == 7:
        raise KeyError(record.offset)
    return record.offset % 15 == 0


def _raise(*args: object, **about: object) -> None:
    raise LookupError("a signal's handler raises")


def connect() -> None:
    """Handlers of Celery's signals about tasks, each of which raises every time."""
    for signal in (signals.task_prerun, signals.task_postrun, signals.task_success, signals.task_failure):
        signal.connect(_raise, weak=False)
