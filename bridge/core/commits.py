"""Which offsets are committed when: coalesced, at most one commit in flight, dirty until the broker confirmed.

A partition's position goes up only; what an owner commits carries its number, so that the next owner's is higher.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bridge.core.effects import Commit, CommitEntry
from bridge.records import TopicPartition

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
    """When the next commit may go, and how often the last ones were refused."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._submitted_at: float | None = None
        self._failures = 0
        self._not_before = 0.0

    def next_commit(self, wanted: Iterable[tuple[TopicPartition, CommitEntry]], now: float) -> Commit | None:
        """All partitions' latest positions as one commit, or None while one is in flight or it is too early."""
        if self._submitted_at is not None and now < self._submitted_at + ANSWER_TIMEOUT:
            return None
        if now < self._not_before:
            return None
        entries: Mapping[TopicPartition, CommitEntry] = dict(wanted)
        if not entries:
            return None
        self._submitted_at = now
        return Commit(entries)

    def answered(self, now: float, *, confirmed: bool) -> None:
        """The commit in flight was answered; `confirmed`: for all its partitions."""
        self._submitted_at = None
        self._failures = 0 if confirmed else self._failures + 1
        pause = self._interval
        if self._failures:
            pause = max(pause, min(AGAIN_DELAY * 2.0 ** min(self._failures - 1, 16), AGAIN_MAX_DELAY))
        self._not_before = now + pause

    @property
    def wake_at(self) -> float:
        """When time alone may let a commit go."""
        return self._not_before if self._submitted_at is None else self._submitted_at + ANSWER_TIMEOUT
