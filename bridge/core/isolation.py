"""Finding the record at fault: a batch that is out of attempts without naming one is split, in order.

One of the records up to `bad_last` is at fault: its first half goes alone; when that succeeds the fault is in the other
half. So a batch of n records takes at most ceil(log2(n)) + 1 chains until the bad record stands alone. What is left of
the batch then goes as one part again. Each part is tried once, without delay.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from bridge.entries import Counters
from bridge.records import OFFSET, Row


def moved(counters: Counters, at: int) -> Counters:
    """The counters of the first unfinished offset `at`: new ones, except that a batch being split stays so."""
    if counters.at == at:
        return counters
    if at > counters.split_last:
        return Counters(at)
    bad_last = counters.bad_last if at <= counters.bad_last else -1
    return replace(counters, at=at, failures=0, timeouts=0, losses=0, bad_last=bad_last)


def is_split(counters: Counters, kind: str) -> bool:
    """The record belongs to a batch that is being split because of this kind of failure."""
    return counters.split_kind == kind and counters.at <= counters.split_last


def split(counters: Counters, kind: str, part_last: int) -> Counters:
    """One of the records from the first unfinished one to `part_last` is at fault."""
    return replace(counters, split_kind=kind, split_last=max(counters.split_last, part_last), bad_last=part_last)


def found(counters: Counters) -> Counters:
    """The record at fault is found: none of the others is known to be."""
    return replace(counters, bad_last=-1)


def part_of(rows: Sequence[Row], counters: Counters) -> int:
    """How many of a batch's unfinished rows go as the next chain: all of them, unless it is being split."""
    if rows[0][OFFSET] > counters.split_last:
        return len(rows)
    suspects = count_up_to(rows, counters.bad_last)
    return (suspects + 1) // 2 if suspects else count_up_to(rows, counters.split_last)


def count_up_to(rows: Sequence[Row], offset: int) -> int:
    """How many of the rows are at or below `offset`."""
    return bisect_right(rows, offset, key=lambda row: row[OFFSET])
