"""One window: what a group has committed, what its tasks have seen, and what everything costs, looked at 20 times per
second from outside; and the figures that follow.

The clock is the committed offsets as the broker tells them, not what anybody says of itself. "rate": from 10 % to
90 % committed. "all_in": to the end, with the last batches, which wait for their time-out. Processor time: user and
system, from the last look before the first record was seen to the first at which all is committed, divided by all
records. "tail_s": all was committed at most this long after the last record was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from benchmarks.case import WrongRun

#: seconds without progress after which a run counts as stuck
_PATIENCE_S = 60.0
#: whose processor time makes "cpu_ms"
COUNTED = ("bridge", "workers", "redis")


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at a moment: records committed, records seen, seconds of processor time of each part, that of the
    whole machine ("machine": everything but idle) and ours ("clock"), and bytes of the largest bridge."""

    at: float
    committed: int
    seen: int
    spent: Mapping[str, float]
    rss: int = 0


class Parts:
    """Processes by part. The children of pools are found while nothing is committed yet."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._parents = {name: [psutil.Process(pid) for pid in some] for name, some in pids.items()}
        self._me = psutil.Process()
        #: processor time when last looked: a child that is gone keeps its own
        self._busy: dict[psutil.Process, float] = {}
        self.find_children()

    def find_children(self) -> None:
        """Look anew."""
        self._all = {
            name: [process for parent in parents for process in (parent, *parent.children(recursive=True))]
            for name, parents in self._parents.items()
        }

    def spent(self) -> dict[str, float]:
        """Processor time so far, by part."""
        found = {name: sum(self._so_far(process) for process in processes) for name, processes in self._all.items()}
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
        return {**found, "clock": _busy(self._me), "machine": busy}

    def _so_far(self, process: psutil.Process) -> float:
        with suppress(psutil.NoSuchProcess):
            self._busy[process] = _busy(process)
        return self._busy.get(process, 0.0)

    def rss(self) -> int:
        """Bytes of the largest bridge."""
        return max(int(process.memory_info().rss) for process in self._parents["bridge"])


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def watch(
    parts: Parts, committed: Callable[[], int], seen: Callable[[], int], records: int, pause: float
) -> list[Look]:
    """Look until so many records are committed. Raises WrongRun when nothing moves any more."""
    looks: list[Look] = []
    moved = time.monotonic()
    while not looks or looks[-1].committed < records:
        if looks:
            time.sleep(pause)
        try:
            if not looks or looks[-1].committed == 0:
                parts.find_children()
            looks.append(Look(time.monotonic(), committed(), seen(), parts.spent(), parts.rss()))
        except psutil.NoSuchProcess as error:
            raise WrongRun(f"process {error.pid} ended") from error
        if len(looks) == 1 or looks[-1].committed > looks[-2].committed:
            moved = looks[-1].at
        if looks[-1].at - moved > _PATIENCE_S:
            raise WrongRun(f"{looks[-1].committed:,} of {records:,} records are committed, and nothing moves any more")
    return looks


def figures(looks: Sequence[Look], records: int) -> dict[str, float]:
    """What follows from the looks at `records` that were worked off; microseconds are those of one record."""
    begin = max(
        (look for look in looks if look.committed == look.seen == 0), key=lambda look: look.at, default=looks[0]
    )
    end = _first(looks, records)
    low, high = _first(looks, records * 0.1), _first(looks, records * 0.9)
    if low.committed == high.committed:
        low, high = begin, end
    done, took = end.committed - begin.committed, end.at - begin.at
    spent = {name: end.spent[name] - begin.spent[name] for name in end.spent}
    us = {name: spent.get(name, 0.0) / done * 1e6 for name in (*COUNTED, "kafka")}
    ours = sum(seconds for name, seconds in spent.items() if name != "machine")
    return {
        "rate": (high.committed - low.committed) / (high.at - low.at),
        "all_in": done / took,
        "cpu_ms": sum(us[name] for name in COUNTED),
        **{f"{name}_us": value for name, value in us.items()},
        "rss_mib": max(look.rss for look in looks) / 2**20,
        "others": max(0.0, spent["machine"] - ours) / took,
        "took_s": took,
        "tail_s": end.at - max((look.at for look in looks if look.seen < records), default=begin.at),
    }


def _first(looks: Sequence[Look], records: float) -> Look:
    return next(look for look in looks if look.committed >= records)
