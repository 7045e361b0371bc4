"""How much the bridge holds: records in memory, payload bytes in flight.

Each active partition may hold an equal share of the memory budget. A full partition is paused, to protect the
others; when all are full nothing is paused but no records are taken (`hold`): pausing everything would cost up to a
second of dead time and throw the prefetched records away. Polling alone may bring records all the same: a partition
that goes on growing is paused in a hold too. A partition is full from its share on, until half of it.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.effects import Effect, HoldFetching, PauseFetching, ResumeFetching
from bridge.records import TopicPartition

#: no partition's share is smaller than this, in bytes
LEAST_SHARE_BYTES = 64 * 1024
#: what a partition may hold in a hold before it is paused, in shares
GROWTH_IN_HOLD = 1.25


class Buffers:
    """The memory budget over all active partitions."""

    def __init__(self, budget_bytes: int, emit: Callable[[Effect], None]) -> None:
        self._budget_bytes = budget_bytes
        self._emit = emit
        self._held: dict[TopicPartition, int] = {}
        self._full: set[TopicPartition] = set()
        #: full ones that hold so much more than their share that a hold is not enough
        self._swollen: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._hold = False

    @property
    def share_bytes(self) -> int:
        """What one partition may hold."""
        return max(LEAST_SHARE_BYTES, self._budget_bytes // max(1, len(self._held)))

    @property
    def held_bytes(self) -> int:
        """What all partitions hold."""
        return sum(self._held.values())

    def __contains__(self, tp: object) -> bool:
        """The partition is fetched."""
        return tp in self._held

    def start(self, tp: TopicPartition) -> None:
        """The partition is fetched from now on, or anew: it is not paused."""
        self._paused.discard(tp)
        self._held.setdefault(tp, 0)
        self._review()

    def leave(self, tp: TopicPartition) -> None:
        """The partition is gone."""
        self._held.pop(tp, None)
        self._full.discard(tp)
        self._swollen.discard(tp)
        self._paused.discard(tp)
        self._review()

    def is_full(self, tp: TopicPartition) -> bool:
        """It holds its share and has not come down to half of it since."""
        return tp in self._full

    def update(self, tp: TopicPartition, held: int, *, exempt: bool) -> None:
        """The partition holds `held` bytes now. `exempt`: it must read on whatever it holds."""
        self._held[tp] = held
        share = self.share_bytes
        full = not exempt and (held >= share or (tp in self._full and held > share // 2))
        swollen = full and held >= share * GROWTH_IN_HOLD
        if full != (tp in self._full) or swollen != (tp in self._swollen):
            (self._full.add if full else self._full.discard)(tp)
            (self._swollen.add if swollen else self._swollen.discard)(tp)
            self._review()

    def _review(self) -> None:
        hold = bool(self._held) and len(self._full) == len(self._held)
        if hold != self._hold:
            self._hold = hold
            self._emit(HoldFetching(hold))
        # in a hold nothing is resumed: its end comes with the first partition that has room
        paused = self._paused | self._swollen if hold else set(self._full)
        for tp in sorted(paused - self._paused):
            self._emit(PauseFetching(tp))
        for tp in sorted(self._paused - paused):
            self._emit(ResumeFetching(tp))
        self._paused = paused


class InFlight:
    """The payload bytes of all chains that the ledger holds for us."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes: dict[tuple[TopicPartition, int], int] = {}
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """Payload bytes in flight."""
        return self._total

    def has_room(self) -> bool:
        """One more chain may go (the last one may exceed the limit, so that a large batch is never stuck)."""
        return self._total < self._limit_bytes

    def add(self, tp: TopicPartition, lane: int, size: int) -> None:
        """The lane has this much in flight."""
        self._total += size - self._bytes.get((tp, lane), 0)
        self._bytes[tp, lane] = size

    def remove(self, tp: TopicPartition, lane: int) -> None:
        """The lane has nothing in flight any more."""
        self._total -= self._bytes.pop((tp, lane), 0)

    def forget(self, tp: TopicPartition) -> None:
        """The partition is gone."""
        for key in [key for key in self._bytes if key[0] == tp]:
            self.remove(*key)
