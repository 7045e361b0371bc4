"""The audit list as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich import box
from rich.table import Table

from bridge.cli.lanes_page import plain_console
from bridge.cli.logs import one_line
from bridge.instructions import AuditLine

_HEAD = ("TIME (UTC)", "WHO", "ACTION", "TARGET", "RECORD")


def print_lines(lines: Sequence[AuditLine], group: str) -> None:
    """Write the table to standard output, or say that there is nothing."""
    console = plain_console()
    if not lines:
        console.print(f"Nobody has paused, resumed, retried or skipped anything of group {group}.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in _HEAD:
        table.add_column(name, justify="right" if name == "RECORD" else "left", overflow="fold")
    table.add_column("RESULT", ratio=1, overflow="fold")
    for line in lines:
        when = datetime.fromtimestamp(line.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        cells = (
            when,
            line.who,
            line.action,
            line.target,
            "-" if line.offset == -1 else str(line.offset),
            _result(line),
        )
        table.add_row(*map(one_line, cells))
    console.print(table)


def _result(line: AuditLine) -> str:
    """What came of it; an operator's own line shows the note."""
    result = line.result or ("asked for" if line.request else "done")
    return f"{result} ({line.note})" if line.note else result
