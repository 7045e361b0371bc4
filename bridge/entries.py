"""What the ledger says: the values that the bridge, the ledger and the workers exchange.

Rules: frozen values only, no I/O. `Seen` is what compare-and-set compares; an `Outcome` is what a chain reports.
Offsets are Kafka's; `next_offset` is always the first offset that is *not* finished.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bridge.records import Action, Row

#: the format of payload, handle and hash; an unknown one is refused
FORMAT = 1

FailureKind = Literal["failed", "timeout", "worker_lost", "revoked", "not_registered"]
OutcomeKind = Literal["ok", "partial", "failed"]

#: why a record is given up: it is out of attempts, its task rejected it, or it could not be decoded
Disposition = Literal["exhausted", "rejected", "undecodable", "timeout", "worker_lost"]

#: kind of failure -> what a record that is out of attempts for it is given up as; the other kinds use no attempts
DISPOSITIONS: dict[FailureKind, Disposition] = {
    "failed": "exhausted",
    "timeout": "timeout",
    "worker_lost": "worker_lost",
}


class Owner(NamedTuple):
    """Who may act on a partition: the fence number, and the bridge that drew it (numbers alone may come back
    when Redis is rolled back)."""

    number: int
    bridge: str


#: no bridge has ever owned the partition
NOBODY = Owner(0, "")


class Claim(NamedTuple):
    """Which delivery of a link runs: the worker's id and a nonce drawn for this delivery."""

    worker: str
    nonce: str


class Seen(NamedTuple):
    """A lane as somebody has seen it: what dispatch compares before it replaces.

    `chain` "" means that the lane never had one; `claim` and `outcome` are the stored texts, "" and b"" when absent.
    """

    chain: str = ""
    link: int = 0
    claim: str = ""
    outcome: bytes = b""


NOTHING_SEEN = Seen()


def _told(exception: str, message: str) -> str:
    """The exception's class and its message, which some begin with the class."""
    if message.startswith(f"{exception}("):
        return message
    return ": ".join(filter(None, (exception, message)))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record, or a whole chain, did not succeed.

    `offset` is the first record it holds back; `named` says that this very record is at fault. `link` counts from 1,
    `index` is the record's place in the batch that the link was given, from 0 (-1 unknown), `at_ms` the wall clock
    (0 unknown).
    """

    offset: int
    kind: FailureKind = "failed"
    named: bool = False
    link: int = 1
    task: str = ""
    exception: str = ""
    message: str = ""
    traceback: str = ""
    retryable: bool = True
    index: int = -1
    at_ms: int = 0

    def __str__(self) -> str:
        return _told(self.exception, self.message) or self.kind


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that its task rejected for good, or that could not be decoded. `index` and `at_ms` as in Failure."""

    offset: int
    reason: str
    link: int = 1
    task: str = ""
    disposition: Disposition = "rejected"
    exception: str = ""
    traceback: str = ""
    index: int = -1
    at_ms: int = 0

    def __str__(self) -> str:
        return _told(self.exception, self.reason)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that is given up, and why. `attempts` counts the chains that carried it; `index` is its place in its
    batch, from 0 (-1 unknown); times are wall clock (0 unknown)."""

    row: Row
    disposition: Disposition
    message: str
    exception: str = ""
    traceback: str = ""
    task: str = ""
    link: int = 1
    chain: str = ""
    index: int = -1
    attempts: int = 1
    first_failed_ms: int = 0
    last_failed_ms: int = 0


class Decided(NamedTuple):
    """What the pipeline's `on_failed` task wants done with one record."""

    offset: int
    action: Action


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """One batch of a chain: its range (offsets), how many records are left of it, what closed it."""

    first: int
    last: int
    count: int
    trigger: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a chain reports: everything below `next_offset` and not in `rejected` is finished.

    `ok`: next_offset is past the range. `partial`: records were rejected, or a record failed behind finished ones.
    `failed`: nothing finished. `delay` (seconds) is the wait that the task asked for with `self.retry()`.
    The chain of an `on_failed` task reports the outcome that it was asked about, with what it `decided` for each record
    at stake; `hook_error` says why it could not ("" it could). `took_s`: seconds that the chain's slowest link ran, 0
    unknown; a measurement, two outcomes may differ in it.
    """

    kind: OutcomeKind
    next_offset: int
    failure: Failure | None = None
    rejected: tuple[Rejection, ...] = ()
    delay: float | None = None
    decided: tuple[Decided, ...] = ()
    hook_error: str = ""
    took_s: float = field(default=0.0, compare=False)

    @property
    def at_stake(self) -> tuple[int, ...]:
        """The offsets that are disposed of next: the rejected records, or else the failed one."""
        return tuple(each.offset for each in self.rejected) or (self.next_offset,)

    @property
    def watermark(self) -> int:
        """Every record of the lane below this is finished: the first rejected record, else `next_offset`."""
        return self.rejected[0].offset if self.rejected else self.next_offset


def failure_of(outcome: Outcome) -> Failure:
    """Why the record at the outcome's first unfinished offset did not succeed."""
    return outcome.failure or Failure(outcome.next_offset, message="the chain ended without saying why")


