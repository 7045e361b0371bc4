"""`./run faults`: cells on real parts; exit 0 when nothing is violated, else 1, what was, and how to run it again."""

from __future__ import annotations

import signal
import sys
import time

import click

from tests.faults import (
    cells,
    dead_letter_cells,
    deadline_cells,
    failure_cells,
    kafka_cells,
    memory_cells,
    outage_cells,
    queue_cells,
    rebalance_cells,
    rule_cells,
    zombie_cells,
)
from tests.faults.cell import CELLS, Report
from tests.faults.rig import Failed

#: the modules whose cells there are
MODULES = (
    cells,
    memory_cells,
    zombie_cells,
    rebalance_cells,
    kafka_cells,
    queue_cells,
    rule_cells,
    failure_cells,
    dead_letter_cells,
    outage_cells,
    deadline_cells,
)


@click.command()
@click.option("--cell", "names", multiple=True, type=click.Choice(sorted(CELLS)), help="Only this cell; repeatable.")
@click.option("--list", "show", is_flag=True, help="Print `cell NAME` a line, and stop.")
def main(names: tuple[str, ...], show: bool) -> None:
    """Run fault cells on a real Kafka, a real Redis and real processes; all cells when none is named."""
    if show:
        for name in CELLS:
            click.echo(f"cell {name}")
        return
    # ended from outside, a cell still stops what it has started
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    failed = [name for name in names or tuple(CELLS) if not _run(name)]
    if failed:
        click.echo(f"violated: {', '.join(failed)}; again: ./run faults --cell {' --cell '.join(failed)}")
        sys.exit(1)


def _run(name: str) -> bool:
    click.echo(f"{name}: {(CELLS[name].__doc__ or '').strip()}")
    began = time.monotonic()
    try:
        report = CELLS[name]()
    except Failed as error:
        report = Report({}, [str(error)])
    for figure, value in report.figures.items():
        click.echo(f"  {figure.replace('_', ' ')}: {value}")
    for violation in report.violations[:20]:
        click.echo(f"  VIOLATED: {violation}")
    click.echo(f"  {'violated' if report.violations else 'holds'}, {time.monotonic() - began:.0f} s")
    return not report.violations


main()
