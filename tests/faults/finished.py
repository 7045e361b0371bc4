"""When each record of a history was finished, and since when all records below an offset are.

Finished: a run of the last link succeeded with it, its dead letter was acknowledged, it was skipped and settled, or
nobody asks for it (gone from the log, or below a deliberate move of the group's offsets).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from tests.faults.claims import Claims
from tests.faults.events import Dispatched, Gone, Letters, Reset, Settled
from tests.faults.history import History
from tests.faults.places import Partition, Place, Stream

NEVER = float("inf")


class Offsets:
    """The offsets that exist, and when those below one of them were finished."""

    def __init__(self, offsets: Iterable[int], finished: Mapping[int, float]) -> None:
        self.offsets = sorted(offsets)
        times = [(finished.get(offset, NEVER), offset) for offset in self.offsets]
        self._latest = list(accumulate(times, max))

    def below(self, offset: int) -> tuple[float, int]:
        """When all records below `offset` were finished, and which of them was the last."""
        at = bisect_left(self.offsets, offset)
        return self._latest[at - 1] if at else (-NEVER, -1)

    def between(self, first: int, last: int) -> Sequence[int]:
        """The offsets from `first` to `last`, without these two."""
        return self.offsets[bisect_left(self.offsets, first + 1) : bisect_left(self.offsets, last)]


class Finished:
    """What a history says about all of its records."""

    def __init__(self, history: History, claims: Claims) -> None:
        #: record -> when it was finished first
        self.at: dict[Place, float] = {}
        #: records that need not run: given up, or not asked for -> since when
        self.disposed: dict[Place, float] = {}
        existing = _existing(history)
        self._dispose(history, existing)
        for run in history.runs:
            if run.link == claims.links[-1] and run.ended is not None:
                for offset in run.succeeded:
                    self.at[*run.tp, offset] = min(run.ended, self.at.get((*run.tp, offset), NEVER))
        for place, at in self.disposed.items():
            self.at[place] = min(at, self.at.get(place, NEVER))
        by_tp = {
            tp: {offset: self.at.get((*tp, offset), NEVER) for offset in offsets} for tp, offsets in existing.items()
        }
        self.partitions = {tp: Offsets(times, times) for tp, times in by_tp.items()}
        self.lanes = {
            stream: Offsets(offsets, by_tp[stream[:2]]) for stream, offsets in _lanes(history, existing).items()
        }

    def _dispose(self, history: History, existing: Mapping[Partition, Iterable[int]]) -> None:
        for said in history.injected:
            if isinstance(said, Reset):
                for tp, upto in said.offsets.items():
                    self._pass(tp, existing.get(tp, ()), upto, said.at)
            elif isinstance(said, Gone):
                self.disposed.update({(*said.tp, offset): -NEVER for offset in said.offsets})
        self._give_up(history)

    def _give_up(self, history: History) -> None:
        for said in history.bridges:
            if isinstance(said, Letters):
                for place in said.places:
                    self.disposed.setdefault(place, said.at)
            elif isinstance(said, Settled):
                for offset in said.skipped:
                    self.disposed.setdefault((*said.tp, offset), said.at)

    def _pass(self, tp: Partition, offsets: Iterable[int], upto: int, at: float) -> None:
        for offset in offsets:
            if offset < upto:
                self.disposed.setdefault((*tp, offset), at)


def _existing(history: History) -> dict[Partition, set[int]]:
    """The offsets that were produced; of a partition whose producer said nothing, those that were seen."""
    found: dict[Partition, set[int]] = defaultdict(set)
    for tp, records in history.produced.items():
        found[tp].update(records)
    known = frozenset(found)
    for stream, offsets in _seen(history):
        if stream[:2] not in known:
            found[stream[:2]].update(offsets)
    return found


def _lanes(history: History, existing: Mapping[Partition, set[int]]) -> Mapping[Stream, Iterable[int]]:
    """The offsets of each lane: those that were seen in it; all of its partition when nobody saw a second lane."""
    found: dict[Stream, set[int]] = defaultdict(set)
    for stream, offsets in _seen(history):
        found[stream].update(existing[stream[:2]].intersection(offsets))
    if any(lane for *_, lane in found):
        return found
    return {(*tp, 0): offsets for tp, offsets in existing.items()}


def _seen(history: History) -> Iterable[tuple[Stream, Sequence[int]]]:
    for run in history.runs:
        yield run.stream, run.offsets
    for said in history.bridges:
        if isinstance(said, Dispatched):
            yield (*said.tp, said.lane), said.offsets
