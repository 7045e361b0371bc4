"""The Celery messages of a chain: built once per pipeline, filled in per batch.

The first link is a message; the links behind it travel in it as immutable signatures with their own ids, handles
and queues, so that what a link returns never matters. Args are shown as `topic[partition] first..last (n records)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery import Celery

from bridge.entries import link_id
from bridge.ledger.handle import Handle
from bridge.records import TopicPartition, count_text, lane_queue
from bridge.runtime.plan import LinkPlan


@dataclass(frozen=True, slots=True)
class Link:
    """What is published: link `number` of a chain with everything behind it."""

    tp: TopicPartition
    lane: int
    chain: str
    number: int
    first: int
    last: int
    count: int | None = None

    @property
    def shown(self) -> str:
        """The text that Flower and the logs show for the arguments."""
        count = "" if self.count is None else f" ({count_text(self.count)})"
        return f"{self.tp} {self.first}..{self.last}{count}"


class _NoResult:
    """What `send_task` gives back. Nobody waits for it, and an AsyncResult would ask for the backend."""

    def __init__(self, task_id: str) -> None:
        self.id = task_id
        self.ignored = True


class ChainMessages:
    """The messages of one pipeline's chain."""

    def __init__(self, app: Celery, group: str, links: tuple[LinkPlan, ...], lane_queues: int) -> None:
        self._app = app
        self._group = group
        self._links = links
        self._lane_queues = lane_queues
        #: the producer of the last link, and the queues that it has declared, bound to its channel
        self._declared: tuple[Any, dict[str, Any]] = (None, {})

    def queue_of(self, tp: TopicPartition, lane: int, number: int) -> str:
        """The queue of a link: its own, or its lane's (also for a link of an earlier, longer chain)."""
        own = self._links[number - 1].options.get("queue") if number <= len(self._links) else None
        return str(own) if own else lane_queue(tp.topic, tp.partition, lane, self._lane_queues)

    def publish(self, link: Link, producer: Any) -> None:
        """Send the link through `producer`. Raises what kombu raises; then nobody knows whether it was sent."""
        plan = self._links[link.number - 1]
        options, declared = self._options(link, link.number), self._declared_by(producer)
        name = options["queue"]
        rest = [self._signature(link, number) for number in range(len(self._links), link.number, -1)]
        self._app.send_task(
            plan.task,
            args=[self._handle(link, link.number), *plan.args],
            kwargs=dict(plan.kwargs),
            chain=rest or None,
            producer=producer,
            retry=False,
            result_cls=_NoResult,
            **{**options, "queue": declared.get(name, name)},
        )
        if name not in declared:  # given a name, kombu copies the queue before it sees that it was declared
            declared[name] = self._app.amqp.queues[name](producer.channel)

    def _declared_by(self, producer: Any) -> dict[str, Any]:
        if self._declared[0] is not producer:
            self._declared = producer, {}
        return self._declared[1]

    def _handle(self, link: Link, number: int) -> dict[str, Any]:
        return Handle.of(self._group, link.tp, link.lane, link.chain, number).to_message()

    def _options(self, link: Link, number: int) -> dict[str, Any]:
        plan, queue = self._links[number - 1], self.queue_of(link.tp, link.lane, number)
        return {
            **plan.options,
            "task_id": link_id(link.chain, number),
            "queue": queue,
            # straight to the queue: an exchange of the app's task_routes would send it elsewhere
            "exchange": "",
            "routing_key": queue,
            "argsrepr": link.shown,
            "kwargsrepr": "{}",
            "ignore_result": True,
        }

    def _signature(self, link: Link, number: int) -> dict[str, Any]:
        plan = self._links[number - 1]
        return {
            "task": plan.task,
            "args": [self._handle(link, number), *plan.args],
            "kwargs": dict(plan.kwargs),
            "options": self._options(link, number),
            "subtask_type": None,
            "immutable": True,
        }
