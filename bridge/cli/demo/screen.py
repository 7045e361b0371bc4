"""What the demo shows: on a terminal a live display below the workers' lines, elsewhere plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bridge.cli.demo.checks import PartitionReport
from bridge.cli.demo.printed import PrintedBatch
from bridge.cli.demo.stage import Addresses

#: columns of a table that is written to a file or a pipe
_PLAIN_WIDTH = 120

#: columns of a line of a log
_LOG_WIDTH = 200

#: seconds between two plain lines of progress
_PLAIN_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records were produced, printed by the tasks, and committed, as the broker says."""

    produced: int = 0
    handled: int = 0
    committed: int = 0


class Screen:
    """Writes to standard output."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._console = Console(width=None if self._live else _PLAIN_WIDTH, highlight=False, markup=False)
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}
        self._total = 0
        self._shown = Counts()
        self._shown_at = 0.0

    @contextmanager
    def progress(self, total: int) -> Iterator[None]:
        """While the block runs, `count` shows how far it is."""
        self._total = total
        columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, disable=not self._live) as self._progress:
            self._bars = {
                name: self._progress.add_task(name, total=total) for name in ("produced", "handled", "committed")
            }
            yield
        self._progress = None

    def say(self, text: str) -> None:
        """A line of the demo's own."""
        self._console.print(text, soft_wrap=True)

    def batch(self, batch: PrintedBatch) -> None:
        """A line that a task printed: whole, or on a terminal as much of it as fits."""
        self.say(_fit(batch.said, self._console.width) if self._live else batch.said)

    def count(self, counts: Counts) -> None:
        """How far it is."""
        if self._live and self._progress is not None:
            for name, bar in self._bars.items():
                self._progress.update(bar, completed=getattr(counts, name))
        elif counts != self._shown and time.monotonic() - self._shown_at >= _PLAIN_EVERY_S:
            self._shown, self._shown_at = counts, time.monotonic()
            self.say(
                f"produced {counts.produced:,}, handled {counts.handled:,}, committed {counts.committed:,} "
                f"of {self._total:,}"
            )

    def table(self, topic: str, reports: Sequence[PartitionReport], seconds: float) -> None:
        """The end: what the tasks printed and what the broker says, partition by partition."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("PARTITION", no_wrap=True)
        table.add_column("RECORDS", justify="right")
        table.add_column("ORDER", no_wrap=True)
        for name in ("COMMITTED", "END", "LAG"):
            table.add_column(name, justify="right")
        table.add_column("BATCHES")
        table.add_column("WORKER", no_wrap=True)
        for report in reports:
            table.add_row(*_row(topic, report))
        records = sum(report.records for report in reports)
        self.say("")
        self._console.print(table)
        rate = f" ({records / seconds:,.0f} records/s)" if seconds else ""
        self.say(f"{records:,} records in {seconds:.2f} s{rate}, from the first one produced to the last commit.")
        self.say("RECORDS, ORDER, BATCHES and WORKER are what the tasks printed, the offsets are the broker's.")

    def addresses(self, addresses: Addresses, topic: str) -> None:
        """Where everything is, and how to go on."""
        servers = addresses.environment["BRIDGE_BOOTSTRAP_SERVERS"]
        self.say("All of it goes on until Ctrl-C.")
        self.say(f"  Kafka   {servers}")
        self.say(f"  Redis   {addresses.environment['CELERY_BROKER_URL']}")
        self.say(f"  Flower  {addresses.flower}")
        self.say(f"  bridge  {addresses.bridge}/api/lanes (also /readyz, /healthz)")
        self.say("To look at the lanes, or to produce more, in another terminal here:")
        for name, value in addresses.environment.items():
            self.say(f"  export {name}={value}")
        self.say("  .venv/bin/lanebridge lanes")
        self.say(f"  .venv/bin/python -c '{_PRODUCE_MORE.format(servers=servers, topic=topic)}'")

    def tails(self, tails: Mapping[str, str]) -> None:
        """The end of each log, for whoever looks for the cause."""
        for name, text in tails.items():
            self.say(f"--- the end of the log of {name} ---")
            for line in text.splitlines():
                self.say(_fit(line, _LOG_WIDTH))


_PRODUCE_MORE = (
    'from confluent_kafka import Producer; p = Producer({{"bootstrap.servers": "{servers}"}}); '
    '[p.produce("{topic}", str(n), "") for n in range(1001, 2001)]; p.flush()'
)


def _fit(text: str, width: int) -> str:
    """The beginning and the end of a line that is too long."""
    if len(text) <= width:
        return text
    end = min(42, width // 2)
    return f"{text[: width - end - 5].rstrip()} ... {text[-end:].lstrip()}"


def _row(topic: str, report: PartitionReport) -> list[str]:
    offsets = report.offsets
    return [
        f"{topic}[{report.partition}]",
        f"{report.records:,}",
        "ok" if report.in_order else "WRONG",
        "-" if offsets.committed is None else f"{offsets.committed:,}",
        f"{offsets.end:,}",
        "-" if offsets.lag is None else f"{offsets.lag:,}",
        ", ".join(f"{count} by {name}" for name, count in sorted(report.triggers.items())) or "-",
        ", ".join(report.workers) or "-",
    ]
