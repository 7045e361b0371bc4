"""Puts the parts of one bridge process together, and takes them apart in order."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from bridge.core.bridge import Core, CoreConfig
from bridge.core.effects import AskKafka, Effect, TerminateLinks, WriteDeadLetters
from bridge.core.failures import Limits
from bridge.core.watch import WatchTimes
from bridge.errors import LanebridgeError
from bridge.kafka.admin import Admin
from bridge.kafka.consumer import Consumer
from bridge.kafka.dead_letters import DeadLetterProducer
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ops.metering import Meter
from bridge.records import TopicPartition
from bridge.runtime.asker import AskEnds, Asker
from bridge.runtime.dead_letters import DeadLetterWriter
from bridge.runtime.kafka_settings import consumer_settings
from bridge.runtime.listener import Listener
from bridge.runtime.loop import Loop
from bridge.runtime.mail import Mailbox, Station
from bridge.runtime.plan import Plan
from bridge.runtime.publisher import KeepEntries, Publisher
from bridge.runtime.revoker import Revoker
from bridge.runtime.startup import Startup
from bridge.runtime.sweeper import Sweeper, SweeperItem, WithdrawState
from bridge.runtime.topics import Topics

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Stations:
    """The threads that work for the loop."""

    publisher: Station[Effect | KeepEntries]
    asker: Station[AskKafka | AskEnds]
    sweeper: Station[SweeperItem]
    revoker: Station[TerminateLinks]
    letters: Station[WriteDeadLetters]

    @classmethod
    def of(
        cls,
        publisher: Publisher,
        asker: Asker,
        sweeper: Sweeper,
        revoker: Revoker,
        writer: DeadLetterWriter,
        broken: Callable[[BaseException], None],
    ) -> Stations:
        """A thread for each."""
        return cls(
            publisher=Station("publisher", publisher.work, broken),
            asker=Station("asker", asker.work, broken),
            sweeper=Station("sweeper", sweeper.work, broken),
            revoker=Station("revoker", revoker.work, broken),
            letters=Station("dead-letters", writer.work, broken),
        )

    def __iter__(self) -> Iterator[Station[Any]]:
        return iter((self.publisher, self.asker, self.sweeper, self.revoker, self.letters))


@dataclass(slots=True)
class Parts:
    """Everything that runs."""

    bridge_id: str
    topics: Topics
    loop: Loop
    meter: Meter
    admin: Admin
    client: redis.Redis
    ledger: Ledger
    consumer: Consumer
    stations: Stations
    writer: DeadLetterWriter
    listener: Listener
    startup: Callable[[Callable[[], bool]], None]
    ends_seen: Callable[[], Mapping[TopicPartition, int]]
    ledger_answers: Callable[[], bool]

    def begin(self, stopping: Callable[[], bool]) -> None:
        """Wait for the services, start the threads, join the group."""
        self.startup(stopping)
        for station in self.stations:
            station.start()
        if not self.listener.start(timeout=10.0):
            raise LanebridgeError("the ledger accepts no subscription: check that its user may SUBSCRIBE")
        self.consumer.subscribe(self.topics.names)

    def end(self, timeout: float) -> None:
        """Leave the group, end the threads."""
        started = time.monotonic()
        self.writer.end_soon()
        self.consumer.close(timeout)
        self.stations.sweeper.give(WithdrawState())
        for station in self.stations:
            station.stop(max(0.5, started + timeout - time.monotonic()))
        if not self.writer.is_writing:  # nor is it going to be: it was told to end
            self.writer.close(2.0)
        self.listener.stop(2.0)
        self.admin.close()


def assemble(plan: Plan, bridge_id: str, broken: Callable[[BaseException], None]) -> Parts:
    """Build the parts; nothing is started or connected yet."""
    settings = plan.settings
    topics, mailbox = Topics(plan), Mailbox()
    client = connect(plan.ledger_url)
    ledger = Ledger(client, settings.group_id)
    kafka = consumer_settings(settings)
    admin = Admin(kafka)
    publisher = _publisher(plan, topics, ledger, Operators(client, settings.group_id), bridge_id, mailbox)
    asker = Asker(admin, mailbox.post)
    sweeping = connect(plan.ledger_url)
    sweeper = Sweeper(
        Ledger(sweeping, settings.group_id), Operators(sweeping, settings.group_id), bridge_id, mailbox.post
    )
    writer = DeadLetterWriter(
        Ledger(connect(plan.ledger_url), settings.group_id), _letter_producer(plan, admin), mailbox.post
    )
    stations = Stations.of(publisher, asker, sweeper, Revoker(plan.app), writer, broken)
    meter = Meter()
    loop = _loop(plan, topics, mailbox, stations, meter)
    consumer = Consumer(kafka, loop)
    loop.attach(consumer)
    return Parts(
        bridge_id=bridge_id,
        topics=topics,
        loop=loop,
        meter=meter,
        admin=admin,
        client=client,
        ledger=ledger,
        consumer=consumer,
        stations=stations,
        writer=writer,
        listener=Listener(connect(plan.ledger_url), settings.group_id, bridge_id, mailbox.post, broken),
        startup=lambda stopping: Startup(plan, topics, admin, client, stopping).wait(),
        ends_seen=lambda: asker.ends,
        ledger_answers=lambda: sweeper.redis_answers,
    )


def _publisher(
    plan: Plan, topics: Topics, ledger: Ledger, operators: Operators, bridge_id: str, mailbox: Mailbox
) -> Publisher:
    return Publisher(
        ledger,
        operators,
        plan.app,
        bridge_id,
        mailbox.post,
        messages_of=topics.messages_of,
        hook_messages_of=topics.hook_messages_of,
        compression_of=topics.compression_of,
    )


def _loop(plan: Plan, topics: Topics, mailbox: Mailbox, stations: Stations, meter: Meter) -> Loop:
    return Loop(
        Core(_core_config(plan, topics)),
        mailbox,
        publisher=stations.publisher.give,
        asker=stations.asker.give,
        sweeper=stations.sweeper.give,
        revoker=stations.revoker.give,
        letters=stations.letters.give,
        left_out=topics.is_left_out,
        observe=meter.observe,
    )


def _letter_producer(plan: Plan, admin: Admin) -> DeadLetterProducer:
    return DeadLetterProducer(
        consumer_settings(plan.settings),
        admin,
        group=plan.settings.group_id,
        version=importlib.metadata.version("lanebridge"),
        profile=plan.settings.dead_letter_profile,
    )


def _core_config(plan: Plan, topics: Topics) -> CoreConfig:
    settings = plan.settings
    return CoreConfig(
        group=settings.group_id,
        rules_of=topics.rules_of,
        queue_of=topics.queue_of,
        start_from=settings.start_from,
        commit_interval=settings.commit_interval,
        buffer_bytes=settings.buffer_bytes,
        in_flight_bytes=settings.in_flight_bytes,
        frozen_after=settings.session_timeout,
        brake_limit=settings.brake_limit,
        brake_lanes=settings.brake_lanes,
        times=WatchTimes(settings.claim_timeout, settings.worker_timeout),
        limits=Limits(settings.max_timeouts, settings.max_worker_losses),
        seed=time.time_ns(),
    )
