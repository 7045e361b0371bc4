"""Tables of figures, as markdown that is also readable on a terminal: a line for each case, median with least and most
of its windows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.kept import Window, counted

#: figures that are points of a series, for pictures: memory of the bridge at so many millions of records, records per
#: second of each million
SERIES = re.compile(r"(rss_mib|rate)_[\d.]+")


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


#: columns of records that come one by one
LATENCY = (
    *(Column(f"start_{rank}_ms", f"start {rank}, ms", 1) for rank in ("p50", "p95", "p99", "max")),
    *(Column(f"committed_{rank}_ms", f"committed {rank}, ms", 1) for rank in ("p50", "p99")),
    Column("cores", "CPU, cores", 3),
    Column("others", "others, cores", 2, spread=False),
)
#: columns of lanes by key
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


def listed(windows: Sequence[Window], cases: Mapping[str, str]) -> str:
    """Markdown with a line for each figure of each case: for cases that have little in common."""
    rows = [["case", "figure", "median (least-most)", "windows"]]
    for case, name in cases.items():
        own = counted(windows, case)
        for figure in dict.fromkeys(figure for window in own for figure in window.figures):
            spread = spread_of(own, figure)
            if spread is not None and not SERIES.fullmatch(figure):
                rows.append([name, figure.replace("_", " "), shown(spread), _how_many(own)])
    return markdown(rows)


def shown(spread: Spread) -> str:
    """Median, least and most with as many digits as they deserve."""
    middle, *others = (
        f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in (spread.middle, spread.least, spread.most)
    )
    return f"{middle} ({'-'.join(others)})" if spread.least != spread.most else middle


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
