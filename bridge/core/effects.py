"""What the core asks the world to do. The runtime carries effects out and answers with events.

Rules: every effect that belongs to an assignment carries its `serial`; the answer carries it back, and the core
drops answers of an assignment that is no longer live. Every effect is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bridge.entries import BatchHeader, Counters, DeadLetter, Outcome, Owner, Seen
from bridge.instructions import Pause, Request
from bridge.records import Row, TopicPartition


@dataclass(frozen=True, slots=True)
class AskKafka:
    """Committed offset with its metadata, topic id, start and end of the log. Answer: KafkaAnswered."""

    tp: TopicPartition
    serial: int


@dataclass(frozen=True, slots=True)
class AssignOwner:
    """Ledger step *assign*. `metadata_owner` is the owner number in the committed metadata (0: none).
    Answer: OwnerAssigned."""

    tp: TopicPartition
    serial: int
    metadata_owner: int


@dataclass(frozen=True, slots=True)
class TerminateLinks:
    """Revoke the Celery tasks with these ids (terminate, SIGKILL). Nobody waits for an answer."""

    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClearLedger:
    """Forget all lanes and the base of the partition (owner checked), unless a link is claimed that is not in `ended`:
    these have ended, or were waited for. Answer: Cleared."""

    tp: TopicPartition
    serial: int
    owner: Owner
    ended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restore:
    """Ledger step behind *confirm* (owner checked): raise the lanes' watermarks to `watermarks`, write rule and
    topic id where there are none. Answer: Restored."""

    tp: TopicPartition
    serial: int
    owner: Owner
    watermarks: Mapping[int, int]
    rule: str
    topic_id: str
    base: int


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """Write a new lane rule (owner checked): the old lanes go, `base` and all new watermarks are `base`.
    Answer: RuleChanged."""

    tp: TopicPartition
    serial: int
    owner: Owner
    rule: str
    base: int


@dataclass(frozen=True, slots=True)
class Chain:
    """One attempt at a batch, or at several consecutive ones: `first`..`last` are offsets, `token` grows with every
    dispatch of the lane, `attempt` counts from 1, `size_bytes` is what the records weigh."""

    id: str
    lane: int
    first: int
    last: int
    token: int
    attempt: int
    batches: tuple[BatchHeader, ...]
    size_bytes: int

    @property
    def count(self) -> int:
        """How many records it carries."""
        return sum(batch.count for batch in self.batches)


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Ledger step *dispatch*, then publish link 1. `rule` is the lane rule that the owner follows: a ledger that names
    another one, or none, has lost what was restored to it. `judged`: this is no attempt at the batch, its one link is
    the `on_failed` task, which is asked about this outcome and gets the records at stake. Answers: Dispatched,
    Published when the publish is unsure."""

    tp: TopicPartition
    serial: int
    owner: Owner
    chain: Chain
    rows: tuple[Row, ...]
    expect: Seen
    base: int
    counters: Counters
    links: int
    publish_after_s: float = 0.0
    rule: str = ""
    judged: Outcome | None = None


@dataclass(frozen=True, slots=True)
class PublishLink:
    """Publish link `link` of a chain that the ledger holds, with the rest of its chain; `is_hook`: the chain of the
    pipeline's `on_failed` task. Answer: Published."""

    tp: TopicPartition
    serial: int
    lane: int
    chain: str
    link: int
    first: int
    last: int
    is_hook: bool = False


@dataclass(frozen=True, slots=True)
class WriteDeadLetters:
    """Ledger step *dispose* (owner and chain checked), then produce these dead letters to `topic` and wait for the
    broker's acknowledgement of each. Answer: DeadLettersWritten. `number` tells one writing of a lane from another."""

    tp: TopicPartition
    serial: int
    owner: Owner
    lane: int
    number: int
    chain: str
    topic: str
    letters: tuple[DeadLetter, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Ledger step *settle*: the chain's rejected records, and everything else below `upto`, are finished.
    Answer: Settled."""

    tp: TopicPartition
    serial: int
    owner: Owner
    lane: int
    number: int
    chain: str
    upto: int
    base: int


@dataclass(frozen=True, slots=True)
class SetFault:
    """Ledger step *fault*: give the chain this outcome if `link` is current, there is none yet and the claim agrees:
    `claimed_by` "" means only while unclaimed, else only while claimed by that worker. Nobody waits for an answer:
    the outcome comes as OutcomeHeard or with the sweep."""

    tp: TopicPartition
    lane: int
    chain: str
    link: int
    claimed_by: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ReadLanes:
    """Read the partitions' (with their serials) ledger entries and the workers' heartbeats. Answer: LanesRead."""

    number: int
    partitions: tuple[tuple[TopicPartition, int], ...]


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """What an operator asked for is done, or is not going to be: say so, once. Nobody waits for an answer: while the
    request stays it is read again."""

    request: Request
    result: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class KeepPauses:
    """Redis has lost instructions: these are the pauses that still stand, and the number they had. Nobody waits for an
    answer: while it is not done the reading says so."""

    number: int
    pauses: tuple[Pause, ...]


@dataclass(frozen=True, slots=True)
class StartFetching:
    """Deliver records of the partition from `offset` on, not paused."""

    tp: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class PauseFetching:
    """Deliver no records of this partition until ResumeFetching."""

    tp: TopicPartition


@dataclass(frozen=True, slots=True)
class ResumeFetching:
    """Deliver records of this partition again."""

    tp: TopicPartition


@dataclass(frozen=True, slots=True)
class HoldFetching:
    """Take records at all (`on` False), or only keep polling (`on` True): pausing all partitions would cost a
    second of dead time."""

    on: bool


@dataclass(frozen=True, slots=True)
class CommitEntry:
    """What is committed for one partition; `serial` says for which assignment."""

    serial: int
    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Submit one asynchronous commit. Answer: CommitAnswered, for every partition in it."""

    entries: Mapping[TopicPartition, CommitEntry]


Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Report:
    """Something a person should know. `action` is the log key; `level` as in logging; the runtime logs it once. `chain`
    and `attempt` are those of the lane's chain, under way or last ("" and 0: there is none)."""

    level: Level
    action: str
    text: str
    tp: TopicPartition | None = None
    lane: int | None = None
    chain: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The bridge cannot go on: it ends with exit code 1 and this text."""

    text: str


Effect = (
    AskKafka
    | AssignOwner
    | TerminateLinks
    | ClearLedger
    | Restore
    | ChangeRule
    | Dispatch
    | PublishLink
    | WriteDeadLetters
    | Settle
    | SetFault
    | ReadLanes
    | AnswerRequest
    | KeepPauses
    | StartFetching
    | PauseFetching
    | ResumeFetching
    | HoldFetching
    | Commit
    | Report
    | GiveUp
)
