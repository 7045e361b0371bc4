"""Writes the figures and pictures of docs/performance.md from what is kept: `./run bench report`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks import plots
from benchmarks.anchors import BROADWAY, NOTE
from benchmarks.model import fit
from benchmarks.pages import renewed
from benchmarks.results import Results
from benchmarks.runner import NOISY, TRIES
from benchmarks.stack import ROOT
from benchmarks.suite import all_cases, all_goals
from benchmarks.tables import KEYS, LATENCY, THROUGHPUT, Column, listed, markdown, shown, table
from benchmarks.throughput import BATCHES, name_of

PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"

_NOTHING = "Not measured yet: `./run bench`."
_BARE = "comparison/bare"

#: pictures by the part of the page that shows them, and what is said to who does not see them
_PLOTS: Mapping[str, tuple[Callable[[Results], Figure | None], str]] = {
    "throughput": (plots.batches, "Records per second and processor time against the size of a batch"),
    "model": (plots.model, "Microseconds per record against the size of a batch, measured and fitted"),
    "partitions": (plots.partitions, "Records per second and processor time against the number of partitions"),
    "workers": (plots.workers, "Records per second and processor time with other workers"),
    "comparison": (plots.comparison, "Records per second and processor time of Lanebridge and others"),
    "keys": (plots.keys, "Records per second against the number of keys, beside what Parallel Consumer publishes"),
    "behaviour": (plots.long_run, "Memory of the bridge and records per second over 5,000,000 records"),
}


def write(results: Results) -> list[Path]:
    """Renew the page and its pictures; what was written. Raises ValueError when the page lacks a part."""
    written = [PAGE]
    parts = {name: partial(make, results) for name, make in PARTS.items()}
    for name, (draw, words) in _PLOTS.items():
        if (figure := draw(results)) is not None:
            written.append(_save(figure, name))
            parts[name] = partial(_with_picture, name, words, parts[name])
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), parts), encoding="utf-8")
    return written


def _save(figure: Figure, name: str) -> Path:
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"{name}.svg"
    figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))
    return path


def _with_picture(name: str, words: str, make: Callable[[], str]) -> str:
    return f"![{words}]({PICTURES.name}/{name}.svg)\n\n{make()}"


def _about(results: Results) -> str:
    windows = [window for case in all_cases() for window in results.of(case.id)]
    if not windows:
        return _NOTHING
    codes, machines = _different(window.code for window in windows), _different(window.machine for window in windows)
    days = [window.at[:10] for window in windows]
    cases, noisy = len({window.case for window in windows}), sum(window.noisy for window in windows)
    when = min(days) if min(days) == max(days) else f"{min(days)} to {max(days)}"
    return (
        f"{len(windows)} windows of {cases} cases, measured {when} on {machines}, with `bridge/` at {codes}. Beside "
        f"{noisy} of the windows other processes took more than {NOISY} of a core, {TRIES} times in a row."
    )


def _different(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _goals(results: Results) -> str:
    rows = [["case", "figure", "goal", "median (least-most)", "reached"]]
    for goal in all_goals():
        if (spread := results.spread(goal.case, goal.figure)) is not None:
            rows.append(
                [goal.case, goal.figure, str(goal), shown(spread), "yes" if goal.is_reached(spread.middle) else "no"]
            )
    return markdown(rows) if len(rows) > 1 else _NOTHING


def _throughput(results: Results) -> str:
    cases = [*(name_of(batch, links) for links in (1, 2, 3) for batch in BATCHES), _BARE]
    names = {case: case.partition("/")[2].replace("-", " ") for case in cases}
    return table(results.windows, names, THROUGHPUT, _BARE) if results.measured(cases) else _NOTHING


def _model(results: Results) -> str:
    rows = [["links", "part", "a: us per record", "b: us per batch", "worst error"]]
    for links in (1, 2, 3):
        batches = [batch for batch in BATCHES if results.of(name_of(batch, links))]
        if len(batches) < 2:
            continue
        for figure, part in (
            ("bridge_us", "bridge"),
            ("workers_us", "workers"),
            ("redis_us", "Redis"),
            ("cpu_ms", "all"),
        ):
            points = [(float(batch), results.median(name_of(batch, links), figure)) for batch in batches]
            fitted = fit(points)
            error = f"{100 * fitted.worst_error(points):.0f} %"
            rows.append([str(links), part, f"{fitted.a:.2f}", f"{fitted.b:.1f}", error])
    return markdown(rows) if len(rows) > 1 else _NOTHING


def _comparison(results: Results) -> str:
    cases = [*(name_of(batch, 1) for batch in (100, 500, 1000, 5000)), *_cases("comparison")]
    names = {
        case: f"Lanebridge, {case.partition('/')[2]}" if case.startswith("throughput/") else case.partition("/")[2]
        for case in cases
    }
    anchors = [["", "records/s", "CPU ms per 1,000"]]
    anchors += [[anchor.name, f"{anchor.rate:,.0f}", f"{anchor.cpu_ms}"] for anchor in BROADWAY]
    measured = table(results.windows, names, THROUGHPUT, _BARE) if results.measured(cases) else _NOTHING
    return f"{measured}\n\n{NOTE}\n\n{markdown(anchors)}"


def _of_backlogs(first: str, beside: Mapping[str, str], results: Results) -> str:
    """A table of all cases whose names begin so, with others `beside` them."""
    cases = {**beside, **{case: case.partition("/")[2].replace("-", " ") for case in _cases(first)}}
    return table(results.windows, cases, THROUGHPUT) if results.measured(_cases(first)) else _NOTHING


def _of(first: str, columns: Sequence[Column], results: Results) -> str:
    """A table with these figures of all cases whose names begin so."""
    names = {case: case.partition("/")[2].replace("-", " ") for case in _cases(first)}
    return table(results.windows, names, columns) if results.measured(names) else _NOTHING


def _listed(first: str, results: Results) -> str:
    """Cases that have little in common: a line for each figure. What is a series is in the picture."""
    names = {case: case.partition("/")[2].replace("-", " ") for case in _cases(first)}
    return listed(results.windows, names) if results.measured(names) else _NOTHING


def _cases(first: str) -> list[str]:
    return [case.id for case in all_cases() if case.id.startswith(f"{first}/")]


_TWO_SOLO = {name_of(100, 1): "2 solo batch 100", name_of(1000, 1): "2 solo batch 1000"}

#: the parts of the page
PARTS: Mapping[str, Callable[[Results], str]] = {
    "about": _about,
    "goals": _goals,
    "throughput": _throughput,
    "model": _model,
    "trains": partial(_of_backlogs, "trains", {name_of(100, 1): "16 (default)"}),
    "workers": partial(_of_backlogs, "workers", _TWO_SOLO),
    "partitions": partial(
        _of_backlogs, "partitions", {name_of(100, 1): "12 batch 100", name_of(1000, 1): "12 batch 1000"}
    ),
    "bridges": partial(_of_backlogs, "bridges", {name_of(100, 1): "1"}),
    "compression": partial(_of_backlogs, "compression", {name_of(1000, 1): "100 bytes batch 1000 none"}),
    "comparison": _comparison,
    "latency": partial(_of, "latency", LATENCY),
    "keys": partial(_of, "keys", KEYS),
    "behaviour": partial(_listed, "behaviour"),
}
