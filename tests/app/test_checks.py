"""What is checked when the app is complete, and what a bridge process is then given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import CDeprecationWarning

from bridge import BatchTask, Bridge
from bridge.runtime.plan import LinkPlan
from bridge.settings import Misconfigured
from tests.app.apps import Shop


def _problems(bridge: Bridge) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as error:
        bridge.check()
    return error.value.problems


LINKS: dict[str, tuple[Callable[[Shop], Any], str]] = {
    "not registered": (
        lambda shop: shop.app.signature("shop.stor"),
        "link 1 (shop.stor) is not registered in the app; did you mean shop.store? Remedy: have its module imported "
        "where the app is made, Celery(..., include=[...]) or app.autodiscover_tasks().",
    ),
    "a plain task": (
        lambda shop: shop.parse.s() | shop.plain.s(),
        "link 2 (shop.plain) is a plain task. Remedy: @app.task(base=RecordTask) or base=BatchTask; a task that others "
        "call stays as it is and is called from one.",
    ),
    "too many arguments": (
        lambda shop: shop.parse.s("x"),
        "link 1 (shop.parse) cannot be called with its record and the arguments of its signature: too many positional "
        "arguments. Remedy: make the task's parameters and .s(...) agree.",
    ),
    "an unknown argument": (
        lambda shop: shop.store.s(colour="hunter2"),
        "link 1 (shop.store) cannot be called with its batch and the arguments of its signature: got an unexpected "
        "keyword argument 'colour'. Remedy: make the task's parameters and .s(...) agree.",
    ),
    "an argument that cannot be sent": (
        lambda shop: shop.store.s(object),
        "link 1 (shop.store) has arguments that 'json' cannot carry (Object of type type is not JSON serializable). "
        "Remedy: give plain values in .s(...).",
    ),
}


@pytest.mark.parametrize("case", LINKS)
def test_a_link_that_cannot_run_is_refused_with_the_remedy(bridge: Bridge, shop: Shop, case: str) -> None:
    make, text = LINKS[case]
    bridge.pipeline("orders", chain=make(shop))
    assert _problems(bridge) == (f"Pipeline 'orders': {text}",)


HOOKS: dict[str, tuple[Callable[[Shop], Any], str]] = {
    "not registered": (
        lambda shop: shop.app.signature("shop.reprot"),
        "on_failed (shop.reprot) is not registered in the app; did you mean shop.report? Remedy: have its module "
        "imported where the app is made, Celery(..., include=[...]) or app.autodiscover_tasks().",
    ),
    "a plain task": (
        lambda shop: shop.plain.s(),
        "on_failed (shop.plain) is a plain task. Remedy: @app.task(base=BatchTask); it gets the records that are given "
        "up, with the reasons in batch.failures, and returns what to do with each.",
    ),
    "a RecordTask": (
        lambda shop: shop.parse.s(),
        "on_failed (shop.parse) is a RecordTask. Remedy: @app.task(base=BatchTask); it gets the records that are given "
        "up, with the reasons in batch.failures, and returns what to do with each.",
    ),
    "too many arguments": (
        lambda shop: shop.report.s("x"),
        "on_failed (shop.report) cannot be called with its batch and the arguments of its signature: too many "
        "positional arguments. Remedy: make the task's parameters and .s(...) agree.",
    ),
    "an argument that cannot be sent": (
        lambda shop: shop.store.s(object),
        "on_failed (shop.store) has arguments that 'json' cannot carry (Object of type type is not JSON serializable). "
        "Remedy: give plain values in .s(...).",
    ),
}


@pytest.mark.parametrize("case", HOOKS)
def test_a_hook_that_cannot_decide_is_refused_with_the_remedy(bridge: Bridge, shop: Shop, case: str) -> None:
    make, text = HOOKS[case]
    bridge.pipeline("orders", chain=shop.store.s(), on_failed=make(shop))
    assert _problems(bridge) == (f"Pipeline 'orders': {text}",)


def test_the_plan_holds_the_task_that_decides_with_its_own_options(bridge: Bridge, shop: Shop) -> None:
    with pytest.warns(CDeprecationWarning, match="'priority' task attribute"):

        @shop.app.task(base=BatchTask, name="shop.decide", shared=False, lazy=False, priority=3)
        def decide(batch: Any, word: str) -> str:
            return word

    bridge.pipeline("orders", chain=shop.store.s(), on_failed=decide.s("skip").set(queue="slow"))
    bridge.pipeline("refunds", chain=shop.store.s())
    first, second = bridge.plan().pipelines
    assert first.on_failed == LinkPlan("shop.decide", ("skip",), {}, {"priority": 3, "queue": "slow"})
    assert second.on_failed is None


def test_what_is_right_passes(bridge: Bridge, shop: Shop) -> None:
    bridge.pipeline("orders", chain=shop.parse.s() | shop.parse.s() | shop.store.s("t", schema="x") | shop.report.s())
    bridge.check()


def test_a_bridge_without_pipelines_is_refused(bridge: Bridge) -> None:
    assert _problems(bridge) == (
        "The bridge of the Celery app 'shop' has no pipeline. "
        'Remedy: bridge.pipeline("orders", chain=store.s()) where the app is made.',
    )


def test_an_eager_app_is_refused_by_name() -> None:
    shop = Shop(task_always_eager=True)
    bridge = Bridge(shop.app, group_id="orders")
    bridge.pipeline("orders", chain=shop.store.s())
    (problem,) = _problems(bridge)
    assert problem.startswith("task_always_eager=True: ")
    assert "Remedy: unset it" in problem


def test_settings_ledger_tasks_and_sizes_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(broker_url="amqp://guest:hunter2@rabbit//")
    bridge = Bridge(shop.app, group_id="orders", in_flight_bytes=1024 * 1024)
    bridge.pipeline("orders", chain=shop.plain.s(), batch_bytes=2_000_000)
    sizes, ledger, plain = _problems(bridge)
    assert sizes == (
        "Pipeline 'orders': batch_bytes=2000000 is more than in_flight_bytes=1048576 of the bridge. "
        "Remedy: make batch_bytes smaller or in_flight_bytes larger."
    )
    assert ledger.startswith("The app's broker (amqp://guest:***@rabbit//) is not Redis")
    assert "(shop.plain) is a plain task" in plain
    monkeypatch.setenv("BRIDGE_LANE_QUEUES", "x")
    bridge.override({})
    assert _problems(bridge)[0].startswith("BRIDGE_LANE_QUEUES='x': lane_queues must be")


def test_tasks_and_pipelines_in_modules_of_the_app_are_loaded_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a Django project: `proj/celery.py`, apps with `tasks.py`, `autodiscover_tasks`, settings read late."""
    (tmp_path / "django_like_settings.py").write_text("CELERY_BROKER_URL = 'redis://cache:6379/5'\n")
    (tmp_path / "django_like.py").write_text(
        "from celery import Celery\n"
        "from bridge import Bridge\n"
        "app = Celery('proj')\n"
        "bridge = Bridge(app, group_id='proj')\n"
        "app.config_from_object('django_like_settings', namespace='CELERY')\n"
        "app.autodiscover_tasks(['django_like_shop'])\n"
    )
    shop = tmp_path / "django_like_shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "tasks.py").write_text(
        "from celery import shared_task\n"
        "from bridge import BatchTask\n"
        "from django_like import bridge\n"
        "@shared_task(base=BatchTask)\n"
        "def store(batch): ...\n"
        "bridge.pipeline('orders', chain=store.s())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    bridge: Bridge = import_module("django_like").bridge
    assert not bridge.pipelines
    plan = bridge.plan()
    assert [link.task for pipeline in plan.pipelines for link in pipeline.links] == ["django_like_shop.tasks.store"]
    assert plan.ledger_url == "redis://cache:6379/5"


