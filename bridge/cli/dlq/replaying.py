"""Writes dead letters back to where their records were: in order, and each once.

Rules: a chunk of letters is written, acknowledged by the broker, and only then kept as done: what is interrupted in
between is written once more by the next run, and nothing else is. Of two runs at once the older one ends, after the
chunk that is under way (claim.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from confluent_kafka import KafkaError

from bridge.cli.dlq.letters import Filters, FoundLetter
from bridge.cli.dlq.progress import Pass, Progress, decode
from bridge.cli.dlq.reading import Advance
from bridge.errors import LanebridgeError
from bridge.kafka.dead_letter_headers import replayed_headers
from bridge.kafka.dead_letter_reading import DeadLetterReader, Kept, Run
from bridge.kafka.dead_letter_sending import AcknowledgedProducer, Outgoing
from bridge.kafka.dead_letters import explain_write
from bridge.kafka.errors import KafkaUnavailable
from bridge.kafka.profile import ConsumerSettings
from bridge.records import HEADERS, KEY, VALUE, TopicPartition


class ReplayStopped(LanebridgeError):
    """A replay could not go on; what it has written is remembered."""


class Verdict(StrEnum):
    """What is done with a letter."""

    REPLAYED = "replayed"
    NOT_CHOSEN = "not chosen"
    DONE_BEFORE = "done before"
    STUB = "stub"
    LIMIT = "limit"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for; `offsets` are of dead letters, [first, end)."""

    filters: Filters = field(default_factory=Filters)
    offsets: tuple[int, int | None] = (0, None)
    max_replays: int = 3
    again: bool = False
    dry_run: bool = False

    def over(self, first: int, upto: int) -> Pass:
        """The pass that this wish makes over some offsets."""
        return Pass(first, upto, self.filters, self.max_replays)


