"""Tables of figures, as markdown that is also readable on a terminal: a line for each case, median with least and most
of its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.kept import Window, counted


@dataclass(frozen=True, slots=True)
class Column:
    """A figure, its head, digits behind the point, and whether least and most stand beside the median."""

    figure: str
    head: str
    digits: int = 0
    spread: bool = True


#: columns of everything that works off a backlog
THROUGHPUT = (
    Column("rate", "records/s"),
    Column("cpu_ms", "CPU ms per 1,000", 2),
    Column("bridge_us", "bridge us", 2, spread=False),
    Column("workers_us", "workers us", 2, spread=False),
    Column("redis_us", "Redis us", 2, spread=False),
    Column("rss_mib", "bridge MiB", 0, spread=False),
    Column("others", "others, cores", 2, spread=False),
)


LATENCY = (
    *(Column(f"start_{rank}_ms", f"start {rank}, ms", 1) for rank in ("p50", "p95", "p99", "max")),
    *(Column(f"committed_{rank}_ms", f"committed {rank}, ms", 1) for rank in ("p50", "p99")),
    Column("cores", "CPU, cores", 3),
    Column("others", "others, cores", 2, spread=False),
)
KEYS = (
    Column("rate", "records/s"),
    Column("lanes", "lanes", spread=False),
    Column("batch", "batch_size", spread=False),
    Column("cores", "CPU, cores", 2),
    Column("others", "others, cores", 2, spread=False),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of some values."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(median(values), min(values), max(values))


def spread_of(windows: Sequence[Window], figure: str) -> Spread | None:
    """Over the windows that have the figure; None if none has."""
    values = [window.figures[figure] for window in windows if figure in window.figures]
    return Spread.of(values) if values else None


def columns_of(windows: Sequence[Window]) -> tuple[Column, ...]:
    """For any other table: every figure there is, in the order in which they first come."""
    names = dict.fromkeys(name for window in windows for name in window.figures)
    return tuple(Column(name, _head(name), _digits(windows, name)) for name in names)


def _head(name: str) -> str:
    return name.replace("_", " ")


def _digits(windows: Sequence[Window], name: str) -> int:
    most = max(abs(window.figures[name]) for window in windows if name in window.figures)
    return 0 if most >= 100 else 1 if most >= 10 else 3 if most < 1 else 2


def table(
    windows: Sequence[Window], cases: Mapping[str, str], columns: Sequence[Column], compared_with: str = ""
) -> str:
    """Markdown with a line for each case, which is called so. A case without windows is left out. `compared_with`: the
    case of whose rate all others are a share, if it was measured."""
    base = spread_of(counted(windows, compared_with), "rate")
    rows = [["", *(column.head for column in columns), *(["of bare"] if base else []), "windows"]]
    for case, name in cases.items():
        if own := counted(windows, case):
            cells = [_cell(spread_of(own, column.figure), column) for column in columns]
            shares = [_share(spread_of(own, "rate"), base)] if base else []
            rows.append([name, *cells, *shares, _how_many(own)])
    return markdown(rows)


def _share(spread: Spread | None, base: Spread) -> str:
    return "" if spread is None else f"{spread.middle / base.middle:.2f}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the head; figures stand at the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(cells)} |"


def _cell(spread: Spread | None, column: Column) -> str:
    if spread is None:
        return ""
    middle, least, most = (f"{value:,.{column.digits}f}" for value in (spread.middle, spread.least, spread.most))
    return f"{middle} ({least}-{most})" if column.spread and least != most else middle


def _how_many(windows: Sequence[Window]) -> str:
    noisy = sum(window.noisy for window in windows)
    return f"{len(windows)}, {noisy} noisy" if noisy else str(len(windows))
