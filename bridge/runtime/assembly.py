"""Puts the parts of one bridge process together, and takes them apart in order."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis

from bridge.core.bridge import Core, CoreConfig
from bridge.core.effects import AskKafka, Effect, TerminateLinks
from bridge.core.failures import Limits
from bridge.core.watch import WatchTimes
from bridge.errors import LanebridgeError
from bridge.kafka.admin import Admin
from bridge.kafka.consumer import Consumer
from bridge.kafka.profile import ConsumerSettings
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.records import PipelineRules, TopicPartition
from bridge.runtime.asker import AskEnds, Asker
from bridge.runtime.listener import Listener
from bridge.runtime.loop import Loop
from bridge.runtime.mail import Mailbox, Station
from bridge.runtime.messages import ChainMessages
from bridge.runtime.plan import PipelinePlan, Plan
from bridge.runtime.publisher import KeepEntries, Publisher
from bridge.runtime.revoker import Revoker
from bridge.runtime.startup import Startup
from bridge.runtime.sweeper import Sweeper, SweeperItem, WithdrawState
from bridge.settings import Settings

logger = logging.getLogger(__name__)


class Topics:
    """Which pipeline a topic belongs to."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._messages = {
            pipeline.rules.name: ChainMessages(
                plan.app, plan.settings.group_id, pipeline.links, plan.settings.lane_queues
            )
            for pipeline in plan.pipelines
        }

    def pipeline_of(self, topic: str) -> PipelinePlan:
        """The pipeline whose topics name it, or match it."""
        for pipeline in self._plan.pipelines:
            if topic in pipeline.topics or any(t.startswith("^") and re.match(t, topic) for t in pipeline.topics):
                return pipeline
        raise LanebridgeError(f"topic {topic} was assigned, but no pipeline names it")

    def rules_of(self, topic: str) -> PipelineRules:
        """What the core must know."""
        return self.pipeline_of(topic).rules

    def messages_of(self, topic: str) -> ChainMessages:
        """How its links are published."""
        return self._messages[self.pipeline_of(topic).rules.name]

    @property
    def names(self) -> list[str]:
        """What is subscribed to."""
        return [topic for pipeline in self._plan.pipelines for topic in pipeline.topics]


@dataclass(slots=True)
class Parts:
    """Everything that runs."""

    bridge_id: str
    topics: Topics
    loop: Loop
    admin: Admin
    client: redis.Redis
    ledger: Ledger
    consumer: Consumer
    publisher: Station[Effect | KeepEntries]
    asker: Station[AskKafka | AskEnds]
    sweeper: Station[SweeperItem]
    revoker: Station[TerminateLinks]
    listener: Listener
    startup: Callable[[Callable[[], bool]], None]
    ends_seen: Callable[[], Mapping[TopicPartition, int]]
    ledger_answers: Callable[[], bool]

    def begin(self, stopping: Callable[[], bool]) -> None:
        """Wait for the services, start the threads, join the group."""
        self.startup(stopping)
        for station in (self.publisher, self.asker, self.sweeper, self.revoker):
            station.start()
        if not self.listener.start(timeout=10.0):
            raise LanebridgeError("the ledger accepts no subscription: check that its user may SUBSCRIBE")
        self.consumer.subscribe(self.topics.names)

    def end(self, timeout: float) -> None:
        """Leave the group, end the threads."""
        started = time.monotonic()
        self.consumer.close(timeout)
        self.sweeper.give(WithdrawState())
        for station in (self.publisher, self.asker, self.sweeper, self.revoker):
            station.stop(max(0.5, started + timeout - time.monotonic()))
        self.listener.stop(2.0)
        self.admin.close()


def assemble(plan: Plan, bridge_id: str, broken: Callable[[BaseException], None]) -> Parts:
    """Build the parts; nothing is started or connected yet."""
    settings = plan.settings
    topics, mailbox = Topics(plan), Mailbox()
    client = connect(plan.ledger_url)
    ledger = Ledger(client, settings.group_id)
    kafka = _consumer_settings(settings)
    admin = Admin(kafka)
    publisher = Publisher(ledger, plan.app, bridge_id, topics.messages_of, mailbox.post)
    publishing: Station[Effect | KeepEntries] = Station("publisher", publisher.work, broken)
    asker = Asker(admin, mailbox.post)
    asking: Station[AskKafka | AskEnds] = Station("asker", asker.work, broken)
    sweeper = Sweeper(Ledger(connect(plan.ledger_url), settings.group_id), bridge_id, mailbox.post)
    sweeping: Station[SweeperItem] = Station("sweeper", sweeper.work, broken)
    revoking: Station[TerminateLinks] = Station("revoker", Revoker(plan.app).work, broken)
    loop = Loop(
        Core(_core_config(plan, topics)),
        mailbox,
        publisher=publishing.give,
        asker=asking.give,
        sweeper=sweeping.give,
        revoker=revoking.give,
    )
    consumer = Consumer(kafka, loop)
    loop.attach(consumer)
    return Parts(
        bridge_id=bridge_id,
        topics=topics,
        loop=loop,
        admin=admin,
        client=client,
        ledger=ledger,
        consumer=consumer,
        publisher=publishing,
        asker=asking,
        sweeper=sweeping,
        revoker=revoking,
        listener=Listener(connect(plan.ledger_url), settings.group_id, bridge_id, mailbox.post, broken),
        startup=lambda stopping: Startup(plan, admin, client, stopping).wait(),
        ends_seen=lambda: asker.ends,
        ledger_answers=lambda: sweeper.redis_answers,
    )


def _consumer_settings(settings: Settings) -> ConsumerSettings:
    return ConsumerSettings(
        settings.bootstrap_servers,
        settings.group_id,
        session_timeout=settings.session_timeout,
        heartbeat_interval=settings.heartbeat_interval,
        kafka=settings.kafka,
    )


def _core_config(plan: Plan, topics: Topics) -> CoreConfig:
    settings = plan.settings
    return CoreConfig(
        group=settings.group_id,
        rules_of=topics.rules_of,
        queue_of=lambda tp, lane, link: topics.messages_of(tp.topic).queue_of(tp, lane, link),
        start_from=settings.start_from,
        commit_interval=settings.commit_interval,
        buffer_bytes=settings.buffer_bytes,
        in_flight_bytes=settings.in_flight_bytes,
        frozen_after=settings.session_timeout,
        times=WatchTimes(settings.claim_timeout, settings.worker_timeout),
        limits=Limits(settings.max_timeouts, settings.max_worker_losses),
        seed=time.time_ns(),
    )
