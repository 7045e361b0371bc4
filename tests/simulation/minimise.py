"""A history that breaks a promise, made smaller for as long as the same promise breaks.

The time with faults is halved, kinds of fault are dropped, partitions and bridges go; the seed stays. The tries are
bounded: the smaller history is for a person who reads it, the first one has already failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.history import Ending, History, tell

TRIES = 60
SECONDS = 20.0
#: virtual seconds with faults below which no history is made
SHORTEST = 1.0

Step = Callable[[History], History | None]


def minimise(ending: Ending, tell: Callable[[History], Ending] = tell, *, tries: int = TRIES) -> Ending:
    """The smallest history found that breaks the same promise. At most `tries` histories, and about 20 s."""
    deadline = time.monotonic() + SECONDS
    best, gets_smaller = ending, True
    while gets_smaller:
        gets_smaller = False
        for step in _steps(ending.history):
            while tries > 0 and time.monotonic() < deadline and (smaller := step(best.history)) is not None:
                tries -= 1
                tried = tell(smaller)
                if tried.promise != ending.promise:
                    break
                best, gets_smaller = tried, True
    return best


def _steps(history: History) -> Iterator[Step]:
    """What saves most comes first. A step gives None when there is nothing left to leave out."""
    yield _half_as_long
    yield lambda known: _without(known, known.rules.faults)
    for kind in sorted(history.rules.faults):
        yield lambda known, kind=kind: _without(known, frozenset({kind}) & known.rules.faults)  # type: ignore[misc]
    yield _with_fewer_partitions
    yield _with_fewer_bridges


def _half_as_long(history: History) -> History | None:
    half = history.rules.chaos / 2
    return replace(history, chaos=half) if half >= SHORTEST else None


def _without(history: History, kinds: frozenset[str]) -> History | None:
    return replace(history, without=history.without | kinds) if kinds else None


def _with_fewer_partitions(history: History) -> History | None:
    count = history.rules.partitions
    return replace(history, partitions=count - 1) if count > 1 else None


def _with_fewer_bridges(history: History) -> History | None:
    count = history.rules.bridges
    return replace(history, bridges=count - 1) if count > 1 else None
