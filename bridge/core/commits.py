"""Which offsets are committed when: coalesced, at most one commit in flight, dirty until the broker confirmed.

A partition's position goes up only; what an owner commits carries its number, so that the next owner's is higher.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bridge.core.effects import Commit, CommitEntry
from bridge.core.events import Answers, CommitAnswer
from bridge.records import TopicPartition

if TYPE_CHECKING:
    from bridge.core.partition import Partition

_METADATA = re.compile(r"lanebridge/1 owner=(\d+) topic=(\S*)")

#: seconds before a commit that was not confirmed is submitted again, doubling, and the longest wait
AGAIN_DELAY, AGAIN_MAX_DELAY = 0.2, 5.0
#: seconds after which a commit without any answer counts as not confirmed (librdkafka answers within about 45)
ANSWER_TIMEOUT = 90.0


class Metadata(NamedTuple):
    """What we write beside a committed offset."""

    owner: int
    topic_id: str


def write_metadata(owner: int, topic_id: str) -> str:
    """The text that is committed with an offset."""
    return f"lanebridge/1 owner={owner} topic={topic_id}"


def read_metadata(text: str) -> Metadata | None:
    """What the text says; None when it is not ours."""
    found = _METADATA.fullmatch(text)
    return Metadata(int(found[1]), found[2]) if found else None


class Commits:
    """Who may have something to commit, when the next commit may go, and how often the last ones were refused."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        #: partitions that may have something to commit (all others have nothing)
        self._dirty: dict[TopicPartition, None] = {}
        self._submitted: Mapping[TopicPartition, CommitEntry] = {}
        self._failures = 0
        self._not_before = 0.0
        #: positions keep the interval, the confirmation of an assignment does not wait for it
        self._interval_until = 0.0
        self._is_urgent = False

    def wants(self, tp: TopicPartition) -> None:
        """The partition may have something to commit."""
        self._dirty[tp] = None

    def wants_confirm(self, tp: TopicPartition) -> None:
        """The partition's assignment is to be confirmed."""
        self.wants(tp)
        self.hurry()

    def forget(self, tp: TopicPartition) -> None:
        """The partition has nothing to commit, or is gone."""
        self._dirty.pop(tp, None)

    def is_dirty(self, tp: TopicPartition) -> bool:
        """The partition may have something to commit."""
        return tp in self._dirty

    def due(self, partitions: Mapping[TopicPartition, Partition], now: float) -> Commit | None:
        """All partitions' latest positions as one commit, if it is time."""
        if not self._dirty or now < self.wake_at:
            return None
        wanted: dict[TopicPartition, CommitEntry] = {}
        for tp in list(self._dirty):
            entry = partitions[tp].wanted_commit
            if entry is None:
                self.forget(tp)
            else:
                wanted[tp] = entry
        return self.submit(wanted, now) if wanted else None

    def awaits_answer(self, partitions: Mapping[TopicPartition, Partition]) -> bool:
        """Another commit follows as soon as the one in flight is answered."""
        return self.is_in_flight and any(self._leaves_out(tp, partitions[tp].position) for tp in self._dirty)

    def submit(self, entries: Mapping[TopicPartition, CommitEntry], now: float) -> Commit:
        """All partitions' latest positions as one commit; only when it is time (`wake_at`)."""
        self._submitted = entries
        self._is_urgent = False
        self._not_before = now + ANSWER_TIMEOUT
        return Commit(entries)

    @property
    def is_in_flight(self) -> bool:
        """The broker has not answered the last one."""
        return bool(self._submitted)

    def _leaves_out(self, tp: TopicPartition, position: int) -> bool:
        submitted = self._submitted.get(tp)
        return submitted is None or submitted.offset < position

    def hurry(self) -> None:
        """The next commit confirms an assignment."""
        self._is_urgent = True

    def answered(self, answers: Answers, now: float) -> None:
        """A commit was answered; the last one of a revoked partition is not the one in flight."""
        submitted = {tp: (entry.serial, entry.offset) for tp, entry in self._submitted.items()}
        if not submitted or submitted != {tp: answers[tp][:2] for tp in submitted if tp in answers}:
            return
        self._done(now, confirmed=all(answer is CommitAnswer.OK for _, _, answer, _ in answers.values()))

    def failed(self, now: float) -> None:
        """The commit in flight could not be submitted."""
        self._done(now, confirmed=False)

    def _done(self, now: float, *, confirmed: bool) -> None:
        self._submitted = {}
        self._failures = 0 if confirmed else self._failures + 1
        back_off = min(AGAIN_DELAY * 2.0 ** min(self._failures - 1, 16), AGAIN_MAX_DELAY) if self._failures else 0.0
        self._not_before = now + back_off
        self._interval_until = now + self._interval

    @property
    def wake_at(self) -> float:
        """When the next commit may go: after the answer to the last, or without one when it is overdue; infinity when
        nobody has anything to commit."""
        if not self._dirty:
            return float("inf")
        return self._not_before if self._is_urgent else max(self._not_before, self._interval_until)
