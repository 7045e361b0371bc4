"""The message of a link is what `send_task` makes of names: the first one of a connection, and those behind it."""

from __future__ import annotations

import itertools
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
from celery import Celery, signals
from kombu.entity import Exchange, Queue
from kombu.serialization import register, unregister

from bridge.ledger.handle import Handle
from bridge.records import TopicPartition, lane_queue
from bridge.runtime.messages import ChainMessages, Link
from bridge.runtime.plan import LinkPlan

TP = TopicPartition("orders", 3)
LANE = lane_queue("orders", 3, 0, 16)

#: two links: what the task is called with behind the handle, and the second one's own message options
LINKS = (
    LinkPlan("shop.parse", ("table",), {"limit": 3}),
    LinkPlan("shop.store", (), {}, {"queue": "stores", "priority": 6, "time_limit": 9, "soft_time_limit": 8}),
)

#: settings of the app
CASES: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "serializer": {"task_serializer": "repr"},
    "compression": {"task_compression": "zlib"},
    "events": {"task_send_sent_event": True},
    "transient": {"task_default_delivery_mode": "transient"},
    "priorities": {"task_queue_max_priority": 9, "task_default_priority": 4},
    "routes": {"task_routes": {"shop.*": {"queue": "elsewhere", "routing_key": "elsewhere", "priority": 3}}},
    "router": {"task_routes": [lambda name, *_, **__: {"exchange": "elsewhere", "priority": len(name)}]},
    "queues": {
        "task_queues": [
            Queue("stores", Exchange("shop-stores", "topic", delivery_mode=1), routing_key="stores.#"),  # type: ignore[no-untyped-call]
            Queue(LANE, Exchange("lanes"), routing_key="lane", queue_arguments={"x-expires": 60_000}),  # type: ignore[no-untyped-call]
        ],
    },
}

#: how the app knows the tasks
TASKS: Mapping[str, Callable[[Celery], object]] = {
    "unknown": lambda app: app,
    "plain": lambda app: [app.task(lambda *_: None, name=link.task, shared=False) for link in LINKS],
    "with options": lambda app: [
        app.task(
            lambda *_: None, name=link.task, shared=False, priority=2, serializer="json", time_limit=30, rate_limit=1
        )
        for link in LINKS
    ],
}


@pytest.fixture(autouse=True)
def serializer() -> Iterator[None]:
    """One that nothing else uses."""
    register("repr", repr, literal_eval, "text/x-repr", "utf-8")  # type: ignore[no-untyped-call]
    yield
    unregister("repr")  # type: ignore[no-untyped-call]


def send_task(app: Celery, link: Link, producer: Any) -> None:
    """The message as Celery makes it from names."""
    plan = LINKS[link.number - 1]
    queues, ids = (LANE, "stores"), [f"{link.chain}-{number}" for number in (1, 2)]
    options = [
        {
            **of_link.options,
            "task_id": task_id,
            "queue": queue,
            "exchange": "",
            "routing_key": queue,
            "argsrepr": link.shown,
            "kwargsrepr": "{}",
            "ignore_result": True,
        }
        for of_link, task_id, queue in zip(LINKS, ids, queues, strict=True)
    ]
    handles = [Handle.of("g", TP, 0, link.chain, number).to_message() for number in (1, 2)]
    rest = {
        "task": LINKS[1].task,
        "args": [handles[1]],
        "kwargs": {},
        "options": options[1],
        "subtask_type": None,
        "immutable": True,
    }
    app.send_task(
        plan.task,
        args=[handles[link.number - 1], *plan.args],
        kwargs=plan.kwargs,
        chain=[rest] if link.number == 1 else None,
        producer=producer,
        retry=False,
        **options[link.number - 1],
    )


def sent(app: Celery, send: Callable[[Link, Any], None]) -> list[Any]:
    """What becomes of both links of three chains, through one connection: what the signals are sent with, what is in
    the queues, the events."""
    found: list[Any] = []
    with app.connection_for_write() as connection, _signals(found), pytest.MonkeyPatch.context() as patch:
        channel = connection.default_channel
        producer = app.amqp.Producer(connection, auto_declare=False)
        patch.setattr(app.amqp._event_dispatcher, "publish", lambda *event, **_: found.append(deepcopy(event[:2])))
        for chain, number in itertools.product("abc", (1, 2)):
            send(Link(TP, 0, chain, number, 5, 9, 5), producer)
            queue = (LANE, "stores")[number - 1]
            found.append((queue, _message(channel, queue)))
    return found


@contextmanager
def _signals(found: list[Any]) -> Iterator[None]:
    def before(declare: list[Queue], **given: Any) -> None:
        given["declare"] = [entity.name for entity in declare]
        after(**given)

    def after(signal: object, **given: Any) -> None:
        found.append(deepcopy(given))

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    try:
        yield
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)


def _message(channel: Any, queue: str) -> dict[str, Any]:
    """The only message of the queue, without what is drawn for each."""
    raw: dict[str, Any] = channel._get(queue)
    assert channel._size(queue) == 0
    assert raw["properties"].pop("delivery_tag")
    return raw


@pytest.mark.parametrize("tasks", TASKS)
@pytest.mark.parametrize("case", CASES)
def test_the_message_of_a_link_is_that_of_send_task(case: str, tasks: str) -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(CASES[case])
    TASKS[tasks](app)
    messages = ChainMessages(app, "g", LINKS, 16)

    ours = sent(app, messages.publish)

    assert ours == sent(app, lambda link, producer: send_task(app, link, producer))
    assert len(ours) == 6 * (4 if case == "events" else 3)


def test_a_queue_is_declared_by_the_connection_that_publishes() -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)
    messages = ChainMessages(app, "g", LINKS, 16)
    declared: list[Any] = []

    def before(declare: list[Any], **_: Any) -> None:
        declared.extend(declare)

    signals.before_task_publish.connect(before)
    for _ in range(2):
        declared.clear()
        with app.connection_for_write() as connection:
            producer = app.amqp.Producer(connection, auto_declare=False)
            for _ in range(3):
                messages.publish(Link(TP, 0, "a", 1, 5, 9), producer)
            _, *behind = declared
            assert [queue.channel is producer.channel for queue in behind] == [True, True]
            producer.channel._purge(LANE)
