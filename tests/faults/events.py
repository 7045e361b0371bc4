"""What bridges, the injector and the sampler of a history say, typed. `at` is CLOCK_MONOTONIC, in seconds.

Who writes which line: bridges by recorder.py, the others by stage.py and sampler.py. Lines of tasks are `Run`s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.places import Partition, Place, unpack

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """Something that the process `pid` has said."""

    at: float
    pid: int


# --- bridges ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assigned(Said):
    """The group gave the bridge these partitions."""

    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Taken(Said):
    """The group takes them (the last commit was submitted before), or has taken them already (`lost`)."""

    partitions: tuple[Partition, ...]
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Start(Said):
    """The bridge reads a partition from `offset` on; `relocated`: within an assignment, what came next is gone."""

    tp: Partition
    offset: int
    relocated: bool = False


@dataclass(frozen=True, slots=True)
class Dispatched(Said):
    """The ledger took a chain that was handed to it at `asked`; `judged`: it is the on_failed task's."""

    tp: Partition
    lane: int
    chain: str
    owner: int
    offsets: tuple[int, ...]
    asked: float
    attempt: int = 1
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Letters(Said):
    """The broker has acknowledged the dead letters of these records."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Settled(Said):
    """The ledger knows that what was at stake is finished; `skipped` got no dead letter."""

    tp: Partition
    lane: int
    upto: int
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitTry(Said):
    """A commit is submitted: partition, offset and owner number of each entry."""

    entries: tuple[tuple[Partition, int, int], ...]


@dataclass(frozen=True, slots=True)
class CommitOk(Said):
    """The broker has taken commits: partition, offset, owner number, and when it was submitted, of each."""

    entries: tuple[tuple[Partition, int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Other(Said):
    """What no rule asks about: started, ended, refused, outcome, report, commit_err, paused, resumed."""

    name: str
    about: Line


# --- injector and sampler ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault(Said):
    """A fault begins (`on`) or is over."""

    name: str
    on: bool


@dataclass(frozen=True, slots=True)
class Killed(Said):
    """Processes got SIGKILL."""

    who: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reset(Said):
    """Somebody has moved the group's offsets on purpose."""

    offsets: Mapping[Partition, int]


@dataclass(frozen=True, slots=True)
class Gone(Said):
    """The log has lost these records, by its own rules or by order: nobody asks for them."""

    tp: Partition
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RedisLost(Said):
    """Redis has lost its data, or (`rolled_back`) has an older state."""

    rolled_back: bool


@dataclass(frozen=True, slots=True)
class LetterRead(Said):
    """A dead letter as a plain client has read it: which record it was, and the sum of what it carries."""

    place: Place
    sum: int


@dataclass(frozen=True, slots=True)
class Sample(Said):
    """Resident memory of a bridge, in bytes."""

    bridge: int
    rss: int


@dataclass(frozen=True, slots=True)
class Health(Said):
    """What a bridge says of its readiness; code 0: it did not answer."""

    bridge: int
    code: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed(Said):
    """What the broker says that the group has committed."""

    offsets: Mapping[Partition, int]


@dataclass(frozen=True, slots=True)
class Exited(Said):
    """A process ended so many seconds after it got the signal `signalled` ("" none)."""

    who: str
    code: int
    signalled: str
    seconds: float


# --- reading ----------------------------------------------------------------------------------------------------------


def _tp(line: Line) -> Partition:
    return line["topic"], line["partition"]


def _partitions(line: Line) -> tuple[Partition, ...]:
    return tuple((topic, partition) for topic, partition in line["partitions"])


def _offsets(line: Line) -> dict[Partition, int]:
    return {(topic, partition): offset for topic, partition, offset in line["offsets"]}


def _dispatched(said: tuple[float, int], line: Line) -> Said:
    return Dispatched(
        *said,
        tp=_tp(line),
        lane=line["lane"],
        chain=line["chain"],
        owner=line["owner"],
        offsets=tuple(unpack(line["offsets"])),
        asked=line["asked"],
        attempt=line["attempt"],
        judged=line["judged"],
    )


def _other(said: tuple[float, int], line: Line) -> Said:
    return Other(*said, name=line["event"], about=line)


def _letters(said: tuple[float, int], line: Line) -> Said:
    return Letters(*said, tuple((*_tp(line), offset) for offset in line["offsets"]))


def _tries(entries: Iterable[list[Any]]) -> tuple[tuple[Partition, int, int], ...]:
    return tuple(((topic, partition), offset, owner) for topic, partition, offset, owner in entries)


def _answers(entries: Iterable[list[Any]]) -> tuple[tuple[Partition, int, int, float], ...]:
    return tuple(((topic, number), offset, owner, tried) for topic, number, offset, _, owner, tried in entries)


Reader = Callable[[tuple[float, int], Line], Said]

BRIDGE: dict[str, Reader] = {
    "assigned": lambda said, line: Assigned(*said, _partitions(line)),
    "revoked": lambda said, line: Taken(*said, _partitions(line)),
    "lost": lambda said, line: Taken(*said, _partitions(line), lost=True),
    "start": lambda said, line: Start(*said, _tp(line), line["offset"], line["relocated"]),
    "dispatched": _dispatched,
    "letters": _letters,
    "settled": lambda said, line: Settled(*said, _tp(line), line["lane"], line["upto"], tuple(line["skipped"])),
    "commit_try": lambda said, line: CommitTry(*said, _tries(line["entries"])),
    "commit_ok": lambda said, line: CommitOk(*said, _answers(line["entries"])),
    **dict.fromkeys(
        ("started", "ended", "refused", "outcome", "report", "commit_err", "paused", "resumed"),
        _other,
    ),
}

INJECTOR: dict[str, Reader] = {
    "fault_on": lambda said, line: Fault(*said, line["fault"], True),
    "fault_off": lambda said, line: Fault(*said, line["fault"], False),
    "killed": lambda said, line: Killed(*said, line["who"], tuple(line["pids"])),
    "reset": lambda said, line: Reset(*said, _offsets(line)),
    "gone": lambda said, line: Gone(*said, _tp(line), tuple(unpack(line["offsets"]))),
    "empty": lambda said, line: RedisLost(*said, rolled_back=False),
    "rolled_back": lambda said, line: RedisLost(*said, rolled_back=True),
}

SAMPLER: dict[str, Reader] = {
    "letter": lambda said, line: LetterRead(*said, (*_tp(line), line["offset"]), line["sum"]),
    "sample": lambda said, line: Sample(*said, line["bridge"], line["rss"]),
    "health": lambda said, line: Health(*said, line["bridge"], line["code"], tuple(line["reasons"])),
    "committed": lambda said, line: Committed(*said, _offsets(line)),
    "exited": lambda said, line: Exited(*said, line["who"], line["code"], line["signalled"], line["seconds"]),
}
