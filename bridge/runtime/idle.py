"""`--until-idle`: when is the work done?

The ends of all partitions of all topics are noted after the first assignment. It is done when the group's committed
offset of every one of them, asked of the broker, has reached its end, whoever owns it; a partition that stands still
because lanes of it are stopped or paused counts as done once all others are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import redis

from bridge.core.events import Flush
from bridge.entries import Owner
from bridge.kafka.admin import Admin
from bridge.kafka.errors import KafkaUnavailable
from bridge.ledger.ledger import Ledger
from bridge.ops.state import State, decode_state, merge
from bridge.records import TopicPartition
from bridge.runtime.mail import Post, Watcher

logger = logging.getLogger(__name__)

#: seconds between two questions to the broker
INTERVAL = 0.5

#: exit codes of design: all done; a stopped lane; a paused one
DONE, STOPPED, PAUSED = 0, 3, 4

_ENDED = {
    DONE: "all that was in the topics at the start is committed",
    STOPPED: "what is left waits behind a stopped lane, exit code 3",
    PAUSED: "what is left waits behind a paused lane, exit code 4",
}


class IdleWatch:
    """A thread that asks until the work is done, and then says so."""

    def __init__(
        self,
        admin: Admin,
        ledger: Ledger,
        *,
        partitions: Callable[[], list[TopicPartition]],
        assigned: Callable[[], bool],
        post: Post,
        done: Callable[[int], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        self._admin = admin
        self._ledger = ledger
        self._partitions = partitions
        self._assigned = assigned
        self._post = post
        self._done = done
        self._watcher = Watcher("idle", self._watch, broken)

    def start(self) -> None:
        """Begin."""
        self._watcher.start()

    def stop(self, timeout: float) -> None:
        """End. May come before `start`."""
        self._watcher.stop(timeout)

    def _watch(self, ended: threading.Event) -> None:
        ends: dict[TopicPartition, int] | None = None
        while not ended.wait(INTERVAL):
            try:
                if ends is None and self._assigned():
                    ends = self._admin.ends(self._partitions())
                    self._post(Flush(ends))
                if ends is not None and (code := self._verdict(ends)) is not None:
                    logger.info("until idle: %s", _ENDED[code], extra={"action": "idle"})
                    self._done(code)
                    return
            except (KafkaUnavailable, redis.RedisError) as error:
                logger.warning("cannot tell whether all is done: %s", error, extra={"action": "idle"})

    def _verdict(self, ends: dict[TopicPartition, int]) -> int | None:
        committed = self._admin.committed(list(ends))
        open_ones = {tp for tp, end in ends.items() if (committed.get(tp) or 0) < end}
        if not open_ones:
            return DONE
        state = merge([decode_state(blob) for blob in self._ledger.states().values()])
        entries = self._ledger.read(open_ones)
        return stuck_code({tp: entries[tp].owner for tp in open_ones}, state)


def stuck_code(owners: Mapping[TopicPartition, Owner], state: State) -> int | None:
    """3 or 4 when every open partition stands still behind a stopped or paused lane, else None.

    `owners` are the open partitions with their owners as the ledger knows them: what a bridge said that has lost the
    partition since does not count.
    """
    open_ones = set(owners)
    blocked = {
        tp
        for p in state.partitions
        if p.blocked and owners.get(tp := TopicPartition(p.topic, p.partition)) == Owner(p.owner_number, p.owner)
    }
    if not open_ones <= blocked:
        return None
    states = {lane.state for lane in state.lanes if TopicPartition(lane.topic, lane.partition) in open_ones}
    return STOPPED if "stopped" in states else PAUSED
