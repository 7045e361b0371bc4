"""What flows: records, batches and how often a batch is tried.

Rules: values are frozen; nothing here knows Kafka's, Celery's or Redis' client. A `Row` is a record as the bridge
holds it (a plain tuple, cheap enough for hundreds of thousands a second); a `Record` is what a task sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, overload

from msgspec import Struct

Headers = tuple[tuple[str, bytes | None], ...]

#: what is done with a record that is given up
Action = Literal["dead_letter", "skip", "stop"]

#: offset, timestamp in milliseconds (-1: none), key, value, headers (an empty tuple when there are none)
Row = tuple[int, int, bytes | None, bytes | None, Headers]

#: indices into a Row
OFFSET: Final = 0
TIMESTAMP: Final = 1
KEY: Final = 2
VALUE: Final = 3
HEADERS: Final = 4


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


def lane_queue(topic: str, partition: int, lane: int, lane_queues: int) -> str:
    """The Celery queue of a lane: the same in every bridge and after every restart, `lane-0` ... `lane-<n-1>`.

    Neighbouring partitions and lanes get different queues, so that disjoint workers share the work evenly.
    """
    return f"lane-{(_first_queue(topic) + partition + lane) % lane_queues}"


@lru_cache(maxsize=1024)
def _first_queue(topic: str) -> int:
    return int.from_bytes(blake2b(topic.encode(), digest_size=8).digest(), "big")


def count_text(count: int) -> str:
    """`1 record`, `100 records`."""
    return "1 record" if count == 1 else f"{count} records"


class Record(Struct, frozen=True):
    """One Kafka message as a task sees it. (A Struct: made twelve times as fast as a frozen dataclass.)

    `key`, `value` and header values are the bytes that were produced, or None; `timestamp_ms` is Kafka's, in
    milliseconds, -1 when the record has none. `data` is what the previous link's RecordTask returned for this
    record (None in the first link). `attempt` counts from 1.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int = -1
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    data: Any = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that `batch.fail` rejected for good, and why; `error` is the exception that was given as the reason."""

    record: Record
    reason: str
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A record that is given up, and why: what an `on_failed` task decides about.

    `disposition` is `rejected` (by `batch.fail`), `undecodable`, `exhausted` (out of attempts, or not to be tried
    again), `timeout` or `worker_lost`; `exception` is a class's name, without its module ("" when there was none);
    `task` and `link` (from 1) say where.
    """

    record: Record
    disposition: str
    exception: str = ""
    message: str = ""
    traceback: str = ""
    task: str = ""
    link: int = 1


class Batch(Sequence[Record]):
    """Consecutive records of one lane, in offset order: what a BatchTask is called with.

    `lane` is the lane's index in its partition, `id` names the batch's chain, `attempt` counts from 1, `trigger`
    says what closed it (`size`, `bytes`, `timeout`, `predicate` or `flush`). `token` is an integer that grows with
    every dispatch of the lane, across owners and restarts: a fencing token for the task's own writes.
    `failures` says for each record of a batch that an `on_failed` task gets, in the same order, why it is given up; it
    is empty in any other batch.
    """

    __slots__ = (
        "_records",
        "_rejected",
        "attempt",
        "failures",
        "first_offset",
        "id",
        "lane",
        "last_offset",
        "partition",
        "token",
        "topic",
        "trigger",
    )

    def __init__(
        self,
        records: Sequence[Record],
        *,
        topic: str,
        partition: int,
        lane: int = 0,
        first_offset: int,
        last_offset: int,
        id: str = "",
        attempt: int = 1,
        trigger: str = "size",
        token: int = 0,
        failures: Sequence[Failed] = (),
    ) -> None:
        self._records = records
        self._rejected: dict[int, Rejected] = {}
        self.topic = topic
        self.partition = partition
        self.lane = lane
        self.first_offset = first_offset
        self.last_offset = last_offset
        self.id = id
        self.attempt = attempt
        self.trigger = trigger
        self.token = token
        self.failures = tuple(failures)

    @classmethod
    def of(cls, records: Iterable[Record], **about: Any) -> Batch:
        """A batch made by hand, for testing a task: `store.run(Batch.of([Record("t", 0, 5, value=b"x")]))`.

        `about` takes `lane`, `id`, `attempt`, `trigger`, `token` and `failures`. Raises ValueError when the records
        are not of one partition or not in offset order.
        """
        rows = list(records)
        if any((r.topic, r.partition) != (rows[0].topic, rows[0].partition) for r in rows):
            raise ValueError("Batch.of: the records are of several partitions; a batch holds one partition's")
        if any(a.offset >= b.offset for a, b in pairwise(rows)):
            raise ValueError("Batch.of: the records are not in offset order")
        topic, partition = (rows[0].topic, rows[0].partition) if rows else ("", 0)
        first, last = (rows[0].offset, rows[-1].offset) if rows else (0, -1)
        return cls(rows, topic=topic, partition=partition, first_offset=first, last_offset=last, **about)

    def fail(self, record: Record, reason: object) -> None:
        """Reject one record for good: no retry; it is disposed of by `on_exhausted`, the rest may succeed.

        `reason` is text or an exception. Raises ValueError when the record is not of this batch, or has failed already
        (in an `on_failed` task).
        """
        if self.failures:
            raise ValueError(
                "batch.fail: the records of this batch have failed already. "
                'Remedy: return "dead_letter", "skip" or "stop" for each.'
            )
        if not self.first_offset <= record.offset <= self.last_offset or (
            (record.topic, record.partition) != (self.topic, self.partition)
        ):
            raise ValueError(
                f"batch.fail: record {record.topic}[{record.partition}] {record.offset} is not of this batch "
                f"({self.topic}[{self.partition}] {self.first_offset}..{self.last_offset})"
            )
        error = reason if isinstance(reason, BaseException) else None
        self._rejected[record.offset] = Rejected(record, _reason_text(reason), error)

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """What `fail` rejected, in offset order."""
        return tuple(self._rejected[offset] for offset in sorted(self._rejected))

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return self._records[index]

    def __repr__(self) -> str:
        place = f"{self.topic}[{self.partition}] {self.first_offset}..{self.last_offset}"
        return f"<Batch {place} ({count_text(len(self))})>"


