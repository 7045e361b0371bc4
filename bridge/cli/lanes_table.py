"""The lanes as a table for people: worst first, one line of sum above it."""

from __future__ import annotations

import sys
from collections import Counter

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.cli.logs import one_line
from bridge.core.view import LaneState
from bridge.core.words import span
from bridge.ops.state import Lane, State

#: state -> its colour, the states that need a person first
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

_ORDER = {name: index for index, name in enumerate(STYLES)}

#: columns of a table that is written to a file or a pipe
_PLAIN_WIDTH = 200


def print_lanes(state: State, group: str) -> None:
    """Write the table to standard output, or say that no bridge runs."""
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False, markup=False)
    if not state.bridges:
        console.print(
            f"No bridge of group {group} is running: none has published its state in the last seconds. "
            "Start one with: lanebridge run"
        )
        return
    console.print(_sum(state, group))
    for bridge in state.bridges:
        if bridge.trouble:
            console.print(f"Bridge {bridge.id}: {one_line(bridge.trouble)}", style="red")
    if state.lanes:
        console.print(_table(state))


def worst_first(lanes: tuple[Lane, ...]) -> list[Lane]:
    """By state, then by age and number of what waits."""
    return sorted(lanes, key=lambda lane: (_ORDER[lane.state], -(lane.lag_seconds or 0.0), -(lane.lag or 0)))


def _sum(state: State, group: str) -> str:
    counts = Counter(lane.state for lane in state.lanes)
    states = ", ".join(f"{counts[name]} {name}" for name in STYLES if counts[name])
    lag = sum(partition.lag or 0 for partition in state.partitions)
    oldest = max((lane.lag_seconds or 0.0 for lane in state.lanes), default=0.0)
    return (
        f"Group {group}: {_count(len(state.bridges), 'bridge')}, {_count(len(state.partitions), 'partition')}, "
        f"{_count(len(state.lanes), 'lane')}{f' ({states})' if states else ''}; "
        f"lag {_count(lag, 'record')}, oldest {span(oldest)}"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _table(state: State) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("LANE", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    for name in ("LAG", "AGE", "COMMITTED", "END", "BUFFERED", "TRY"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("QUEUE", no_wrap=True)
    table.add_column("WHY", ratio=1, overflow="fold")
    for lane in worst_first(state.lanes):
        table.add_row(*_row(lane))
    return table


def _row(lane: Lane) -> list[str | Text]:
    return [
        one_line(f"{lane.topic}[{lane.partition}] {lane.lane}"),
        Text(lane.state, style=STYLES[lane.state]),
        _number(lane.lag),
        "?" if lane.lag_seconds is None else span(lane.lag_seconds) if lane.lag_seconds else "-",
        _number(lane.committed),
        _number(lane.end),
        _number(lane.buffered),
        str(lane.attempt or "-"),
        lane.queue,
        one_line(lane.reason),
    ]


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
