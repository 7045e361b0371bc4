"""Routes of an existing app do not take links away from their lanes."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.entity import Exchange, Queue

from bridge import Bridge
from bridge.records import TopicPartition, lane_queue
from bridge.runtime.messages import ChainMessages, Link
from tests.app.apps import Shop


@pytest.mark.parametrize(
    "route",
    [
        {"queue": "shop"},
        {"queue": "shop", "routing_key": "shop.tasks"},
        {"exchange": "shop", "exchange_type": "topic", "routing_key": "shop.tasks"},
    ],
)
def test_a_link_goes_to_its_lane_s_queue_whatever_the_app_s_routes_say(route: dict[str, Any]) -> None:
    shop = Shop(broker_url="memory://", task_routes={"shop.*": route})
    shop.app.conf.task_queues = [Queue("shop", Exchange("shop", "topic"), routing_key="shop.#")]  # type: ignore[no-untyped-call]
    bridge = Bridge(shop.app, group_id="orders", ledger_url="redis://localhost/0")
    bridge.pipeline("orders", chain=shop.parse.s() | shop.store.s())
    (pipeline,) = bridge.plan().pipelines
    tp = TopicPartition("orders", 3)
    lane = lane_queue(tp.topic, tp.partition, 0, 16)
    with shop.app.connection_for_write() as connection:
        bound = [queue(connection.default_channel) for queue in shop.app.amqp.queues.values()]
        for queue in bound:
            queue.declare()
        messages = ChainMessages(shop.app, "orders", pipeline.links, 16)
        messages.publish(Link(tp, 0, "c", 1, 0, 9), shop.app.amqp.Producer(connection))
        received = {queue.name: queue.get() for queue in bound}
    found = {name: message for name, message in received.items() if message is not None}
    assert list(found) == [lane]
    (rest,) = found[lane].decode()[2]["chain"]
    assert (rest["options"]["queue"], rest["options"]["exchange"], rest["options"]["routing_key"]) == (lane, "", lane)
