"""What must be true at the end, as pure functions of what the tasks printed and of the broker's offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.cli.demo.printed import Pair, PrintedBatch


@dataclass(frozen=True, slots=True)
class Scenario:
    """The guide's: the numbers "1", "2", ... as text, each in the partition `number mod partitions`."""

    topic: str
    messages: int
    partitions: int

    def partition_of(self, number: int) -> int:
        """Where a number goes."""
        return number % self.partitions

    def expected(self, partition: int) -> list[Pair]:
        """What the tasks must print of this partition, in order."""
        return [(str(n), 2 * n) for n in range(partition or self.partitions, self.messages + 1, self.partitions)]


@dataclass(frozen=True, slots=True)
class Offsets:
    """What the broker says: the group's committed offset (None: none) and the end of the partition's log."""

    committed: int | None
    end: int

    @property
    def lag(self) -> int | None:
        """LAG as the stock tool shows it (None: "-")."""
        return None if self.committed is None else self.end - self.committed


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """A row of the table; `problems` are sentences, empty when every check held."""

    partition: int
    records: int
    in_order: bool
    triggers: Counter[str]
    workers: tuple[str, ...]
    offsets: Offsets
    problems: list[str] = field(default_factory=list)


def judge(
    scenario: Scenario, batches: Iterable[PrintedBatch], offsets: Mapping[int, Offsets]
) -> tuple[PartitionReport, ...]:
    """One report for each partition, from every `Got batch` line and the broker's offsets."""
    printed: dict[int, list[PrintedBatch]] = {number: [] for number in range(scenario.partitions)}
    for batch in batches:
        if batch.topic == scenario.topic:
            printed[batch.partition].append(batch)
    return tuple(_report(scenario, number, printed[number], offsets[number]) for number in printed)


def _report(scenario: Scenario, number: int, batches: Sequence[PrintedBatch], offsets: Offsets) -> PartitionReport:
    pairs = [pair for batch in batches for pair in batch.pairs]
    expected = scenario.expected(number)
    texts = [text for text, _ in pairs]
    in_order = texts == [text for text, _ in expected] and _follow_on(batches)
    workers = tuple(sorted({batch.worker for batch in batches}))
    problems = [
        *_wrong_results(pairs),
        *_wrong_records(texts, expected),
        *([] if in_order else ["its records were not handled once each in the order of their offsets"]),
        *_wrong_offsets(offsets, len(expected)),
        *([f"its batches ran on several workers: {', '.join(workers)}"] if len(workers) > 1 else []),
    ]
    where = f"{scenario.topic}[{number}]"
    return PartitionReport(
        partition=number,
        records=len(pairs),
        in_order=in_order,
        triggers=Counter(batch.trigger for batch in batches),
        workers=workers,
        offsets=offsets,
        problems=[f"{where}: {problem}" for problem in problems],
    )


def _follow_on(batches: Sequence[PrintedBatch]) -> bool:
    """Whether each batch begins where the one before it ended, the first one at offset 0."""
    expected = 0
    for batch in batches:
        if batch.first != expected or batch.last - batch.first + 1 != len(batch.pairs):
            return False
        expected = batch.last + 1
    return True


def _wrong_results(pairs: Sequence[Pair]) -> Iterator[str]:
    wrong = [(text, number) for text, number in pairs if number != 2 * int(text)]
    if wrong:
        yield f"{len(wrong)} results are not the double, first {wrong[0]}"


def _wrong_records(texts: Sequence[str], expected: Sequence[Pair]) -> Iterator[str]:
    counts = Counter(texts)
    wanted = Counter(text for text, _ in expected)
    for what, difference in (("not handled", wanted - counts), ("handled too often", counts - wanted)):
        if difference:
            yield f'{difference.total()} records {what}, first "{next(iter(difference))}"'


def _wrong_offsets(offsets: Offsets, produced: int) -> Iterator[str]:
    if offsets.end != produced:
        yield f"the log ends at {offsets.end}, but {produced} records were produced"
    if offsets.committed != offsets.end:
        yield f"committed is {offsets.committed}, the log ends at {offsets.end}"