def test_the_plan_holds_what_a_bridge_process_needs(bridge: Bridge, shop: Shop) -> None:
    pipeline = bridge.pipeline("orders", chain=shop.parse.s() | shop.store.s("t"), compression="zstd")
    plan = bridge.plan()
    assert (plan.app, plan.settings) == (shop.app, bridge.settings)
    assert plan.ledger_url == "redis://:hunter2@localhost:6379/0"
    (planned,) = plan.pipelines
    assert (planned.rules, planned.topics, planned.compression) == (pipeline.rules, ("orders",), "zstd")
    assert [dataclasses.astuple(link) for link in planned.links] == [
        ("shop.parse", (), {}, {}),
        ("shop.store", ("t",), {}, {}),
    ]
    assert "hunter2" not in repr(plan)


def test_a_task_s_own_queue_and_priority_hold_unless_its_signature_says_otherwise(bridge: Bridge, shop: Shop) -> None:
    with pytest.warns(CDeprecationWarning, match="'(queue|priority)' task attribute"):

        @shop.app.task(base=BatchTask, name="shop.own", shared=False, lazy=False, queue="reports", priority=3)
        def own(batch: Any) -> None: ...

    bridge.pipeline("orders", chain=own.s() | own.s().set(queue="mine"))
    (planned,) = bridge.plan().pipelines
    assert planned.links == (
        LinkPlan("shop.own", options={"queue": "reports", "priority": 3}),
        LinkPlan("shop.own", options={"queue": "mine", "priority": 3}),
    )


def test_an_app_that_knows_its_queues_only_can_publish_to_its_lanes() -> None:
    shop = Shop(task_create_missing_queues=False)
    bridge = Bridge(shop.app, group_id="orders", lane_queues=2)
    bridge.pipeline("orders", chain=shop.store.s())
    bridge.plan()
    assert {"celery", "lane-0", "lane-1"} == set(shop.app.amqp.queues)


def test_a_queue_that_such_an_app_does_not_know_is_refused() -> None:
    shop = Shop(task_create_missing_queues=False)
    bridge = Bridge(shop.app, group_id="orders")
    bridge.pipeline("orders", chain=shop.store.s().set(queue="fats"))
    assert _problems(bridge) == (
        "Pipeline 'orders': link 1 (shop.store) goes to queue 'fats', which the app does not declare "
        "(task_create_missing_queues=False). Remedy: add it to task_queues, or correct its name.",
    )


def test_a_bridge_of_a_broker_that_is_no_redis_needs_a_ledger() -> None:
    app = Celery("rabbit", broker="memory://", set_as_current=False)
    bridge = Bridge(app, group_id="orders")
    assert _problems(bridge)[0] == (
        "The app's broker (memory://) is not Redis, so the ledger has no default address. "
        "Set ledger_url (BRIDGE_LEDGER_URL) to a Redis >= 6.2 or a Valkey, like redis://localhost:6379/0."
    )
