"""Pictures of the figures. Each function gives a picture, or None while what it shows was not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.anchors import BROADWAY
from benchmarks.keys import PUBLISHED
from benchmarks.model import fit
from benchmarks.results import Results
from benchmarks.throughput import BATCHES, name_of

#: colours that are told apart by everybody (Okabe and Ito)
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_PARTS = (("bridge_us", "bridge"), ("workers_us", "workers"), ("redis_us", "Redis"))

mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "lanebridge",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": "#d0d7de",
        "axes.prop_cycle": cycler(color=_COLOURS),
    }
)


def _two(left: str, right: str) -> tuple[Figure, Axes, Axes]:
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    first, second = figure.subplots(1, 2)
    first.set_title(left, loc="left", fontsize=10)
    second.set_title(right, loc="left", fontsize=10)
    return figure, first, second


def _line(axes: Axes, results: Results, cases: Mapping[float, str], figure: str, label: str) -> None:
    """Medians, with bars from least to most."""
    found = [(at, spread) for at, case in cases.items() if (spread := results.spread(case, figure)) is not None]
    middles = [spread.middle for _, spread in found]
    bars = [[spread.middle - spread.least for _, spread in found], [spread.most - spread.middle for _, spread in found]]
    axes.errorbar([at for at, _ in found], middles, yerr=bars, marker="o", markersize=4, capsize=3, label=label)


def _stacks(axes: Axes, results: Results, cases: Mapping[str, str]) -> None:
    """Processor time of the parts on each other, for each case by its name."""
    places, bottoms = range(len(cases)), [0.0] * len(cases)
    for figure, label in _PARTS:
        heights = [results.median(case, figure) for case in cases]
        axes.bar(places, heights, 0.65, bottom=bottoms, label=label)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    for place, height in zip(places, bottoms, strict=True):
        axes.annotate(f"{height:.2f}", (place, height), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xticks(places, list(cases.values()))
    axes.set_ylim(0, max(bottoms) * 1.25)
    axes.set_ylabel("CPU us per record = ms per 1,000")
    axes.legend(frameon=False, ncols=len(_PARTS), loc="upper right")


def _scale(axes: Axes, values: Sequence[float], label: str) -> None:
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set_xlabel(label)


def _thousands(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
    axes.set_ylabel("records per second")


def batches(results: Results) -> Figure | None:
    """Throughput against the size of a batch, for chains of 1 to 3 links; processor time by part for one link."""
    one = {name_of(batch, 1): str(batch) for batch in BATCHES if results.of(name_of(batch, 1))}
    if len(one) < 2:
        return None
    figure, left, right = _two("Records per second (median, least to most)", "Processor time, one link")
    for links in (1, 2, 3):
        if results.measured(name_of(batch, links) for batch in BATCHES):
            cases = {float(batch): name_of(batch, links) for batch in BATCHES}
            _line(left, results, cases, "rate", f"{links} link{'s' * (links > 1)}")
    _scale(left, BATCHES, "batch_size")
    _thousands(left)
    left.legend(frameon=False)
    _stacks(right, results, one)
    right.set_xlabel("batch_size")
    return figure


def model(results: Results) -> Figure | None:
    """What a record costs against the size of a batch: measured, and as the model says."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for links, colour in zip((1, 2, 3), _COLOURS, strict=False):
        found = [
            (batch, results.median(case, "cpu_ms")) for batch in BATCHES if results.of(case := name_of(batch, links))
        ]
        if len(found) < 2:
            continue
        fitted = fit(found)
        label = f"{links} link{'s' * (links > 1)}: {fitted.a:.2f} + {fitted.b:.0f} / batch_size"
        sizes = [BATCHES[0] * (BATCHES[-1] / BATCHES[0]) ** (step / 60) for step in range(61)]
        axes.plot(sizes, [fitted.at(size) for size in sizes], color=colour, label=label)
        axes.plot(*zip(*found, strict=True), "o", color=colour)
    if not axes.lines:
        return None
    _scale(axes, BATCHES, "batch_size")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("CPU us per record, all parts")
    axes.legend(frameon=False)
    return figure


def partitions(results: Results) -> Figure | None:
    """Throughput and processor time against the number of partitions."""
    lines = {
        batch: {
            float(count): name_of(batch, 1) if count == 12 else f"partitions/{count}-batch-{batch}"
            for count in (1, 12, 100, 500)
        }
        for batch in (100, 1000)
    }
    if not all(results.of(case) for cases in lines.values() for case in cases.values()):
        return None
    figure, left, right = _two("Records per second (median, least to most)", "Processor time of all parts")
    for batch, cases in lines.items():
        _line(left, results, cases, "rate", f"batch_size={batch}")
        _line(right, results, cases, "cpu_ms", f"batch_size={batch}")
    for axes in (left, right):
        _scale(axes, (1, 12, 100, 500), "partitions")
        axes.legend(frameon=False)
    _thousands(left)
    right.set_ylim(bottom=0)
    right.set_ylabel("CPU us per record = ms per 1,000")
    return figure


