"""The lanes as a table for people, worst first, and their sum in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from bridge.cli.logs import one_line
from bridge.core.view import LaneState
from bridge.core.words import span
from bridge.ops.state import WORST_FIRST, Lane, State

#: state -> its colour
STYLES: dict[LaneState, str] = {
    "stopped": "bold red",
    "stalled": "red",
    "paused": "magenta",
    "retrying": "yellow",
    "adopting": "cyan",
    "running": "green",
    "filling": "green",
    "idle": "dim",
}

_ORDER = {name: index for index, name in enumerate(WORST_FIRST)}

#: below this width the reason would have no room beside all columns
_NARROW = 130


def worst_first(lanes: tuple[Lane, ...]) -> list[Lane]:
    """By state, then by age and number of what waits."""
    return sorted(lanes, key=lambda lane: (_ORDER[lane.state], -(lane.lag_seconds or 0.0), -(lane.lag or 0)))


def sum_line(state: State, group: str) -> str:
    """How many there are of everything, and how far behind they are."""
    counts = Counter(lane.state for lane in state.lanes)
    states = ", ".join(f"{counts[name]} {name}" for name in WORST_FIRST if counts[name])
    lag = sum(partition.lag or 0 for partition in state.partitions)
    oldest = max((lane.lag_seconds or 0.0 for lane in state.lanes), default=0.0)
    return (
        f"Group {group}: {_count(len(state.bridges), 'bridge')}, {_count(len(state.partitions), 'partition')}, "
        f"{_count(len(state.lanes), 'lane')}{f' ({states})' if states else ''}; "
        f"lag {_count(lag, 'record')}, oldest {span(oldest)}"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def lane_table(state: State, width: int) -> Table:
    """A row per lane; `width` in characters decides how many columns there are."""
    columns = COLUMNS if width >= _NARROW else tuple(column for column in COLUMNS if column.always)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.name, justify="right" if column.is_number else "left", no_wrap=True)
    table.add_column("WHY", ratio=1, overflow="fold")
    for lane in worst_first(state.lanes):
        table.add_row(*(column.cell(lane) for column in columns), one_line(lane.reason))
    return table


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a narrow terminal shows those that are there `always`."""

    name: str
    cell: Callable[[Lane], str | Text]
    is_number: bool = True
    always: bool = False


def _age(lane: Lane) -> str:
    if lane.lag_seconds is None:
        return "?"
    return span(lane.lag_seconds) if lane.lag_seconds else "-"


COLUMNS = (
    Column("LANE", lambda lane: one_line(f"{lane.topic}[{lane.partition}] {lane.lane}"), is_number=False, always=True),
    Column("STATE", lambda lane: Text(lane.state, style=STYLES[lane.state]), is_number=False, always=True),
    Column("LAG", lambda lane: _number(lane.lag), always=True),
    Column("AGE", _age, always=True),
    Column("COMMITTED", lambda lane: _number(lane.committed)),
    Column("END", lambda lane: _number(lane.end)),
    Column("BUFFERED", lambda lane: _number(lane.buffered)),
    Column("TRY", lambda lane: str(lane.attempt or "-")),
    Column("QUEUE", lambda lane: lane.queue, is_number=False),
)


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
