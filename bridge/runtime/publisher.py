"""Carries out what concerns the ledger and the Celery broker, in its own thread.

Chains of one turn are stored in one round trip and published in one producer batch. An error of the ledger means
"not done, or done and not heard": the core repeats the step. An error of the broker means "maybe in the queue": the
core publishes the same link again. Connections are built anew after an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import redis
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerError
from kombu.transport.redis import Transport as RedisTransport

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.events import DispatchAnswer
from bridge.entries import Owner
from bridge.ledger.compression import Compression
from bridge.ledger.ledger import DispatchCommand, Ledger
from bridge.ledger.operators import Operators
from bridge.ledger.payload import PayloadHeader, encode
from bridge.records import TopicPartition
from bridge.runtime.mail import Post
from bridge.runtime.messages import ChainMessages, Link
from bridge.runtime.redis_channel import share_client

logger = logging.getLogger(__name__)

#: seconds after which a silent broker counts as unreachable
SOCKET_TIMEOUT = 5.0

#: what a publish may raise; redis' own errors come through kombu's transport
PUBLISH_ERRORS = (BrokerError, KombuError, redis.RedisError, OSError)


@dataclass(frozen=True, slots=True)
class KeepEntries:
    """Put off the expiry of these partitions' entries: an idle partition writes nothing by itself."""

    owners: tuple[tuple[TopicPartition, Owner], ...]


