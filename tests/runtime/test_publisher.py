"""The publisher on a real Redis: what it settles, and what goes into the queues for a chain that is asked."""

from __future__ import annotations

import itertools
import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.client import Pipeline

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.events import DispatchAnswer
from bridge.devstack import RedisServer
from bridge.entries import NO_ATTEMPTS, NOTHING_SEEN, BatchHeader, Failure, Outcome, Rejection, link_id
from bridge.ledger.compression import split_format
from bridge.ledger.connect import connect
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ledger.payload import decode
from bridge.records import TopicPartition, lane_queue
from bridge.runtime.plan import LinkPlan
from bridge.runtime.publisher import Publisher
from bridge.runtime.topics import Topics
from tests.runtime.plans import pipeline, plan

TP = TopicPartition("orders", 2)
HOOK = LinkPlan("decide", ("table",), {"limit": 3}, {"queue": "decisions"})
JUDGED = Outcome("partial", 7, Failure(7), (Rejection(6, "bad"),))

_serial = itertools.count(1)


class Scene:
    """A publisher, its ledger and the queues."""

    def __init__(self, client: redis.Redis, url: str, group: str) -> None:
        given = plan(
            pipeline("store", "orders", on_failed=HOOK),
            pipeline("file", "^packed-.*", compression="zstd"),
            redis_url=url,
            group_id=group,
        )
        topics = Topics(given)
        self.client = client
        self.group = group
        self.ledger = Ledger(client, group)
        self.events: list[ev.Event] = []
        self.publisher = Publisher(
            self.ledger,
            Operators(client, group),
            given.app,
            "me",
            self.events.append,
            messages_of=topics.messages_of,
            hook_messages_of=topics.hook_messages_of,
            compression_of=topics.compression_of,
        )
        self.owner = self.ledger.assign(TP, "me", 0).owner

    def dispatch(self, chain: str, judged: Outcome | None = None, offsets: tuple[int, ...] = (5, 6, 7)) -> ef.Dispatch:
        """Of the lane as it is now."""
        lanes = self.ledger.read([TP])[TP].lanes
        rows = tuple((offset, 0, None, b"%d" % offset, ()) for offset in offsets)
        about = ef.Chain(
            chain, 0, offsets[0], offsets[-1], 17, 1, (BatchHeader(offsets[0], offsets[-1], len(rows), "size"),), 100
        )
        expect = lanes[0].seen if lanes else NOTHING_SEEN
        return ef.Dispatch(TP, 4, self.owner, about, rows, expect, 5, NO_ATTEMPTS, 1, judged=judged)

    def failed(self, outcome: Outcome) -> None:
        """The lane's chain has this outcome, and its message is gone."""
        self.publisher.work([self.dispatch("first")])
        assert self.ledger.fault(TP, 0, "first", 1, "", outcome)
        self.client.delete(lane_queue("orders", 2, 0, 16))
        self.events.clear()

    def message(self, queue: str) -> dict[str, Any]:
        """The one message in a queue, taken out."""
        (raw,) = self.client.lrange(queue, 0, -1)
        self.client.delete(queue)
        found: dict[str, Any] = json.loads(raw)
        return found


@pytest.fixture
def scene(redis_server: RedisServer, group_name: str) -> Iterator[Scene]:
    """In a database of its own: queues have the same names everywhere."""
    url = f"{redis_server.url.rpartition('/')[0]}/{next(_serial) % 15 + 1}"
    with connect(url) as client:
        client.flushdb()
        yield Scene(client, url, group_name)


def test_a_settling_is_answered_with_what_the_ledger_says(scene: Scene) -> None:
    scene.failed(JUDGED)
    settle = ef.Settle(TP, 4, scene.owner, 0, 9, "first", 7, 7)

    scene.publisher.work([settle, replace(settle, number=10, chain="zeroth")])

    assert scene.events == [ev.Settled(TP, 4, 0, 9, accepted=True), ev.Settled(TP, 4, 0, 10, accepted=False)]
    lane = scene.ledger.read([TP])[TP].lanes[0]
    assert (lane.watermark, lane.outcome) == (7, replace(JUDGED, rejected=()))


def test_a_settling_without_the_ledger_has_failed(scene: Scene) -> None:
    settle = ef.Settle(TP, 4, scene.owner, 0, 9, "first", 7, 7)
    scene.client.set(f"lanebridge:{{{scene.group}/orders/2}}", "not a hash")

    scene.publisher.work([settle])

    (failed,) = scene.events
    assert isinstance(failed, ev.EffectFailed)
    assert failed.effect is settle


