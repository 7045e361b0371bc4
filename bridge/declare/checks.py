"""What can be checked only when the app is complete: its tasks, its configuration, and how options fit together."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import EncodeError
from kombu.serialization import dumps

from bridge.declare.pipeline import Pipeline
from bridge.runtime.plan import LinkPlan
from bridge.settings import Settings
from bridge.settings.option import did_you_mean
from bridge.workers.tasks import BatchTask, RecordTask


def check_links(app: Celery, pipelines: Sequence[Pipeline]) -> Iterator[str]:
    """What is wrong with the links' tasks and arguments. The app must be finalised."""
    for pipeline in pipelines:
        for number, link in enumerate(pipeline.links, 1):
            if problem := _look_at_link(app, link):
                yield f"Pipeline {pipeline.name!r}: link {number} ({link.task}) {problem}."
        hook = pipeline.on_failed
        if hook is not None and (problem := _look_at_hook(app, hook)):
            yield f"Pipeline {pipeline.name!r}: on_failed ({hook.task}) {problem}."


def check_sizes(pipelines: Sequence[Pipeline], settings: Settings) -> Iterator[str]:
    """What does not fit together."""
    for pipeline in pipelines:
        batch_bytes = pipeline.rules.batch_bytes
        for name in ("buffer_bytes", "in_flight_bytes"):
            limit = getattr(settings, name)
            if batch_bytes > limit:
                yield (
                    f"Pipeline {pipeline.name!r}: batch_bytes={batch_bytes} is more than {name}={limit} of the bridge. "
                    f"Remedy: make batch_bytes smaller or {name} larger."
                )


def _look_at_link(app: Celery, link: LinkPlan) -> str | None:
    task = app.tasks.get(link.task)
    if task is None:
        return _not_registered(app, link, (RecordTask, BatchTask))
    if not isinstance(task, (RecordTask, BatchTask)):
        return (
            "is a plain task. Remedy: @app.task(base=RecordTask) or base=BatchTask; a task that others call stays "
            "as it is and is called from one"
        )
    return _misfit(task, link) or _no_queue(app, link) or _not_sendable(app, link)


def _look_at_hook(app: Celery, hook: LinkPlan) -> str | None:
    task = app.tasks.get(hook.task)
    if task is None:
        return _not_registered(app, hook, (BatchTask,))
    if not isinstance(task, BatchTask):
        kind = "RecordTask" if isinstance(task, RecordTask) else "plain task"
        return (
            f"is a {kind}. Remedy: @app.task(base=BatchTask); it gets the records that are given up, with the reasons "
            "in batch.failures, and returns what to do with each"
        )
    return _misfit(task, hook) or _no_queue(app, hook) or _not_sendable(app, hook)


def _not_registered(app: Celery, link: LinkPlan, bases: tuple[type, ...]) -> str:
    known = [name for name, each in app.tasks.items() if isinstance(each, bases)]
    return (
        f"is not registered in the app{did_you_mean(link.task, known)} Remedy: have its module imported where the "
        "app is made, Celery(..., include=[...]) or app.autodiscover_tasks()"
    )


def _misfit(task: Any, link: LinkPlan) -> str | None:
    """Whether the task takes its record or batch, and the arguments of its signature."""
    try:
        inspect.signature(task.run).bind(None, *link.args, **link.kwargs)
    except TypeError as error:
        first = "record" if isinstance(task, RecordTask) else "batch"
        return (
            f"cannot be called with its {first} and the arguments of its signature: {error}. "
            "Remedy: make the task's parameters and .s(...) agree"
        )
    return None


def _no_queue(app: Celery, link: LinkPlan) -> str | None:
    queue = link.options.get("queue")
    if queue is None or queue in app.amqp.queues or app.conf.task_create_missing_queues:
        return None
    return (
        f"goes to queue {queue!r}, which the app does not declare (task_create_missing_queues=False). "
        "Remedy: add it to task_queues, or correct its name"
    )


def _not_sendable(app: Celery, link: LinkPlan) -> str | None:
    serializer = app.conf.task_serializer
    try:
        dumps([list(link.args), dict(link.kwargs)], serializer=serializer)  # type: ignore[no-untyped-call]
    except EncodeError as error:
        return f"has arguments that {serializer!r} cannot carry ({error}). Remedy: give plain values in .s(...)"
    return None
