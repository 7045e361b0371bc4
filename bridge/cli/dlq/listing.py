"""`dlq list`: how many dead letters there are, of which kind, and how old."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from bridge.cli.dlq.letters import FoundLetter
from bridge.cli.dlq.progress import Progress
from bridge.cli.dlq.topics import Cluster
from bridge.cli.logs import one_line
from bridge.core.words import span
from bridge.kafka.dead_letter_headers import iso_time
from bridge.records import OFFSET, TIMESTAMP, TopicPartition

#: columns of a table that is written to a file or a pipe
_PLAIN_WIDTH = 500

#: dead letter topic, source topic, disposition, exception
Kind = tuple[str, str, str, str]


@dataclass(slots=True)
class Tally:
    """Letters of one kind; times in milliseconds, None as long as no letter has one. `last` is the partition and the
    offset of one of the newest, as `dlq show` wants them."""

    count: int = 0
    replayed: int = 0
    stubs: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None
    last: tuple[int, int] = (-1, -1)

    def add(self, letter: FoundLetter, *, is_replayed: bool) -> None:
        """Count one."""
        self.count += 1
        self.replayed += is_replayed
        self.stubs += letter.about is not None and bool(letter.about.omitted)
        at = letter.row[TIMESTAMP]
        if self.last[0] < 0 or at >= (self.newest_ms or 0):
            self.last = letter.tp.partition, letter.row[OFFSET]
        if at >= 0:
            self.oldest_ms = at if self.oldest_ms is None else min(self.oldest_ms, at)
            self.newest_ms = at if self.newest_ms is None else max(self.newest_ms, at)


def count(letters: Iterable[FoundLetter], replays: Mapping[TopicPartition, Progress]) -> dict[Kind, Tally]:
    """The letters by kind, and how many `replays` have written back. What does not say which record it was has no
    source, disposition and exception."""
    found: dict[Kind, Tally] = {}
    for letter in letters:
        topic, about = letter.tp.topic, letter.about
        kind = (topic, about.tp.topic, about.disposition, about.exception) if about else (topic, "", "", "")
        found.setdefault(kind, Tally()).add(letter, is_replayed=replays[letter.tp].has_done(letter))
    return dict(sorted(found.items()))


def as_json(tallies: dict[Kind, Tally]) -> str:
    """One object per kind, under `dead_letters`."""
    now_ms = time.time() * 1000
    rows = [
        {
            "dead_letter_topic": kind[0],
            "source_topic": kind[1] or None,
            "disposition": kind[2] or None,
            "exception": kind[3] or None,
            "count": tally.count,
            "replayed": tally.replayed,
            "stubs": tally.stubs,
            "oldest": iso_time(tally.oldest_ms or 0) or None,
            "oldest_age_seconds": _age(tally.oldest_ms, now_ms),
            "newest": iso_time(tally.newest_ms or 0) or None,
            "newest_age_seconds": _age(tally.newest_ms, now_ms),
            "newest_partition": tally.last[0],
            "newest_offset": tally.last[1],
        }
        for kind, tally in tallies.items()
    ]
    return json.dumps({"dead_letters": rows})


def _age(at_ms: int | None, now_ms: float) -> float | None:
    return None if at_ms is None else round(max(0.0, now_ms - at_ms) / 1000, 1)


def print_table(tallies: dict[Kind, Tally], cluster: Cluster) -> None:
    """A row per kind and a line of sum, or that there are none."""
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False, markup=False)
    total = sum(tally.count for tally in tallies.values())
    names = ", ".join(cluster.partitions)
    if not names:
        asked = f": {', '.join(cluster.asked)}" if cluster.asked else ""
        console.print(f"None of the dead letter topics exists{asked}. `lanebridge doctor` says how to create them.")
        return
    if not total:
        console.print(f"No dead letters in {names}.")
        return
    console.print(f"{total:,} dead letter{'' if total == 1 else 's'} in {names}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("DEAD LETTER TOPIC", "SOURCE", "DISPOSITION", "EXCEPTION"):
        table.add_column(name, overflow="fold")
    for name in ("COUNT", "REPLAYED", "STUBS", "OLDEST", "NEWEST", "NEWEST AT"):
        table.add_column(name, justify="right", no_wrap=True)
    now_ms = time.time() * 1000
    for kind, tally in tallies.items():
        ages = [_age_text(_age(at, now_ms)) for at in (tally.oldest_ms, tally.newest_ms)]
        numbers = [f"{number:,}" for number in (tally.count, tally.replayed, tally.stubs)]
        table.add_row(*(one_line(text) or "-" for text in kind), *numbers, *ages, "{}/{}".format(*tally.last))
    console.print(table)


def _age_text(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds / 86400:.0f} d ago" if seconds >= 2 * 86400 else f"{span(seconds)} ago"
