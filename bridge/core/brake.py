"""The outage brake: when whole lanes fail and nothing succeeds, the fault is not in the records.

It holds from when at least `lanes` lanes, and at least half of all assigned ones, have failed since the last batch
that succeeded anywhere; until the next success, or for `limit` seconds. While it holds no record is given up: lanes are
tried again with back-off.
"""

from __future__ import annotations

from bridge.records import TopicPartition

LaneKey = tuple[TopicPartition, int]


class Brake:
    """The lanes that have failed since the last success, and since when the brake holds."""

    def __init__(self, limit: float, lanes: int) -> None:
        self.limit = limit
        self.lanes = lanes
        self._failing: set[LaneKey] = set()
        self._since: float | None = None

    def failed(self, lane: LaneKey, assigned: int, now: float) -> bool:
        """A lane's chain has failed, with `assigned` lanes in all; whether the brake takes hold with that."""
        self._failing.add(lane)
        if self._since is not None or self.limit <= 0:
            return False
        if len(self._failing) < self.lanes or 2 * len(self._failing) < assigned:
            return False
        self._since = now
        return True

    def succeeded(self) -> bool:
        """A batch has succeeded; whether that releases the brake."""
        held = self._since is not None
        self._failing.clear()
        self._since = None
        return held

    def holds(self, now: float) -> bool:
        """No record may be given up now."""
        return self._since is not None and now < self._since + self.limit

    @property
    def ends_at(self) -> float:
        """When the limit is over; infinity when it does not hold."""
        return float("inf") if self._since is None else self._since + self.limit

    @property
    def failing(self) -> int:
        """How many lanes have failed since the last success."""
        return len(self._failing)

    def forget(self, tp: TopicPartition) -> None:
        """The partition is gone."""
        self._failing = {lane for lane in self._failing if lane[0] != tp}
