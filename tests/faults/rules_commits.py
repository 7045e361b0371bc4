"""What was committed: only what is finished (R2), only forward (R3), only by the owner (R4).

The broker takes a commit at some time between its try and its answer: only what was tried after another one was
answered is surely later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from tests.faults.claims import Claims
from tests.faults.events import Assigned, CommitOk, Committed, CommitTry, Reset, Taken
from tests.faults.finished import Finished
from tests.faults.history import History
from tests.faults.places import Partition


def too_early(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R2: everything below a committed offset was finished before the commit was tried."""
    for said in history.bridges:
        if isinstance(said, CommitOk):
            for tp, offset, _, tried in said.entries:
                yield from _unfinished(tp, offset, tried, finished)
    for said in history.samples:
        if isinstance(said, Committed):
            for tp, offset in said.offsets.items():
                yield from _unfinished(tp, offset, said.at, finished)


def _unfinished(tp: Partition, offset: int, at: float, finished: Finished) -> Iterator[str]:
    if tp in finished.partitions:
        late, which = finished.partitions[tp].below(offset)
        if late > at:
            yield f"R2 commit: {tp[0]}[{tp[1]}]: {offset} at {at:.3f}, but {which} was finished at {late:.3f}"


class _Highest:
    """The highest of values that come in the order of time, and what it was at a time."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[int] = []

    def note(self, at: float, value: int) -> None:
        """One more value."""
        self._times.append(at)
        self._values.append(max(value, self._values[-1]) if self._values else value)

    def begin_at(self, at: float, value: int) -> None:
        """From now on the value counts, whatever was before."""
        self._times.append(at)
        self._values.append(value)

    def before(self, at: float) -> int:
        """The highest value known by that time; -1 when there was none."""
        found = bisect_right(self._times, at)
        return self._values[found - 1] if found else -1

    def lowest_since(self, at: float) -> int:
        """The lowest that it was from that time until now."""
        return min([self.before(at), *self._values[bisect_right(self._times, at) :]])


def backward(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R3: a partition's committed offset never goes down, unless somebody moved it on purpose."""
    highest: dict[Partition, _Highest] = defaultdict(_Highest)
    looked: dict[int, float] = {}
    for said in sorted([*history.bridges, *history.injected, *history.samples], key=lambda said: said.at):
        if isinstance(said, Reset):
            for tp, offset in said.offsets.items():
                highest[tp].begin_at(said.at, offset)
        elif isinstance(said, CommitOk):
            for tp, offset, _, tried in said.entries:
                yield from _fallen(tp, offset, tried, highest[tp])
                highest[tp].note(said.at, offset)
        elif isinstance(said, Committed):
            # asked for after this process had written down what it was told before
            asked_at = looked.get(said.pid, 0.0)
            for tp, offset in said.offsets.items():
                yield from _fallen(tp, offset, asked_at, highest[tp])
                highest[tp].note(said.at, offset)
            looked[said.pid] = said.at


def _fallen(tp: Partition, offset: int, at: float, highest: _Highest) -> Iterator[str]:
    before = highest.lowest_since(at)
    if offset < before:
        yield f"R3 backward: {tp[0]}[{tp[1]}]: {offset} after {before} was committed before {at:.3f}"


def not_owner(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R4: commits of a partition are tried while it is assigned; none with a lower owner number is taken after one
    with a higher number."""
    mine: dict[int, set[Partition]] = defaultdict(set)
    owners: dict[Partition, _Highest] = defaultdict(_Highest)
    for said in history.bridges:
        if isinstance(said, Assigned):
            mine[said.pid].update(said.partitions)
        elif isinstance(said, Taken):
            mine[said.pid].difference_update(said.partitions)
        elif isinstance(said, CommitTry):
            for tp, offset, owner in said.entries:
                if tp not in mine[said.pid]:
                    text = f"{offset} of {tp[0]}[{tp[1]}] by {owner} in process {said.pid}"
                    yield f"R4 owner: {text} at {said.at:.3f}, which does not have the partition"
        elif isinstance(said, CommitOk):
            for tp, offset, owner, tried in said.entries:
                if owner < owners[tp].before(tried):
                    text = f"{offset} of {tp[0]}[{tp[1]}] by {owner}"
                    yield f"R4 owner: {text} taken at {said.at:.3f}, after one by {owners[tp].before(tried)}"
                owners[tp].note(said.at, owner)
