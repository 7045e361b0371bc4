"""What must come of each cell of the failure table, from the rules as the documentation tells them; it knows nothing of
the product's code.

A chain runs link by link. What lies before the record that failed goes on; it and what follows wait for the next
attempt, which begins with link 1. A batch that fails without naming a record is, out of attempts, halved until the bad
record stands alone. A record that is given up becomes a dead letter; then the rest of its batch goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.integration.failure_cells import BATCH_SIZE, MAX_ATTEMPTS, RECORDS, Cell


@dataclass(frozen=True, slots=True)
class Call:
    """A task is called with records: the link's number, their offsets, the attempt, and the RecordTasks before it."""

    link: int
    offsets: tuple[int, ...]
    attempt: int
    data: tuple[int, ...]


@dataclass(slots=True)
class Story:
    """What one cell does. While it is held, at the bad record's second attempt or before its dead letter, `held` is
    what the lane has done and `held_at` what is committed; of a cell that is never held they are the end of it all."""

    lanes: list[list[Call]] = field(default_factory=list)
    held: list[Call] = field(default_factory=list)
    held_at: int = 0
    letter: Letter | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the record, its place in the last batch that the failing task got, how many chains carried it."""

    offset: int
    disposition: str
    index: int
    chains: int


def story_of(cell: Cell) -> Story:
    """The whole of it."""
    story = Story()
    for lane in range(cell.lanes):
        offsets = range(lane, RECORDS * cell.lanes, cell.lanes)
        calls: list[Call] = []
        story.lanes.append(calls)
        for first in range(0, RECORDS, BATCH_SIZE):
            batch = tuple(offsets[first : first + BATCH_SIZE])
            if cell.bad in batch:
                _Trouble(cell, calls, story).run(batch)
            else:
                calls += _chain(cell, batch, attempt=1, fails=False)
    if not story.held:
        story.held, story.held_at = story.lanes[0], len(cell.records)
    return story


class _Trouble:
    """The batch that has the bad record."""

    def __init__(self, cell: Cell, calls: list[Call], story: Story) -> None:
        self._cell, self._calls, self._story = cell, calls, story
        self._failed = 0

    def run(self, batch: tuple[int, ...]) -> None:
        """Until the record succeeds or is given up; then the rest of the batch."""
        cell, kind = self._cell, self._cell.shape.kind
        names = kind in ("record", "named")
        rest = tuple(offset for offset in batch if offset >= cell.bad) if names else batch
        self._fail(batch)
        if kind == "rejects":
            return self._give_up(batch, "rejected")
        if cell.way == "once":
            if cell.is_gated:
                self._hold(rest[0], _chain(cell, rest, attempt=2, fails=True))
            self._calls += _chain(cell, rest, attempt=2, fails=False)
            return None
        if cell.way == "always":
            for _ in range(MAX_ATTEMPTS - 1):
                self._fail(rest)
        last = rest if self._failed > 1 else batch
        if not names:
            last = self._find(batch)
        self._give_up(last, "exhausted")
        if after := tuple(offset for offset in batch if offset > cell.bad):
            # attempts count anew, but not while a batch is being split
            self._calls += _chain(cell, after, attempt=1 if names else self._failed + 1, fails=False)
        return None

    def _find(self, suspects: tuple[int, ...]) -> tuple[int, ...]:
        """Halve, in order, until the bad record is alone and has failed."""
        while True:
            half = suspects[: (len(suspects) + 1) // 2]
            if self._cell.bad not in half:
                self._calls += _chain(self._cell, half, attempt=self._failed + 1, fails=False)
                suspects = suspects[len(half) :]
                continue
            self._fail(half)
            if len(half) == 1:
                return half
            suspects = half

    def _fail(self, offsets: tuple[int, ...]) -> None:
        self._calls += _chain(self._cell, offsets, attempt=self._failed + 1, fails=True)
        self._failed += 1

    def _hold(self, at: int, more: Iterable[Call] = ()) -> None:
        """What is done so far, and of the second attempt what comes up to the bad record."""
        self._story.held, self._story.held_at = [*self._calls, *more], at

    def _give_up(self, last: Sequence[int], disposition: str) -> None:
        self._hold(self._cell.bad)
        self._story.letter = Letter(self._cell.bad, disposition, last.index(self._cell.bad), self._failed)


def _chain(cell: Cell, offsets: tuple[int, ...], *, attempt: int, fails: bool) -> Iterator[Call]:
    """The calls of one chain; `fails`: if it gets to the bad record."""
    shape = cell.shape
    data: tuple[int, ...] = ()
    for link in range(1, shape.links + 1):
        here = fails and link == shape.at
        given = (
            tuple(offset for offset in offsets if offset <= cell.bad) if here and shape.kind == "record" else offsets
        )
        if shape.is_record_task(link):
            yield from (Call(link, (offset,), attempt, data) for offset in given)
            data = (*data, link)
        else:
            yield Call(link, given, attempt, data)
        if here and shape.kind == "batch":
            return
        if here:
            offsets = tuple(o for o in offsets if o < cell.bad or (shape.kind == "rejects" and o != cell.bad))
        if not offsets:
            return
