"""How fast a backlog is worked off and what it costs, with product defaults except what a case says."""

from __future__ import annotations

from functools import partial

from benchmarks.case import Case, Shape
from benchmarks.measuring import Setting, measure

#: what the acceptance figures are measured on
BACKLOG = Shape()


def _acceptance(batch: int, links: int = 1, quick: int = 0) -> Case:
    """All of the backlog."""
    name = f"throughput/batch-{batch}-links-{links}"
    return Case(name, BACKLOG, partial(measure, Setting({"batch_size": batch}, links)), quick=quick)


ACCEPTANCE = (
    _acceptance(100, quick=3),
    _acceptance(500),
    _acceptance(1000, quick=3),
    _acceptance(5000),
    _acceptance(100, 2, 3),
)

CASES = (*ACCEPTANCE,)
