"""What is measured: a case is run window by window on servers of its shape, and gives figures by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.stack import Stack


class WrongRun(Exception):
    """Records were lost, repeated, reordered or not committed: however fast it was, the run counts as failed."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The topic that a case reads: so many records of `size` bytes lie in it before the case begins (0: it produces
    its own)."""

    partitions: int = 12
    size: int = 100
    records: int = 5_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """`id` ("throughput/batch-100") names kept results, its first part the table. `run` measures one window; `number`
    is new for each, for names of groups. Raises WrongRun. `windows` are measured, `quick` of them with --quick (0: the
    case is left out; the topic then has a tenth of the records)."""

    id: str
    shape: Shape
    run: Callable[[Stack, int], Mapping[str, float]]
    windows: int = 5
    quick: int = 0
