"""The last hour of the group, in memory: a point every few seconds, made of what the bridges' totals have grown by.

Rules: bounded; a bridge that is new to us begins to count from what it says first, one that has started again from 0.
"""

from __future__ import annotations

from collections import deque

import msgspec

from bridge.ops.state import State
from bridge.ops.totals import SECONDS_BOUNDS, Totals

#: seconds between points, and how many there are: an hour
STEP_S, KEPT = 5.0, 720


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One moment: `rate` in records a second since the last point, `lag` in records, `oldest` in seconds, and the
    seconds from dispatch to outcome that half, and 95 %, of the chains needed (null: none ended)."""

    at_ms: int
    rate: float
    lag: int
    oldest: float
    median: float | None
    p95: float | None


class Series:
    """Takes every state, keeps a point every STEP_S seconds."""

    def __init__(self, at_ms: int) -> None:
        self.since_ms = at_ms
        self.points: deque[Point] = deque(maxlen=KEPT)
        self._last_ms = at_ms
        self._before: dict[str, Totals] = {}
        self._finished = 0
        self._trips = [0] * (len(SECONDS_BOUNDS) + 1)

    def take(self, state: State, at_ms: int) -> Point | None:
        """Count this state; gives the point if one is due."""
        for bridge in state.bridges:
            before = self._before.get(bridge.id)
            if before is not None:
                self._grow(before, bridge.totals)
        self._before = {bridge.id: bridge.totals for bridge in state.bridges}
        elapsed = (at_ms - self._last_ms) / 1000
        if elapsed < STEP_S - 0.5:
            return None
        point = self._point(state, at_ms, elapsed)
        self.points.append(point)
        self._last_ms, self._finished, self._trips = at_ms, 0, [0] * len(self._trips)
        return point

    @property
    def rate(self) -> float | None:
        """Records a second at the last point."""
        return self.points[-1].rate if self.points else None

    def _grow(self, before: Totals, now: Totals) -> None:
        if now.finished < before.finished:
            before = Totals()
        self._finished += now.finished - before.finished
        old = before.round_trips.counts or (0,) * len(now.round_trips.counts)
        for index, (count, then) in enumerate(zip(now.round_trips.counts, old, strict=False)):
            self._trips[index] += max(0, count - then)

    def _point(self, state: State, at_ms: int, elapsed: float) -> Point:
        return Point(
            at_ms=at_ms,
            rate=round(self._finished / elapsed, 2),
            lag=sum(partition.lag or 0 for partition in state.partitions),
            oldest=max((lane.lag_seconds or 0.0 for lane in state.lanes), default=0.0),
            median=quantile(self._trips, 0.5),
            p95=quantile(self._trips, 0.95),
        )


def quantile(counts: list[int], share: float) -> float | None:
    """Seconds below which `share` of what SECONDS_BOUNDS' buckets count lies, even inside a bucket; None of nothing."""
    wanted = sum(counts) * share
    if not wanted:
        return None
    below = 0.0
    for count, bound in zip(counts, SECONDS_BOUNDS, strict=False):
        if count and wanted <= count:
            return round(below + (bound - below) * wanted / count, 4)
        wanted -= count
        below = bound
    return SECONDS_BOUNDS[-1]
