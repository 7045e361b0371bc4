"""Looks at a running cell from outside, again and again: what a group has committed never goes down."""

from __future__ import annotations

from tests.faults.checker import Partition
from tests.faults.rig import Rig


class CommitWatch:
    """What the group had committed at each look."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._last: dict[Partition, int] = {}
        self.seen = 0
        self.violations: list[str] = []

    def look(self) -> bool:
        """Compare with the last look; always True, so that it can stand in a condition."""
        now = self._rig.committed()
        self.seen += 1
        for tp, offset in now.items():
            if offset < self._last.get(tp, 0):
                self.violations.append(f"P9 committed {self._last[tp]} of {tp[0]}[{tp[1]}], later {offset}")
        self._last = now
        return True
