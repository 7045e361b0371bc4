"""Settings that break what lanes promise are refused by name."""

from typing import Any

import pytest
from celery import Celery

from bridge.records import Batch
from bridge.workers.refusals import lane_tasks, refusals
from bridge.workers.tasks import BatchTask


def add_store(app: Celery, **options: Any) -> None:
    @app.task(base=BatchTask, shared=False, name="store", **options)
    def store(batch: Batch) -> None: ...


def test_an_ordinary_app_is_not_refused(app: Celery) -> None:
    @app.task(shared=False, autoretry_for=(OSError,), reject_on_worker_lost=True)
    def ordinary() -> None: ...

    add_store(app, acks_late=True, rate_limit="10/s", time_limit=5)
    assert refusals(app) == []
    assert [task.name for task in lane_tasks(app)] == ["store"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reject_on_worker_lost": True}, "task_reject_on_worker_lost=True on the lane task store"),
        ({"retry_on_worker_lost": True}, "task_retry_on_worker_lost=True on the lane task store"),
        ({"autoretry_for": (OSError,)}, "autoretry_for=(<class 'OSError'>,) on the lane task store"),
        ({"store_errors_even_if_ignored": False}, "task_store_errors_even_if_ignored=False on the lane task store"),
        ({"backend": None}, "backend=... on the lane task store"),
    ],
)
def test_what_breaks_a_promise_on_a_lane_task_is_named_with_the_remedy(
    app: Celery, options: dict[str, Any], sentence: str
) -> None:
    add_store(app, **options)
    (text,) = refusals(app)
    assert text.startswith(sentence)
    assert "Remedy: remove it from this task" in text


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("task_always_eager", True, "task_always_eager=True: links must run in workers"),
        ("task_protocol", 1, "task_protocol=1: it carries no chains"),
    ],
)
def test_what_breaks_a_promise_in_the_app_is_named_with_the_remedy(
    app: Celery, name: str, value: object, sentence: str
) -> None:
    app.conf[name] = value
    (text,) = refusals(app)
    assert text.startswith(sentence)
    assert "Remedy" in text


@pytest.mark.parametrize("name", ["task_reject_on_worker_lost", "task_retry_on_worker_lost"])
def test_the_apps_setting_for_its_other_tasks_does_not_reach_lane_tasks(app: Celery, name: str) -> None:
    app.conf[name] = True
    add_store(app)
    assert refusals(app) == []


def test_an_annotation_that_reaches_a_lane_task_is_refused(app: Celery) -> None:
    app.conf.task_annotations = {"*": {"reject_on_worker_lost": True}}
    add_store(app)
    assert [text.split(":")[0] for text in refusals(app)] == ["task_reject_on_worker_lost=True on the lane task store"]
