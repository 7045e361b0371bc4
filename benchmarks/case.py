"""What is measured: a case is run window by window on servers of its shape, and gives figures by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.stack import Stack


class WrongRun(Exception):
    """Records were lost, repeated, reordered or not committed: however fast it was, the run counts as failed."""


class LeftOut(Exception):
    """The case cannot be measured here; the message says why."""


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
    is new for each, for names of groups. Raises WrongRun or LeftOut. The figure "others", if it gives one, is the share
    of one core that other processes took: a window in which that was too much is measured again. `windows` are
    measured, `quick` of them with --quick (0: the case is left out; the topic then has a tenth of the records), each
    about `seconds` long."""

    id: str
    shape: Shape
    run: Callable[[Stack, int], Mapping[str, float]]
    windows: int = 5
    quick: int = 0
    seconds: float = 15.0
