"""`./run bench`: what Lanebridge costs, and how fast it is.

Without a subcommand all cases run of which windows are missing; what was measured before with the same code of the
bridge is kept (`.bench/results.jsonl`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from benchmarks.case import Case
from benchmarks.kept import Window, code_of_the_bridge, drop, keep, load
from benchmarks.page import page_cost
from benchmarks.results import Results
from benchmarks.runner import TRIES, Job, expected_s, quickened, run
from benchmarks.stack import ROOT
from benchmarks.suite import all_cases
from benchmarks.tables import KEYS, LATENCY, THROUGHPUT, listed, table
from benchmarks.throughput import SMOKE
from benchmarks.viewers import viewers_cost

#: of cases that do not work off a backlog
_COLUMNS = {"latency": LATENCY, "keys": KEYS}


@click.group(invoke_without_command=True)
@click.option("--quick", is_flag=True, help="A few cases, few windows, a tenth of the records; nothing is kept.")
@click.option("--smoke", is_flag=True, help="Two tiny cases: whether they are right, not how fast. Nothing is kept.")
@click.option("--fresh", is_flag=True, help="Forget what was kept of these cases.")
@click.option("--only", metavar="PREFIX", multiple=True, help="Cases whose name begins so; may be given again.")
@click.option("--list", "listed", is_flag=True, help="Name the cases, and how many windows of each are missing.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write all windows of these cases here, too.")
@click.pass_context
def bench(
    context: click.Context,
    *,
    quick: bool,
    smoke: bool,
    fresh: bool,
    only: tuple[str, ...],
    listed: bool,
    path: Path | None,
) -> None:
    """Benchmarks on real parts, which they start and stop themselves. Run them on a machine that does nothing else."""
    if context.invoked_subcommand is not None:
        return
    cases = SMOKE if smoke else [case for case in all_cases() if case.id.startswith(only or ("",))]
    if quick:
        cases = [quickened(case) for case in cases if case.quick]
    is_kept = not quick and not smoke
    if fresh and is_kept:
        drop(case.id for case in cases)
    if listed:
        _list(cases, is_kept)
    else:
        sys.exit(_run(cases, is_kept, path, tries=1 if smoke else TRIES))


def _list(cases: Sequence[Case], is_kept: bool) -> None:
    code, kept = code_of_the_bridge(), load() if is_kept else []
    wanted = _missing(cases, code, kept)
    for case in cases:
        click.echo(f"{case.id:45} {wanted[case.id]} of {case.windows} windows are missing")
    click.echo(f"about {expected_s(cases, wanted, kept) / 60:.0f} minutes")


def _missing(cases: Sequence[Case], code: str, kept: Sequence[Window]) -> dict[str, int]:
    there = Counter(window.case for window in kept if window.code == code)
    return {case.id: max(0, case.windows - there[case.id]) for case in cases}


def _run(cases: Sequence[Case], is_kept: bool, path: Path | None, tries: int) -> int:
    """The exit code: 0, 1 when a run was wrong, 130 when it was interrupted."""
    code, kept = code_of_the_bridge(), load() if is_kept else []
    names = {case.id for case in cases}
    found = [window for window in kept if window.code == code and window.case in names]

    def on_window(window: Window) -> None:
        found.append(window)
        if is_kept:
            keep(window)

    job = Job(_missing(cases, code, found), code, on_window, click.echo, tries, kept)
    minutes = expected_s(cases, job.wanted, kept) / 60
    click.echo(f"{sum(job.wanted.values())} windows, about {minutes:.0f} minutes; bridge {code}")
    try:
        run(cases, job)
        stopped = False
    except KeyboardInterrupt:
        stopped = True
    _show(cases, found)
    for words, said in (("WRONG", job.wrong), ("left out", job.left_out)):
        for name, why in said.items():
            click.echo(f"{words}: {name}: {why.splitlines()[0]}")
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    return 130 if stopped else 1 if job.wrong else 0


def _show(cases: Sequence[Case], windows: Sequence[Window]) -> None:
    for name in dict.fromkeys(case.id.partition("/")[0] for case in cases):
        ids = {case.id: case.id.partition("/")[2] for case in cases if case.id.startswith(f"{name}/")}
        own = [window for window in windows if window.case in ids]
        if own:
            columns = THROUGHPUT if all("cpu_ms" in window.figures for window in own) else _COLUMNS.get(name)
            click.echo(f"\n{name}\n{table(own, ids, columns) if columns else listed(own, ids)}")


@bench.command()
def report() -> None:
    """Write docs/performance.md's figures and pictures from what is kept."""
    from benchmarks.report import write  # matplotlib takes a second

    for path in write(Results(load())):
        click.echo(path.relative_to(ROOT))


bench.add_command(page_cost)
bench.add_command(viewers_cost)

if __name__ == "__main__":
    bench(prog_name="./run bench")
