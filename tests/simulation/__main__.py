"""`./run simulate`: random histories of the whole system; exit 0 when nothing is violated, else 1, what was, and how
to see it again."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice

import click

from tests.simulation import covering
from tests.simulation.history import History, tell
from tests.simulation.mixes import MIXES
from tests.simulation.mutations import MUTATIONS
from tests.simulation.runner import Totals, examine_all

#: histories in a run of all mixes: more than 1,000,000 steps, and every row of the core's tables is taken
SEEDS = 2240
#: so many red histories say enough
ENOUGH = 5
#: seconds between two lines of progress
PROGRESS = 10.0

KINDS = sorted(frozenset[str]().union(*(mix.faults for mix in MIXES.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    seeds: int | None
    hours: float | None
    mix: str | None
    seed: int | None
    trace: bool
    mutation: str | None
    without: tuple[str, ...]
    chaos: float | None
    bridges: int | None
    partitions: int | None
    jobs: int
    coverage: bool

    @property
    def mixes(self) -> list[str]:
        """One, or all."""
        mix = self.mix or (MUTATIONS[self.mutation].mix if self.mutation else None)
        return list(MIXES) if mix is None else [mix]

    @property
    def histories(self) -> Iterator[History]:
        """The first seed of every mix, then the second of every mix, and so on."""
        dealt = (self.history(mix, seed) for seed in count(self.seed or 0) for mix in self.mixes)
        if self.hours is not None:
            return for_so_long(dealt, self.hours * 3600)
        return islice(dealt, self.seeds or (SEEDS if self.seed is None else len(self.mixes)))

    def history(self, mix: str, seed: int) -> History:
        """One, with what was asked for."""
        kinds = frozenset(self.without)
        return History(mix, seed, self.mutation or "", kinds, self.chaos, self.bridges, self.partitions)

    @property
    def is_whole(self) -> bool:
        """Nothing is left out: enough of it must take every row of the core's tables."""
        is_smaller = self.without or self.chaos is not None or self.bridges or self.partitions
        return not (self.mix or self.mutation or is_smaller)


def for_so_long(histories: Iterator[History], seconds: float) -> Iterator[History]:
    """These, until the time since the first is over."""
    deadline = time.monotonic() + seconds
    for history in histories:
        yield history
        if time.monotonic() > deadline:
            return


def _list(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        for name in MUTATIONS:
            click.echo(f"mutation {name}")
        context.exit()


@click.command()
@click.option("--seeds", type=click.IntRange(1), help=f"How many histories, dealt over the mixes in turn [{SEEDS}].")
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="Go on with new seeds for so long.")
@click.option("--mix", type=click.Choice(list(MIXES)), help="Only this mix of faults.")
@click.option("--seed", type=click.IntRange(0), help="The first seed; without --seeds the only one of each mix.")
@click.option("--trace", is_flag=True, help="Print all that happens in one history.")
@click.option("--mutation", type=click.Choice(list(MUTATIONS)), metavar="NAME", help="Put a defect in.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Name the mutations.")
@click.option("--without", multiple=True, type=click.Choice(KINDS), metavar="KIND", help="Drop a kind of fault.")
@click.option("--chaos", type=click.FloatRange(0), help="Virtual seconds with faults.")
@click.option("--bridges", type=click.IntRange(1), help="Bridges at the start.")
@click.option("--partitions", type=click.IntRange(1), help="Partitions at the start.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes [one for each core].")
@click.option("--coverage", is_flag=True, help="Print every row of the core's tables, and how often it was taken.")
def main(**given: object) -> None:
    """The real core in a simulated world: each history draws its faults from one seed, and every promise is checked
    after every step. Exit 1 when one is broken, with the smallest history found that breaks it.

    \b
    ./run simulate                              all mixes, as in CI
    ./run simulate --hours 0.5                  new seeds for half an hour
    ./run simulate --mix everything --seed 7    one history
    ./run simulate --mutation NAME              a defect, which must be found
    """
    options = Options(**given)  # type: ignore[arg-type]
    # ended from outside, the processes of the run end too
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(_trace(options) if options.trace else _run(options))


def _trace(options: Options) -> int:
    if len(options.mixes) > 1 or options.seeds or options.hours:
        raise click.UsageError("--trace prints one history: give it a --mix and a --seed, no --seeds or --hours")
    history = options.history(options.mixes[0], options.seed or 0)
    trace: list[str] = []
    ending = tell(history, trace)
    for line in trace:
        click.echo(line)
    click.echo(f"{history.mix} {history.seed}: {ending.steps:,} steps, {ending.violation or 'every promise is kept'}")
    if ending.violation:
        click.echo(f"replay: {history.command}")
    return 1 if ending.violation else 0


def _run(options: Options) -> int:
    if options.seeds and options.hours:
        raise click.UsageError("--seeds and --hours exclude each other: one counts histories, the other time")
    totals, was_ended = Totals(), False
    enough = 1 if options.mutation else ENOUGH
    try:
        with closing(examine_all(options.histories, options.jobs)) as all_found:
            printed = totals.began
            for found in all_found:
                totals.add(found)
                if len(totals.red) >= enough:
                    break
                if time.monotonic() - printed > PROGRESS:
                    printed = time.monotonic()
                    click.echo(totals.line, err=True)
    except KeyboardInterrupt:
        was_ended = True
        click.echo("ended by Ctrl-C", err=True)
    is_short = totals.histories.total() < SEEDS or was_ended or bool(totals.red)
    missing = [] if is_short or not options.is_whole else covering.never_taken(totals.tally)
    _report(totals, options, missing)
    return 1 if totals.red or missing else 130 if was_ended else 0


def _report(totals: Totals, options: Options, missing: list[str]) -> None:
    for mix, histories in totals.histories.items():
        click.echo(f"  {mix:24} {histories:6,} seeds {totals.steps[mix]:12,} steps {totals.reds[mix]:3} red")
    if options.coverage:
        for line in covering.table(totals.tally):
            click.echo(line)
    for red in totals.red:
        click.echo(f"VIOLATED {red.history.mix} {red.history.seed}: {red.violation}\nreplay: {red.history.command}")
    for row in missing:
        click.echo(f"NEVER TAKEN {row}")
    click.echo(covering.summary(totals.tally))
    click.echo(totals.line)


if __name__ == "__main__":
    main()
