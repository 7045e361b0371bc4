"""Settings of an app that break what lanes promise, each named with its remedy.

Rules: checked at worker start and at bridge start. Only what cannot be made right on the two task classes is refused;
an app-wide setting for the team's other tasks is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from celery import Celery

from bridge.workers.tasks import LaneTask

#: attribute of a lane task, the value that it must have, and why
_TASK_RULES: tuple[tuple[str, object, str], ...] = (
    ("reject_on_worker_lost", False, "a record that kills its process would be run again without end"),
    ("retry_on_worker_lost", False, "a lost link would be tried twice, by Celery and by its lane"),
    ("autoretry_for", (), "there is one retry mechanism, the pipeline's retry=Retry(...)"),
    ("store_errors_even_if_ignored", True, "the bridge would not hear of killed pool children and time limits"),
)


def refusals(app: Celery) -> list[str]:
    """Why this app cannot serve lanes: one sentence for each setting, with the remedy; empty when it can."""
    return [*_app_refusals(app), *(text for task in lane_tasks(app) for text in _task_refusals(task))]


def lane_tasks(app: Celery) -> list[LaneTask]:
    """The registered RecordTask and BatchTask tasks, by name."""
    return [task for _, task in sorted(app.tasks.items()) if isinstance(task, LaneTask)]


def _app_refusals(app: Celery) -> Iterator[str]:
    if app.conf.task_always_eager:
        yield (
            "task_always_eager=True: links must run in workers, in lane order. Remedy: unset it; "
            "test a task by calling it, store.run(Batch.of([...]))."
        )
    if app.conf.task_protocol != 2:
        yield (
            f"task_protocol={app.conf.task_protocol}: it carries no chains. Remedy: unset it, Celery's default is 2."
        )


def _task_refusals(task: LaneTask) -> Iterator[str]:
    for name, allowed, reason in _TASK_RULES:
        value = getattr(task, name, allowed)
        if value != allowed and not (allowed is False and value is None):
            yield (
                f"{_setting(name)}={value!r} on the lane task {task.name}: {reason}. "
                f"Remedy: remove it from this task (other tasks of the app may keep it)."
            )
    if type(task).backend is not LaneTask.backend:
        yield (
            f"backend=... on the lane task {task.name}: its errors must reach the ledger. "
            "Remedy: remove it from this task; results of lane tasks are ignored."
        )


def _setting(attribute: str) -> str:
    return attribute if attribute == "autoretry_for" else f"task_{attribute}"