def _reason_text(reason: object) -> str:
    if isinstance(reason, BaseException):
        return f"{type(reason).__name__}: {reason}"
    return str(reason)


@dataclass(frozen=True, slots=True)
class Retry:
    """How a batch that failed is tried again: in place, in order, its lane waiting.

    `max_attempts` counts the first try. The wait before attempt n+1 is `delay * factor**(n-1)` seconds, at most
    `max_delay` seconds, made up to `jitter` (a fraction) longer at random. An exception of a class in `give_up_on` is
    not tried again; with `retry_on`, only exceptions of its classes are. Raises ValueError on impossible values.
    """

    max_attempts: int = 5
    delay: float = 1.0
    max_delay: float = 60.0
    factor: float = 2.0
    jitter: float = 0.1
    give_up_on: tuple[type[BaseException], ...] = ()
    retry_on: tuple[type[BaseException], ...] | None = None

    def __post_init__(self) -> None:
        for name, low in (("max_attempts", 1), ("delay", 0), ("max_delay", 0), ("factor", 1), ("jitter", 0)):
            value = getattr(self, name)
            if value < low:
                raise ValueError(f"Retry({name}={value!r}): must be at least {low}")
        for name in ("give_up_on", "retry_on"):
            classes = getattr(self, name)
            if isinstance(classes, list):
                object.__setattr__(self, name, classes := tuple(classes))
            if classes is not None and not (isinstance(classes, tuple) and all(map(_is_exception, classes))):
                raise ValueError(f"Retry({name}={classes!r}): must be a tuple of exception classes, (KeyError,)")

    def tries_again(self, error: BaseException) -> bool:
        """Whether an attempt that ended with `error` is followed by another one."""
        if isinstance(error, self.give_up_on):
            return False
        return self.retry_on is None or isinstance(error, self.retry_on)

    def wait(self, attempts: int, roll: float) -> float:
        """Seconds to wait after `attempts` failed attempts; `roll` in 0..1 draws the jitter."""
        exponent = min(attempts - 1, 64)
        pause = min(self.delay * self.factor**exponent, self.max_delay)
        return float(pause * (1.0 + self.jitter * roll))


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


#: makes of a record what its tasks find in `record.data`
Decode = Callable[[Record], Any]

#: decides that a batch ends with this record: `close_batch(record, batch) -> bool`; `batch` ends with `record`
ClosePredicate = Callable[[Record, Sequence[Record]], bool]


@dataclass(frozen=True, slots=True)
class PipelineRules:
    """What the core must know of a pipeline; durations in seconds, sizes in bytes. `on_failed` names the task that
    decides what is done with a record that is given up; without one `on_exhausted` does. `{topic}` in
    `dead_letter_topic` stands for the record's topic."""

    name: str
    tasks: tuple[str, ...] = ("",)
    batch_size: int = 100
    batch_bytes: int = 1_000_000
    batch_timeout: float = 1.0
    close_batch: ClosePredicate | None = None
    order_by: str = "partition"
    lanes: int = 1
    retry: Retry = field(default_factory=Retry)
    link_timeout: float = 300.0
    max_batches_per_chain: int = 16
    train_target: float = 0.05
    on_exhausted: Action = "dead_letter"
    on_failed: str = ""
    dead_letter_topic: str = "{topic}.dlq"

    def dead_letters_of(self, topic: str) -> str:
        """Where the dead letters of a topic go."""
        return self.dead_letter_topic.replace("{topic}", topic)

    @property
    def links(self) -> int:
        """How many links a chain of this pipeline has."""
        return len(self.tasks)

    @property
    def rule(self) -> str:
        """The lane rule as the ledger names it: `partition`, or `key:<lanes>`."""
        return "partition" if self.order_by == "partition" else f"key:{self.lanes}"
