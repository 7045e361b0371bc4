"""What operators want of the running bridges: pauses, which last, and requests, which are done once.

Rules: frozen values only. They lie in the ledger's Redis, so that they reach whichever bridge has the lane, and are
still there when it starts again. Every one says who wants it and since when.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from bridge.records import TopicPartition


class Target(NamedTuple):
    """What an operator means: a topic, one partition of it, or one lane of that (-1: all of them)."""

    topic: str
    partition: int = -1
    lane: int = -1

    def __str__(self) -> str:
        """As the command line takes it: `orders`, `orders/3`, `orders/3/0`."""
        return "/".join(str(part) for part in self if part != -1)

    def covers(self, other: Target) -> bool:
        """`other` is the same, or a part of it."""
        return self.topic == other.topic and self.partition in (-1, other.partition) and self.lane in (-1, other.lane)


#: what an operator may ask for once; pausing is no request, it lasts
RequestAction = Literal["retry", "skip"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing of `target` is dispatched until it is resumed. `at_ms` is the wall clock, `note` the operator's words."""

    target: Target
    who: str
    at_ms: int
    note: str = ""

    def __str__(self) -> str:
        """Who paused what, since when and why."""
        since = datetime.fromtimestamp(self.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{self.target} is paused by {self.who} since {since}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True, slots=True)
class Request:
    """Something that an operator wants done once, by the bridge that has the lane, however long that takes. `offset` is
    the record that it is about: when that one is finished there is nothing left to do. `at_ms` is the wall clock."""

    id: str
    action: RequestAction
    target: Target
    offset: int
    who: str
    at_ms: int
    note: str = ""

    @property
    def tp(self) -> TopicPartition:
        """The partition of its lane."""
        return TopicPartition(self.target.topic, self.target.partition)


@dataclass(frozen=True, slots=True)
class Instructions:
    """All that operators want of the group. `number` grows with every change: a lower one comes from a Redis that has
    lost what was there."""

    number: int = 0
    pauses: tuple[Pause, ...] = ()
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What was done, by whom, when (wall clock): `action` is pause, resume, retry or skip; `result` is "" when an
    operator asked for it, else what the bridge has done about it, and `done` whether that is what was asked for."""

    at_ms: int
    who: str
    action: str
    target: str
    offset: int = -1
    note: str = ""
    result: str = ""
    request: str = ""
    done: bool = False
