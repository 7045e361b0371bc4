"""Which rows of the core's tables a history takes, and how often: what was never taken was never tested.

While `counting` is on, the core looks its tables up in copies that count, and every event and effect passes by here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import TypeVar, get_args
from unittest.mock import patch

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core import failures, lane
from bridge.core.bridge import Core

K = TypeVar("K")
V = TypeVar("V")

#: table and row -> how often it was taken
Tally = Counter[tuple[str, object]]

ARROWS, KINDS = "arrows of a lane", "kinds of failure"
EVENTS, EFFECTS = "events", "effects"
COMMITS, DISPATCHES = "commit answers", "dispatch answers"

#: every row that a run must take
TABLES: Mapping[str, tuple[object, ...]] = {
    ARROWS: tuple(lane.TABLE),
    EVENTS: get_args(ev.Event),
    EFFECTS: get_args(ef.Effect),
    COMMITS: tuple(ev.CommitAnswer),
    DISPATCHES: tuple(ev.DispatchAnswer),
    KINDS: tuple(failures.COUNTED),
}


class Counted(dict[K, V]):
    """A table whose rows are counted as they are looked up. They stay where they are: a mutation of them counts."""

    def __init__(self, name: str, rows: dict[K, V], tally: Tally) -> None:
        super().__init__(rows)
        self._name, self._rows, self._tally = name, rows, tally

    def __getitem__(self, key: K) -> V:
        row = self._rows[key]
        self._tally[self._name, key] += 1
        return row


@contextmanager
def counting() -> Iterator[Tally]:
    """Count everything that cores do in this process until the context ends."""
    tally: Tally = Counter()
    with (
        patch.object(lane, "TABLE", Counted(ARROWS, lane.TABLE, tally)),
        patch.object(failures, "COUNTED", Counted(KINDS, failures.COUNTED, tally)),
        patch.object(Core, "handle", _counted(Core.handle, tally)),
    ):
        yield tally


def _counted(handle: Callable[[Core, ev.Event, float], list[ef.Effect]], tally: Tally) -> object:
    def counted(core: Core, event: ev.Event, now: float) -> list[ef.Effect]:
        tally[EVENTS, type(event)] += 1
        if isinstance(event, ev.CommitAnswered):
            tally.update((COMMITS, answer) for _, _, answer, _ in event.answers.values())
        elif isinstance(event, ev.Dispatched):
            tally[DISPATCHES, event.answer] += 1
        effects = handle(core, event, now)
        for effect in effects:
            tally[EFFECTS, type(effect)] += 1
        return effects

    return counted


def never_taken(tally: Tally) -> list[str]:
    """The rows that are not in the tally, in words."""
    return [f"{table}: {words(row)}" for table, rows in TABLES.items() for row in rows if not tally[table, row]]


def summary(tally: Tally) -> str:
    """One line: how many rows of each table were taken."""
    parts = [f"{sum(tally[name, row] > 0 for row in rows)} of {len(rows)} {name}" for name, rows in TABLES.items()]
    return f"tables: {', '.join(parts)}"


def table(tally: Tally) -> Iterator[str]:
    """A line for each row: how often it was taken."""
    for name, rows in TABLES.items():
        yield name
        for row in rows:
            yield f"  {tally[name, row]:>12,}  {words(row)}"


def words(row: object) -> str:
    """A row as a person reads it."""
    if isinstance(row, tuple):
        return " + ".join(words(part) for part in row)
    if isinstance(row, type):
        return row.__name__
    return row.name if isinstance(row, Enum) else str(row)