@dataclass(slots=True)
class Report:
    """What became of the letters, and where they went; `passed_over` counts the offsets that earlier runs with the same
    wish have gone through."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    targets: Counter[TopicPartition] = field(default_factory=Counter)
    passed_over: int = 0
    was_stopped: bool = False


@dataclass(slots=True)
class _Going:
    """One partition under way: the pass began at `first`, everything below `upto` is done; `has_written` says that this
    run has written something."""

    progress: Progress
    first: int
    upto: int
    has_written: bool = False

    def move(self, upto: int) -> int:
        """Everything below `upto` is done; gives by how much that is more than before."""
        before, self.upto = self.upto, max(self.upto, upto)
        return self.upto - before


class Replay:
    """Replays one dead letter topic after another; `partitions_of` tells how many partitions a topic has now.

    `stopping` is asked between two chunks.
    """

    def __init__(
        self,
        settings: ConsumerSettings,
        producer: AcknowledgedProducer,
        partitions_of: Callable[[str], int],
        wish: Wish,
        stopping: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._partitions_of = partitions_of
        self._wish = wish
        self._stopping = stopping
        self.report = Report()

    def plan(
        self, reader: DeadLetterReader, tps: tuple[TopicPartition, ...], topic_id: str
    ) -> tuple[dict[TopicPartition, _Going], dict[TopicPartition, tuple[int, int]]]:
        """Where each partition is taken up, and the ranges to read. Raises ProgressUnreadable, KafkaUnavailable."""
        going, ranges = dict[TopicPartition, _Going](), dict[TopicPartition, tuple[int, int]]()
        first, end = self._wish.offsets
        kept = reader.kept(tps)
        for tp, (low, high) in reader.bounds(tps).items():
            progress = decode(kept[tp], topic_id).from_offset(low)
            upto = high if end is None else min(high, end)
            begin = start = max(low, first)
            if not self._wish.again:
                start = progress.resume_at(begin, self._wish.over(begin, begin))
                self.report.passed_over += max(0, min(start, upto) - begin)
            if start < upto:
                going[tp], ranges[tp] = _Going(progress, start, start), (start, upto)
        return going, ranges

    def run(
        self,
        reader: DeadLetterReader,
        going: dict[TopicPartition, _Going],
        ranges: Mapping[TopicPartition, tuple[int, int]],
        check_claim: Callable[[], None],
        advance: Advance,
    ) -> None:
        """Go through the ranges. Raises ReplayStopped, ProgressFull, KafkaUnavailable, and what `check_claim` does,
        which is asked right before something is written."""
        for runs in reader.read(ranges):
            if runs:
                advance(self._chunk(reader, going, runs, check_claim))
            if self._stopping():
                self.report.was_stopped = True
                return

    def _chunk(
        self,
        reader: DeadLetterReader,
        going: dict[TopicPartition, _Going],
        runs: list[Run],
        check_claim: Callable[[], None],
    ) -> int:
        """Gives by how many offsets that went on."""
        chunk = _Chunk({run.tp: run.upto for run in runs})
        for run in runs:
            if run.tp not in chunk.stopped:
                self._sort(run, going[run.tp].progress, chunk)
        if chunk.letters and not self._wish.dry_run:
            self._check_room(going, chunk)
            check_claim()
            self._write(chunk)
        moved = sum(going[tp].move(upto) for tp, upto in chunk.upto.items())
        if not self._wish.dry_run:
            self._keep(reader, going, chunk)
        for letter in chunk.done():
            assert letter.about is not None
            self.report.targets[letter.about.tp] += 1
            self.report.verdicts[Verdict.REPLAYED] += 1
        if chunk.problem:
            raise ReplayStopped(chunk.problem)
        return moved

    def _sort(self, run: Run, progress: Progress, chunk: _Chunk) -> None:
        """The letters of a run that go back; a partition ends before one that cannot."""
        for row in run.rows:
            letter = FoundLetter.of(run.tp, row)
            verdict = self._judge(letter, progress)
            if verdict is not Verdict.REPLAYED:
                self.report.verdicts[verdict] += 1
            elif problem := self._nowhere(letter):
                chunk.stop(letter, problem)
                return
            else:
                chunk.letters.append(letter)

    def _judge(self, letter: FoundLetter, progress: Progress) -> Verdict:
        if not self._wish.filters.chooses(letter):
            return Verdict.NOT_CHOSEN
        if (about := letter.about) is None:
            return Verdict.FOREIGN
        if not self._wish.again and progress.has_done(letter):
            return Verdict.DONE_BEFORE
        if about.omitted:
            return Verdict.STUB
        return Verdict.LIMIT if about.replays >= self._wish.max_replays else Verdict.REPLAYED

    def _nowhere(self, letter: FoundLetter) -> str:
        """Why the letter has no place to go back to; "" it has."""
        assert letter.about is not None
        source = letter.about.tp
        count = self._partitions_of(source.topic)
        if source.partition < count:
            return ""
        what = f"has {count} partitions now" if count else "does not exist any more"
        tool = f"kafka-topics.sh --bootstrap-server {self._settings.bootstrap_servers}"
        wanted = source.partition + 1
        remedy = f"--alter --topic {source.topic}" if count else f"--create --topic {source.topic}"
        return (
            f"{_place(letter)} was {source}, and {source.topic} {what}: give it the partition again ({tool} {remedy} "
            f"--partitions {wanted}), or leave the letter out with --offsets or --source-topic"
        )

    def _check_room(self, going: Mapping[TopicPartition, _Going], chunk: _Chunk) -> None:
        """What is written must fit into what can be remembered."""
        for tp in {letter.tp for letter in chunk.letters}:
            over = self._wish.over(going[tp].first, chunk.upto[tp])
            going[tp].progress.with_pass(over).encode(chunk.upto[tp])

    def _write(self, chunk: _Chunk) -> None:
        fates = self._producer.send(list(map(_outgoing, chunk.letters)))
        for letter, error in zip(chunk.letters, fates, strict=True):
            if error is not None:
                chunk.stop(letter, self._refused(letter, error))

    def _refused(self, letter: FoundLetter, error: KafkaError) -> str:
        assert letter.about is not None
        why = explain_write(error, self._settings, letter.about.tp.topic)
        return f"{_place(letter)} cannot be written to {letter.about.tp}: {why}"

    def _keep(self, reader: DeadLetterReader, going: Mapping[TopicPartition, _Going], chunk: _Chunk) -> None:
        """Remember the pass over each partition of the chunk; one with filters only when it has written something: it
        would take the room of others."""
        for letter in chunk.done():
            going[letter.tp].has_written = True
        is_plain = self._wish.filters == Filters()
        states: dict[TopicPartition, Kept] = {}
        for tp in chunk.upto:
            part = going[tp]
            if is_plain or part.has_written:
                part.progress = part.progress.with_pass(self._wish.over(part.first, part.upto))
                states[tp] = part.progress.encode(part.upto)
        try:
            reader.keep(states)
        except KafkaUnavailable as error:
            raise ReplayStopped(
                f"what was written last could not be remembered, the next run writes it once more: {error}"
            ) from error


@dataclass(slots=True)
class _Chunk:
    """Letters that are written together, and how far each partition is done when they are."""

    upto: dict[TopicPartition, int]
    letters: list[FoundLetter] = field(default_factory=list)
    stopped: set[TopicPartition] = field(default_factory=set)
    problem: str = ""

    def done(self) -> Iterator[FoundLetter]:
        """The letters below what is done."""
        return (letter for letter in self.letters if letter.offset < self.upto[letter.tp])

    def stop(self, letter: FoundLetter, problem: str) -> None:
        """The partition is done only up to this letter."""
        self.upto[letter.tp] = min(self.upto[letter.tp], letter.offset)
        self.stopped.add(letter.tp)
        self.problem = self.problem or problem


def _outgoing(letter: FoundLetter) -> Outgoing:
    assert letter.about is not None
    row = letter.row
    return Outgoing(letter.about.tp, row[KEY], row[VALUE], replayed_headers(row[HEADERS]))


def _place(letter: FoundLetter) -> str:
    return f"dead letter {letter.tp} offset {letter.offset}"


#: a verdict on letters that stay, as a sentence's part
_LEFT = {
    Verdict.NOT_CHOSEN: "not chosen by the filters",
    Verdict.DONE_BEFORE: "replayed by an earlier run",
    Verdict.STUB: "refused: a stub, the record itself is not in the dead letter",
    Verdict.LIMIT: "refused: replayed {limit} times already (--max-replays)",
    Verdict.FOREIGN: "refused: it does not say which record it was",
}


def describe(report: Report, wish: Wish) -> Iterator[str]:
    """What was done, a line each."""
    count = report.verdicts[Verdict.REPLAYED]
    done = "would be replayed" if wish.dry_run else "replayed"
    yield f"{count:,} dead letter{'' if count == 1 else 's'} {done}{':' if count else '.'}"
    for tp, number in sorted(report.targets.items()):
        yield f"  {number:>8,}  to {tp}"
    for verdict, text in _LEFT.items():
        if number := report.verdicts[verdict]:
            yield f"{number:,} {text.format(limit=wish.max_replays)}"
    if report.passed_over:
        yield f"{report.passed_over:,} passed over: earlier runs have gone through them"
