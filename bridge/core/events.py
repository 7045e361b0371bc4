"""What the world tells the core. Each event is handled at a time `now` (seconds, monotonic) that comes with it.

Rules: frozen values; answers carry the `serial` of the assignment that asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bridge.core.effects import Effect
from bridge.entries import Heartbeat, Outcome, PartitionEntry, Seen
from bridge.instructions import Instructions
from bridge.records import Row, TopicPartition


class CommitAnswer(Enum):
    """How the broker answered a commit of one partition, by our own table (kafka/commits.py)."""

    OK = "ok"
    #: keep it dirty and try again: the coordinator moved, a time-out, a rebalance under way, a stale generation
    AGAIN = "again"
    #: the broker fenced this member for good; the partition is forgotten
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Assigned:
    """The group gave us these partitions."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    """The group takes these partitions; a last commit may still be submitted."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """The group has taken these partitions already; nothing may be committed."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class KafkaAnswered:
    """`committed` is None when the group has no offset; `metadata` is the committed text ("" for none); `log_end` is
    the high watermark."""

    tp: TopicPartition
    serial: int
    committed: int | None
    metadata: str
    topic_id: str
    log_start: int
    log_end: int


@dataclass(frozen=True, slots=True)
class OwnerAssigned:
    """The ledger's answer to *assign*: our owner number and all lanes as they stand."""

    tp: TopicPartition
    serial: int
    entry: PartitionEntry


@dataclass(frozen=True, slots=True)
class Cleared:
    """`accepted` False: somebody else owns the partition, or a link has been claimed meanwhile."""

    tp: TopicPartition
    serial: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """`accepted` False: somebody else owns the partition."""

    tp: TopicPartition
    serial: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class RuleChanged:
    """`accepted` False: somebody else owns the partition."""

    tp: TopicPartition
    serial: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition in offset order, as they came since the last StartFetching: whatever is missing
    between two of them is not in the log."""

    tp: TopicPartition
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class EndOfLog:
    """The consumer has delivered everything below `offset`."""

    tp: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class OffsetMissing:
    """The log no longer has the offset that comes next (deleted records, or a log that became shorter)."""

    tp: TopicPartition


@dataclass(frozen=True, slots=True)
class TopicsSeen:
    """The ids that topics (by name) have now; looked up every few seconds, because a client that reads a topic by name
    goes on at the same offset when it was deleted and created again."""

    ids: Mapping[str, str]


#: for each partition of one Commit: serial, offset, answer, error text
Answers = Mapping[TopicPartition, tuple[int, int, CommitAnswer, str]]


@dataclass(frozen=True, slots=True)
class CommitAnswered:
    """The broker's answer to one Commit, for each of its partitions."""

    answers: Answers


class DispatchAnswer(Enum):
    """What the ledger said to a dispatch."""

    OK = "ok"
    NOT_OWNER = "not owner"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The ledger's answer to a Dispatch."""

    tp: TopicPartition
    serial: int
    lane: int
    chain: str
    answer: DispatchAnswer


@dataclass(frozen=True, slots=True)
class Published:
    """`sure` False: the link may or may not be in its queue."""

    tp: TopicPartition
    serial: int
    lane: int
    chain: str
    link: int
    sure: bool


@dataclass(frozen=True, slots=True)
class OutcomeHeard:
    """A chain has reported; `seen` is the lane as the ledger then held it."""

    tp: TopicPartition
    lane: int
    seen: Seen
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ErrorHeard:
    """Celery stored an error for a link of ours. `status` is FAILURE or REVOKED, `worker` the id of the worker that
    wrote it ("" unknown)."""

    link_id: str
    status: str
    exception: str
    message: str
    worker: str

    @property
    def has_ended(self) -> bool:
        """The link runs nowhere any more. Workers that do not run a revoked link say "revoked" at once, the one
        that runs it says "terminated"; unknown tasks are reported by workers that do not run it either."""
        if self.status == "REVOKED":
            return "terminated" in self.message
        return self.exception != "NotRegistered"


@dataclass(frozen=True, slots=True)
class DeadLettersWritten:
    """The broker has acknowledged all letters of WriteDeadLetters `number`. `is_owner` False: nothing was written,
    somebody else owns the partition, or the lane does not hold that chain's outcome."""

    tp: TopicPartition
    serial: int
    lane: int
    number: int
    is_owner: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The ledger's answer to Settle `number`. `accepted` False: somebody else owns the partition, or the lane does not
    hold that chain's outcome."""

    tp: TopicPartition
    serial: int
    lane: int
    number: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class LanesRead:
    """The sweep's reading. A partition that the ledger does not know has an empty entry. `redis_since` is the time
    since when Redis answers without interruption."""

    number: int
    entries: Mapping[TopicPartition, tuple[int, PartitionEntry]]  # serial, entry
    workers: tuple[Heartbeat, ...]
    redis_since: float


@dataclass(frozen=True, slots=True)
class Instructed:
    """All that operators want now, as it was read; it comes again and again."""

    instructions: Instructions


@dataclass(frozen=True, slots=True)
class EffectFailed:
    """Redis, Kafka or the Celery broker could not be reached: the effect may or may not have happened, or may still
    happen (a server that stood still). Not for effects that only touch the consumer."""

    effect: Effect
    error: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Close open batches of partitions that have reached these offsets; no more is expected before them."""

    ends: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Stop:
    """The bridge is going to end: dispatch nothing more; what is in flight stays in the ledger."""


Event = (
    Assigned
    | Revoked
    | Lost
    | KafkaAnswered
    | OwnerAssigned
    | Cleared
    | Restored
    | RuleChanged
    | Fetched
    | EndOfLog
    | OffsetMissing
    | TopicsSeen
    | CommitAnswered
    | Dispatched
    | Published
    | OutcomeHeard
    | ErrorHeard
    | DeadLettersWritten
    | Settled
    | LanesRead
    | Instructed
    | EffectFailed
    | Tick
    | Flush
    | Stop
)