class Publisher:
    """The work of the publisher's thread. `messages_of` finds the messages of a topic's pipeline, `hook_messages_of`
    those of its on_failed task, `compression_of` how its payloads are compressed."""

    def __init__(
        self,
        ledger: Ledger,
        operators: Operators,
        app: Any,
        bridge_id: str,
        post: Post,
        *,
        messages_of: Callable[[str], ChainMessages],
        hook_messages_of: Callable[[str], ChainMessages],
        compression_of: Callable[[str], Compression],
    ) -> None:
        self._ledger = ledger
        self._operators = operators
        self._app = app
        self._bridge_id = bridge_id
        self._messages_of = messages_of
        self._hook_messages_of = hook_messages_of
        self._compression_of = compression_of
        self._post = post
        self._producer: Any = None
        self._handlers: dict[type, Callable[[Any], None]] = {
            ef.AssignOwner: self._assign_owner,
            ef.ClearLedger: self._clear,
            ef.Restore: self._restore,
            ef.ChangeRule: self._change_rule,
            ef.Settle: self._settle,
            ef.SetFault: self._set_fault,
            KeepEntries: self._keep,
        }

    def work(self, effects: Sequence[ef.Effect | KeepEntries]) -> None:
        """Carry out effects in order; neighbours of a kind that allows it go together."""
        for kind, group in groupby(effects, key=type):
            if kind is ef.Dispatch:
                self._dispatch([effect for effect in group if isinstance(effect, ef.Dispatch)])
            elif kind is ef.PublishLink:
                links = [(effect, _link(effect)) for effect in group if isinstance(effect, ef.PublishLink)]
                self._tell(self._publish(links))
            else:
                for effect in group:
                    self._one(effect)

    def _one(self, effect: ef.Effect | KeepEntries) -> None:
        try:
            self._handlers[type(effect)](effect)
        except redis.RedisError as error:
            if isinstance(effect, KeepEntries):
                logger.warning("entries not kept (%s); tried again later", error, extra={"action": "keep"})
                return
            self._post(ev.EffectFailed(effect, f"the ledger cannot be reached: {error}"))

    # --- ledger steps ------------------------------------------------------------------------------------------------

    def _assign_owner(self, effect: ef.AssignOwner) -> None:
        self._post(ev.Instructed(self._operators.read()))  # a paused lane must not go before that is known
        entry = self._ledger.assign(effect.tp, self._bridge_id, effect.metadata_owner)
        self._post(ev.OwnerAssigned(effect.tp, effect.serial, entry))

    def _clear(self, effect: ef.ClearLedger) -> None:
        accepted = self._ledger.clear(effect.tp, effect.owner, effect.ended)
        self._post(ev.Cleared(effect.tp, effect.serial, accepted))

    def _restore(self, effect: ef.Restore) -> None:
        accepted = self._ledger.restore(
            effect.tp, effect.owner, effect.watermarks, rule=effect.rule, topic_id=effect.topic_id, base=effect.base
        )
        self._post(ev.Restored(effect.tp, effect.serial, accepted))

    def _change_rule(self, effect: ef.ChangeRule) -> None:
        accepted = self._ledger.change_rule(effect.tp, effect.owner, effect.rule, effect.base)
        self._post(ev.RuleChanged(effect.tp, effect.serial, accepted))

    def _settle(self, effect: ef.Settle) -> None:
        accepted = self._ledger.settle(effect.tp, effect.owner, effect.lane, effect.chain, effect.upto, effect.base)
        self._post(ev.Settled(effect.tp, effect.serial, effect.lane, effect.number, accepted))

    def _set_fault(self, effect: ef.SetFault) -> None:
        outcome = effect.outcome
        if outcome.failure is not None and not outcome.failure.at_ms:  # the core has no wall clock
            outcome = replace(outcome, failure=replace(outcome.failure, at_ms=time.time_ns() // 1_000_000))
        self._ledger.fault(effect.tp, effect.lane, effect.chain, effect.link, effect.claimed_by, outcome)

    def _keep(self, item: KeepEntries) -> None:
        for tp, owner in item.owners:
            self._ledger.keep(tp, owner)

    def _dispatch(self, effects: list[ef.Dispatch]) -> None:
        try:
            answers = self._ledger.dispatch(
                [_command(effect, self._compression_of(effect.tp.topic)) for effect in effects]
            )
        except redis.RedisError as error:
            for effect in effects:
                self._post(ev.EffectFailed(effect, f"the ledger cannot be reached: {error}"))
            return
        events: list[ev.Event] = []
        links: list[tuple[ef.Dispatch, Link]] = []
        for effect, answer in zip(effects, answers, strict=True):
            chain = effect.chain
            events.append(ev.Dispatched(effect.tp, effect.serial, chain.lane, chain.id, DispatchAnswer(answer)))
            if answer == DispatchAnswer.OK.value and not effect.publish_after_s:
                links.append((effect, Link(effect.tp, chain.lane, chain.id, 1, chain.first, chain.last, chain.count)))
        published = self._publish(links)
        self._tell([*events, *published])  # together: each time that the loop is woken costs

    def _tell(self, events: Sequence[ev.Event]) -> None:
        for event in events:
            self._post(event)

    # --- Celery ------------------------------------------------------------------------------------------------------

    def _publish(self, links: Sequence[tuple[ef.Dispatch | ef.PublishLink, Link]]) -> list[ev.Event]:
        if not links:
            return []
        sure = True
        try:
            producer = self._connected_producer()
            with producer.batch() if len(links) > 1 else nullcontext():  # for one link a batch only costs
                for effect, link in links:
                    self._messages(effect).publish(link, producer)
        except PUBLISH_ERRORS as error:
            logger.warning("publishing failed (%s); the links are published again", error, extra={"action": "publish"})
            self._disconnect()
            sure = False
        return [
            ev.Published(link.tp, effect.serial, link.lane, link.chain, link.number, sure) for effect, link in links
        ]

    def _messages(self, effect: ef.Dispatch | ef.PublishLink) -> ChainMessages:
        is_hook = effect.is_hook if isinstance(effect, ef.PublishLink) else effect.judged is not None
        find = self._hook_messages_of if is_hook else self._messages_of
        return find(effect.tp.topic)

    def _connected_producer(self) -> Any:
        if self._producer is None:
            connection = self._app.connection_for_write(transport_options=self._timeouts())
            self._producer = self._app.amqp.Producer(connection, auto_declare=False)
            if isinstance(connection.transport, RedisTransport):
                share_client(self._producer.channel)
        return self._producer

    def _timeouts(self) -> dict[str, Any]:
        options: dict[str, Any] = dict(self._app.conf.broker_transport_options or {})
        if str(self._app.conf.broker_write_url).startswith(("redis://", "rediss://")):
            options.setdefault("socket_timeout", SOCKET_TIMEOUT)
            options.setdefault("socket_connect_timeout", SOCKET_TIMEOUT)
        return options

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(*PUBLISH_ERRORS):
                producer.connection.close()


def _link(effect: ef.PublishLink) -> Link:
    return Link(effect.tp, effect.lane, effect.chain, effect.link, effect.first, effect.last)


def _command(effect: ef.Dispatch, compression: Compression) -> DispatchCommand:
    chain = effect.chain
    header = PayloadHeader(
        topic=effect.tp.topic,
        partition=effect.tp.partition,
        lane=chain.lane,
        chain=chain.id,
        attempt=chain.attempt,
        token=chain.token,
        links=effect.links,
        batches=chain.batches,
        judged=effect.judged,
    )
    return DispatchCommand(
        tp=effect.tp,
        owner=effect.owner,
        lane=chain.lane,
        chain=chain.id,
        first=chain.first,
        last=chain.last,
        links=effect.links,
        expect=effect.expect,
        base=effect.base,
        counters=effect.counters,
        payload=encode(header, effect.rows, compression=compression),
        publish_after_s=effect.publish_after_s,
        rule=effect.rule,
        judged=effect.judged,
    )
