"""The rows of the fault matrix: what each is called, what it does to a running system, and what may come of it.

A row is a function that gets a Stage with work under way and does its worst; afterwards everything must be finished and
committed, and the rules hold. Rows are cells too: `./run faults --cell matrix-01-bridge-kill --seed 2`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.cell import CELLS, Report
from tests.faults.stage import Setup, Stage

#: it gets a stage of the row's kind
Act = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the matrix. `number` is that of the fault in the table of the docs; `smoke`: CI plays it."""

    number: int
    name: str
    setup: Setup
    act: Act
    smoke: bool
    stage: type[Stage] = Stage

    @property
    def what(self) -> str:
        """What is done, in a sentence."""
        return " ".join((self.act.__doc__ or "").split())

    def play(self, seed: int) -> Report:
        """One run of the row."""
        with self.stage(self.setup, seed) as stage:
            stage.begin()
            self.act(stage)
            return stage.finish()


#: every row by the name of its cell
ROWS: dict[str, Row] = {}


def row(
    number: int, name: str, setup: Setup | None = None, *, smoke: bool = False, stage: type[Stage] = Stage
) -> Callable[[Act], Act]:
    """Make a function a row of the matrix, on a stage of that kind."""

    def add(act: Act) -> Act:
        made = Row(number, f"matrix-{number:02}-{name}", setup or Setup(), act, smoke, stage)

        def play(seed: int) -> Report:
            return made.play(seed)

        play.__doc__ = made.what
        ROWS[made.name] = made
        CELLS[made.name] = play
        return act

    return add


def in_order(names: Sequence[str], seeds: int) -> list[tuple[str, int]]:
    """Cells and seeds, what tells most first: each row once, then the first row of each number with its other seeds,
    then the others with theirs."""
    first = {row.number: row.name for row in reversed(ROWS.values())}.values()
    head = [name for name in names if name in first]
    tail = [name for name in names if name not in first]
    others = [(name, seed) for part in (head, tail) for seed in range(1, seeds) for name in part]
    return [(name, 0) for name in names] + others
