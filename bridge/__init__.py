"""Lanebridge carries Kafka partitions into Celery in order.

The names are loaded when they are first used: a command that needs no Celery does not wait for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.app import Bridge
    from bridge.records import Batch, Failed, Record, Retry
    from bridge.workers.errors import RecordFailed
    from bridge.workers.tasks import BatchTask, RecordTask

__all__ = ["Batch", "BatchTask", "Bridge", "Failed", "Record", "RecordFailed", "RecordTask", "Retry"]

_HOMES = {
    "Batch": "bridge.records",
    "BatchTask": "bridge.workers.tasks",
    "Bridge": "bridge.app",
    "Failed": "bridge.records",
    "Record": "bridge.records",
    "RecordFailed": "bridge.workers.errors",
    "RecordTask": "bridge.workers.tasks",
    "Retry": "bridge.records",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
