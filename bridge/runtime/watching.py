"""What people see of a running bridge: its first log line, its state once a second, its HTTP, the end of the work."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bridge.core.view import view
from bridge.ops.health import HealthInput
from bridge.ops.http import HttpServer
from bridge.ops.snapshot import Snapshot
from bridge.ops.state import State, state_document
from bridge.records import TopicPartition
from bridge.runtime.asker import AskEnds
from bridge.runtime.assembly import Parts
from bridge.runtime.idle import IdleWatch
from bridge.runtime.plan import Plan
from bridge.runtime.publisher import KeepEntries
from bridge.runtime.sweeper import PublishState, ReadInstructions

if TYPE_CHECKING:
    from bridge.runtime.run import Ending

logger = logging.getLogger(__name__)

#: seconds between two states, and between two questions for the ends of the logs
STATE_INTERVAL, ENDS_INTERVAL = 1.0, 5.0

#: seconds between two times that the entries of idle partitions are kept from expiring (after 30 days)
KEEP_INTERVAL = 6 * 3600.0


class Watching:
    """Looks at the parts from the loop's thread."""

    def __init__(self, plan: Plan, parts: Parts, ending: Ending, *, until_idle: bool) -> None:
        self._plan = plan
        self._parts = parts
        self._next_state = 0.0
        self._next_ends = 0.0
        self._next_keep = time.monotonic() + KEEP_INTERVAL
        self._snapshot = Snapshot()
        self._http = HttpServer(plan.settings.http, self._snapshot) if plan.settings.http else None
        self._idle = (
            IdleWatch(
                parts.admin,
                parts.ledger,
                partitions=lambda: parts.topics.partitions(parts.admin),
                assigned=lambda: parts.loop.assigned_once,
                post=parts.loop.mailbox.post,
                done=ending.ask,
                broken=ending.broken,
            )
            if until_idle
            else None
        )

    def introduce(self) -> None:
        """Say who runs, and open the HTTP port: a bridge that still waits for its services is alive, not ready."""
        logger.info("%s", self._who(), extra={"action": "start"})
        if self._http is not None:
            self._http.start()

    def look_at_start(self) -> None:
        """Between two looks at the services that it waits for."""
        self._snapshot.update(State(), HealthInput(last_turn=time.monotonic(), joined=False))

    def start(self) -> None:
        """Watch for the end of the work."""
        if self._idle is not None:
            self._idle.start()

    def stop(self) -> None:
        """Close all of it."""
        if self._idle is not None:
            self._idle.stop(5.0)
        if self._http is not None:
            self._http.stop()

    def look(self) -> None:
        """Once a second: the state for every view."""
        now = time.monotonic()
        if now < self._next_state:
            return
        self._next_state = now + STATE_INTERVAL
        parts, core = self._parts, self._parts.loop.core
        if now >= self._next_ends and core.partitions:
            self._next_ends = now + ENDS_INTERVAL
            parts.stations.asker.give(AskEnds(tuple(core.partitions)))
        if now >= self._next_keep:
            self._next_keep = now + KEEP_INTERVAL
            parts.stations.publisher.give(
                KeepEntries(tuple((p.tp, p.owner) for p in core.partitions.values() if p.is_active))
            )
        state = state_document(
            view(core, now),
            bridge_id=parts.bridge_id,
            ends=parts.ends_seen(),
            queue_of=self._queue_of,
            wall_ms=int(time.time() * 1000),
            trouble=core.repeats.trouble,
            totals=parts.meter.totals(),
        )
        parts.stations.sweeper.give(PublishState(self._snapshot.update(state, self._health())))
        parts.stations.sweeper.give(ReadInstructions())

    def _queue_of(self, tp: TopicPartition, lane: int) -> str:
        return self._parts.topics.queue_of(tp, lane, 1)

    def _health(self) -> HealthInput:
        loop = self._parts.loop
        return HealthInput(
            last_turn=loop.last_turn,
            joined=loop.assigned_once,
            ledger_answers=self._parts.ledger_answers(),
            kafka_trouble=loop.kafka_trouble,
            brake_holds=loop.core.brake.holds(loop.clock()),
        )

    def _who(self) -> str:
        settings, topics = self._plan.settings, self._parts.topics
        versions = ", ".join(
            f"{name} {importlib.metadata.version(name)}"
            for name in ("lanebridge", "celery", "kombu", "confluent-kafka", "redis")
        )
        ledger = urlsplit(self._plan.ledger_url)
        return (
            f"bridge {self._parts.bridge_id} of group {settings.group_id}: topics {', '.join(topics.names)} "
            f"from {settings.bootstrap_servers}, ledger {ledger.hostname}:{ledger.port or 6379}, "
            f"queues lane-0..lane-{settings.lane_queues - 1}; {versions}"
        )
