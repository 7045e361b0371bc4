"""The table of the matrix, from the results that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from tests.faults.matrix import ROWS
from tests.faults.results import Kept, Result


def table(kept: Kept, seeds: Sequence[int]) -> str:
    """Markdown: one line per row, its runs put together; rows that were not run are named."""
    head = ["#", "what is done", "runs", "records", "lost", "repeated", "order, overlap", "longest recovery", "run"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in sorted(ROWS.values(), key=lambda row: (row.number, row.name)):
        found = kept.all([row.name], seeds)
        lines.append(_line([str(row.number), row.what, *_cells(found)]))
    return "\n".join(lines)


def _cells(found: Sequence[Result]) -> list[str]:
    if not found:
        return ["not run"] + [""] * 6
    bad = sum(bool(result.violations) for result in found)
    return [
        f"{len(found)}, **{bad} violated**" if bad else str(len(found)),
        _sum(result.figures.get("records handled") for result in found),
        _sum(result.figures.get("lost") for result in found),
        _sum(result.figures.get("repeated") for result in found),
        _sum(result.figures.get("order and overlap") for result in found),
        _most(result.figures.get("longest recovery (s)") for result in found),
        f"{median(result.seconds for result in found):.0f} s",
    ]


def _numbers(values: Iterable[object]) -> list[float]:
    return [value for value in values if isinstance(value, int | float)]


def _sum(values: Iterable[object]) -> str:
    found = _numbers(values)
    return f"{sum(found):,.0f}" if found else ""


def _most(values: Iterable[object]) -> str:
    found = _numbers(values)
    return f"{max(found):.1f} s" if found else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