@dataclass(frozen=True, slots=True)
class Counters:
    """Attempts at the first unfinished offset `at`; new when it moves.

    A batch that is split: until the watermark has passed `split_last`, each part is tried once for the kind
    `split_kind`; one of the records up to `bad_last` is at fault (-1: none is known to be). `tries` counts every failed
    attempt at the record or its batch since `since_ms` (wall clock, 0 unknown).
    """

    at: int = -1
    failures: int = 0
    timeouts: int = 0
    losses: int = 0
    split_kind: str = ""
    split_last: int = -1
    bad_last: int = -1
    tries: int = 0
    since_ms: int = 0


NO_ATTEMPTS = Counters()


@dataclass(frozen=True, slots=True)
class LaneEntry:
    """One lane of a partition in the ledger. `chain` "" means that no chain was ever dispatched. Before
    `publish_after_ms` (the server's clock; 0: at once) nobody publishes its link, because the link id `superseded`, of
    the chain before it, may still be running. `judged` is the outcome that the chain, of an `on_failed` task, is asked
    about; `disposing`: dead letters of the outcome may have been written already."""

    lane: int
    watermark: int = -1
    chain: str = ""
    first: int = -1
    last: int = -1
    link: int = 0
    links: int = 1
    claim: Claim | None = None
    outcome: Outcome | None = None
    counters: Counters = NO_ATTEMPTS
    publish_after_ms: int = 0
    superseded: str = ""
    judged: Outcome | None = None
    disposing: bool = False
    seen: Seen = NOTHING_SEEN

    @property
    def reach(self) -> int:
        """The last offset of the batch that the chain is of: its own, or that of the batch being split."""
        return max(self.last, self.counters.split_last)

    @property
    def in_flight(self) -> bool:
        """A chain was dispatched and has no outcome yet."""
        return bool(self.chain) and self.outcome is None


@dataclass(frozen=True, slots=True)
class PartitionEntry:
    """One partition in the ledger. `base` is the position an owner wrote last (None: never), `rule` the lane rule
    that its lanes follow ("" when there is no entry), `now_ms` the server's clock when it was read."""

    owner: Owner = NOBODY
    base: int | None = None
    rule: str = ""
    topic_id: str = ""
    lanes: dict[int, LaneEntry] = field(default_factory=dict)
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker says of itself every 3 s. `links` are the link ids it has reserved or runs; `written_ms` is
    the ledger server's clock."""

    worker: str
    hostname: str
    pool: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    links: tuple[str, ...]
    concurrency: int = 1
    written_ms: int = 0


def link_id(chain: str, link: int) -> str:
    """The Celery task id of a chain's link, counted from 1."""
    return f"{chain}-{link}"


def chain_of(task_id: str) -> tuple[str, int]:
    """The chain and the link that a task id made by `link_id` stands for; ("", 0) for any other id."""
    chain, _, number = task_id.rpartition("-")
    return (chain, int(number)) if chain and number.isdigit() else ("", 0)