def workers(results: Results) -> Figure | None:
    """Throughput and processor time with other workers, batch 100."""
    cases = {
        "workers/1-solo-batch-100": "1 solo",
        name_of(100, 1): "2 solo",
        "workers/4-solo-batch-100": "4 solo",
        "workers/2-threads-12-batch-100": "2 threads\n-c 12",
        "workers/2-prefork-2-batch-100": "2 prefork\n-c 2",
        "workers/procfile-batch-100": "Procfile\n(with -E)",
    }
    if len(results.measured(cases)) < len(cases):
        return None
    figure, left, right = _two("Records per second, batch_size=100", "Processor time")
    spreads = [spread for case in cases if (spread := results.spread(case, "rate")) is not None]
    bars = [[spread.middle - spread.least for spread in spreads], [spread.most - spread.middle for spread in spreads]]
    left.bar(range(len(cases)), [spread.middle for spread in spreads], 0.65, yerr=bars, capsize=3)
    left.set_xticks(range(len(cases)), list(cases.values()))
    _thousands(left)
    _stacks(right, results, cases)
    for axes in (left, right):
        axes.tick_params(axis="x", labelsize=8)
    return figure


def comparison(results: Results) -> Figure | None:
    """Everybody's records per second and processor time, on scales that grow tenfold."""
    ours = {name_of(batch, 1): f"Lanebridge, batch {batch}" for batch in (100, 500, 1000, 5000)}
    others = {
        "comparison/naive-record": "by hand: a task per record",
        "comparison/naive-batch-100": "by hand: a task per batch of 100",
        "comparison/naive-batch-1000": "by hand: a task per batch of 1,000",
        "comparison/arroyo-100": "arroyo, batch 100 (no workers)",
        "comparison/arroyo-1000": "arroyo, batch 1,000 (no workers)",
        "comparison/faststream-100": "faststream, batch 100 (no workers)",
        "comparison/faststream-1000": "faststream, batch 1,000 (no workers)",
        "comparison/bare": "bare consumer (no batches, no workers)",
    }
    found = [
        (name, results.median(case, "rate"), results.median(case, "cpu_ms"), colour)
        for cases, colour in ((others, _COLOURS[4]), (ours, _COLOURS[0]))
        for case, name in cases.items()
        if results.of(case)
    ]
    if not results.measured(ours) or not results.measured(others):
        return None
    rows = [*found, *((anchor.name, anchor.rate, anchor.cpu_ms, _COLOURS[1]) for anchor in BROADWAY)]
    figure, left, right = _two("Records per second", "CPU ms per 1,000 records (less is better)")
    figure.set_size_inches(9.6, 0.32 * len(rows) + 1.1)
    colours, places = [row[3] for row in rows], range(len(rows))
    for axes, values, form in ((left, [row[1] for row in rows], ",.0f"), (right, [row[2] for row in rows], ",.2f")):
        axes.barh(places, values, 0.7, color=colours)
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 3, max(values) * 6)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                format(value, form), (value, place), (3, 0), textcoords="offset points", va="center", fontsize=8
            )
    left.set_yticks(places, [row[0] for row in rows])
    right.set_yticks(places, [""] * len(rows))
    return figure


def keys(results: Results) -> Figure | None:
    """Records per second against the number of keys, beside published figures."""
    ours = {float(count): f"keys/{count}" for count in PUBLISHED}
    defaults = {
        float(count): f"keys/{count}-default-lanes" for count in PUBLISHED if results.of(f"keys/{count}-default-lanes")
    }
    if not results.measured(ours.values()):
        return None
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    _line(axes, results, ours, "rate", "Lanebridge, enough lanes")
    if defaults:
        _line(axes, results, defaults, "rate", "Lanebridge, 8 lanes (default)")
    axes.plot(list(PUBLISHED), list(PUBLISHED.values()), "s--", markersize=4, label="Parallel Consumer, as published")
    _scale(axes, list(PUBLISHED), "keys among 10,000 records of 0 to 5 ms, 16 at once")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("records per second")
    axes.legend(frameon=False)
    return figure


def long_run(results: Results) -> Figure | None:
    """Memory and throughput over one long run, each window a line."""
    windows = results.of("behaviour/until-idle")
    if not windows:
        return None
    figure, left, right = _two("Memory of the bridge, MiB (each line a window)", "Records per second of each million")
    for window in windows:
        for axes, prefix in ((left, "rss_mib_"), (right, "rate_")):
            found = {
                name.removeprefix(prefix): value for name, value in window.figures.items() if name.startswith(prefix)
            }
            axes.plot(
                [float(at) for at in found],
                list(found.values()),
                marker="o",
                markersize=3,
                color=_COLOURS[0],
                alpha=0.6,
            )
            axes.set_xlabel("millions of records")
    left.set_ylim(bottom=0)
    _thousands(right)
    return figure