def test_a_chain_that_is_asked_goes_to_the_on_failed_task_with_the_outcome(scene: Scene) -> None:
    scene.failed(JUDGED)

    scene.publisher.work([scene.dispatch("hook", JUDGED, offsets=(6,))])

    assert scene.events == [
        ev.Dispatched(TP, 4, 0, "hook", DispatchAnswer.OK),
        ev.Published(TP, 4, 0, "hook", 1, sure=True),
    ]
    message = scene.message("decisions")
    assert (message["headers"]["task"], message["headers"]["id"]) == ("decide", link_id("hook", 1))
    args, kwargs, embed = _body(message)
    assert (args[1:], kwargs, embed["chain"]) == (["table"], {"limit": 3}, None)
    handle = Handle.from_message(args[0])
    payload = decode(scene.ledger.claim(handle, "w", "n").payload or b"")
    assert payload.header.judged == JUDGED
    assert [record.offset for record in payload.records()] == [6]
    assert scene.ledger.read([TP])[TP].lanes[0].judged == JUDGED


def test_the_link_of_a_chain_that_is_asked_is_published_again_as_it_was(scene: Scene) -> None:
    scene.failed(JUDGED)
    scene.publisher.work([scene.dispatch("hook", JUDGED, offsets=(6,))])
    first = scene.message("decisions")

    scene.publisher.work([ef.PublishLink(TP, 4, 0, "hook", 1, 6, 6, is_hook=True)])

    again = scene.message("decisions")
    assert (again["headers"]["task"], again["headers"]["id"]) == ("decide", link_id("hook", 1))
    assert _body(again)[:2] == _body(first)[:2]


def test_an_ordinary_chain_goes_to_the_pipelines_first_task(scene: Scene) -> None:
    scene.publisher.work([scene.dispatch("first"), ef.PublishLink(TP, 4, 0, "first", 1, 5, 7)])

    queue = lane_queue("orders", 2, 0, 16)
    tasks = [json.loads(raw)["headers"]["task"] for raw in scene.client.lrange(queue, 0, -1)]
    assert tasks == ["store", "store"]
    assert scene.ledger.read([TP])[TP].lanes[0].judged is None


def test_payloads_are_compressed_as_their_pipeline_says(scene: Scene) -> None:
    packed = TopicPartition("packed-orders", 2)
    owner = scene.ledger.assign(packed, "me", 0).owner
    plain = scene.dispatch("plain")
    scene.publisher.work([plain, replace(plain, tp=packed, owner=owner, chain=replace(plain.chain, id="packed"))])

    found = {}
    for tp, chain in ((TP, "plain"), (packed, "packed")):
        blob = scene.ledger.claim(Handle.of(scene.group, tp, 0, chain, 1), "w", "n").payload or b""
        assert [record.offset for record in decode(blob).records()] == [5, 6, 7]
        found[chain] = split_format(blob[2])[0]
    assert found == {"plain": "none", "packed": "zstd"}


def test_a_publish_makes_no_client_of_its_own(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    again = ef.PublishLink(TP, 4, 0, "first", 1, 5, 7)
    scene.publisher.work([scene.dispatch("first"), again])
    made: list[object] = []
    init = redis.Redis.__init__

    def counted(self: redis.Redis, **given: Any) -> None:
        made.append(self)
        init(self, **given)

    monkeypatch.setattr(redis.Redis, "__init__", counted)

    scene.publisher.work([again])
    scene.publisher.work([again, again])

    assert made == []
    assert scene.client.llen(lane_queue("orders", 2, 0, 16)) == 5


def test_several_links_go_in_one_round_trip(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    again = ef.PublishLink(TP, 4, 0, "first", 1, 5, 7)
    scene.publisher.work([scene.dispatch("first")])
    trips: list[int] = []
    execute = Pipeline.execute

    def counted(self: Pipeline) -> list[Any]:
        trips.append(len(self))
        return execute(self)

    monkeypatch.setattr(Pipeline, "execute", counted)
    scene.publisher.work([again, again, again])

    assert trips == [3]


def test_a_queue_is_declared_once_for_each_connection(scene: Scene) -> None:
    queue, again = lane_queue("orders", 2, 0, 16), ef.PublishLink(TP, 4, 0, "first", 1, 5, 7)
    bindings = f"_kombu.binding.{queue}"
    scene.publisher.work([scene.dispatch("first")])
    assert scene.client.delete(bindings, queue) == 2

    scene.publisher.work([again])
    assert not scene.client.exists(bindings)

    scene.client.set(queue, "not a list")  # the connection is built anew
    scene.events.clear()
    scene.publisher.work([again])
    assert scene.events == [ev.Published(TP, 4, 0, "first", 1, sure=False)]
    scene.client.delete(queue)

    scene.publisher.work([again])
    assert scene.client.exists(bindings)
    assert scene.events[1:] == [ev.Published(TP, 4, 0, "first", 1, sure=True)]


def _body(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    args, kwargs, embed = json.loads(b64decode(message["body"]))
    return args, kwargs, embed
