"""`./run faults`: cells on real parts; exit 0 when nothing is violated, else 1, what was, and how to run it again."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tests.faults import modules  # noqa: F401 - registers every cell
from tests.faults.cell import CELLS
from tests.faults.matrix import ROWS, in_order
from tests.faults.mutations import MUTATIONS
from tests.faults.results import Kept, Result
from tests.faults.running import Run, play, play_many
from tests.faults.table import page

#: a result is kept here when nothing else is said
RESULTS = Path(".faults")


@click.command()
@click.option("--cell", "names", multiple=True, type=click.Choice(sorted(CELLS)), help="Only this cell; repeatable.")
@click.option("--seed", type=int, help="The seed of what a cell draws; the clock's when left out.")
@click.option(
    "--mutation", type=click.Choice(sorted(MUTATIONS)), help="Break the product on purpose: 1 when a rule sees it."
)
@click.option("--matrix", is_flag=True, help="All rows of the matrix; what holds already is not run again.")
@click.option("--smoke", is_flag=True, help="The rows that CI plays, one seed each.")
@click.option("--seeds", default=3, show_default=True, help="With --matrix: how many runs of each row.")
@click.option("--jobs", default=2, show_default=True, help="With --matrix and --smoke: how many cells at a time.")
@click.option("--results", type=click.Path(path_type=Path), help="Keep the results here (--matrix: .faults).")
@click.option("--table", "show_table", is_flag=True, help="Print docs/fault-matrix.md from the kept results, and stop.")
@click.option("--list", "show", is_flag=True, help="Print `cell NAME` or `mutation NAME` a line, and stop.")
def main(
    names: tuple[str, ...],
    seed: int | None,
    mutation: str | None,
    matrix: bool,
    smoke: bool,
    seeds: int,
    jobs: int,
    results: Path | None,
    show_table: bool,
    show: bool,
) -> None:
    """Run fault cells on a real Kafka, a real Redis and real processes; all cells when none is named.

    \b
    ./run faults --cell bridge-sigkill            one cell
    ./run faults --cell matrix-01-bridge-kill --seed 7
    ./run faults --matrix --seeds 3               the whole matrix; goes on where it was stopped
    ./run faults --mutation commit-highest        a negative control

    With --mutation the exit code is 1 when the defect is caught, that is, when a rule that the defect must break is
    violated (the last line says which). It is 0 when it is not, also when something else fails or takes too long.
    """
    if show:
        click.echo("\n".join([f"cell {name}" for name in CELLS] + [f"mutation {name}" for name in MUTATIONS]))
        return
    # ended from outside, a cell still stops what it has started
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if show_table:
        click.echo(page(Kept(results or RESULTS), range(seeds)))
    elif matrix or smoke:
        rows = names or tuple(name for name, row in ROWS.items() if matrix or row.smoke)
        _many(in_order(rows, seeds if matrix else 1), Kept(results or RESULTS), jobs)
    elif mutation is not None:
        _broken(mutation, names, seed)
    else:
        _few(names, seed, results)


def _many(runs: list[Run], kept: Kept, jobs: int) -> None:
    if bad := play_many(runs, kept, jobs, click.echo):
        for name, number in bad:
            click.echo(f"violated: {name}; again: ./run faults --cell {name} --seed {number}")
        sys.exit(1)


def _broken(mutation: str, names: tuple[str, ...], seed: int | None) -> None:
    os.environ["FAULTS_MUTATION"] = mutation
    defect = MUTATIONS[mutation]
    wanted = ", ".join(sorted(defect.breaks, key=lambda rule: (len(rule), rule)))
    missed = []
    for result in _played(names or (defect.cell,), seed):
        caught = defect.caught(result.violations)
        again = f"again: ./run faults --mutation {mutation} --cell {result.cell} --seed {result.seed}"
        if caught:
            click.echo(f"caught: {caught[0].splitlines()[0]}; {again}")
        else:
            click.echo(f"NOT CAUGHT: nothing of {wanted} is violated; {again}")
            missed.append(result.cell)
    sys.exit(0 if missed else 1)


def _few(names: tuple[str, ...], seed: int | None, results: Path | None) -> None:
    failed = []
    for result in _played(names or tuple(CELLS), seed):
        if results is not None:
            Kept(results).write(result)
        if result.violations:
            failed.append(f"--cell {result.cell} --seed {result.seed}")
    if failed:
        click.echo(f"violated; again: ./run faults {' '.join(failed)}")
        sys.exit(1)


def _played(names: tuple[str, ...], seed: int | None) -> Iterator[Result]:
    """The results of these cells, each shown when it is there."""
    for name in names:
        drawn = seed if seed is not None else random.randrange(1000)
        click.echo(f"{name}: {' '.join((CELLS[name].__doc__ or '').split())}")
        result = play(name, drawn)
        _show(result)
        yield result


def _show(result: Result) -> None:
    for figure, value in result.figures.items():
        click.echo(f"  {figure.replace('_', ' ')}: {value}")
    for violation in result.violations[:20]:
        click.echo(f"  VIOLATED: {violation}")
    click.echo(f"  {'violated' if result.violations else 'holds'}, {result.seconds:.0f} s")


main()
