"""Many histories in several processes, and what came of them.

A process tells one history after the other as it is given them, and makes a red one smaller itself. It ends when the
main process does: its pipe is then closed.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from tests.simulation.covering import Tally
from tests.simulation.history import Ending, History, tell
from tests.simulation.minimise import minimise


@dataclass(slots=True)
class Totals:
    """What came of the histories so far. `red` holds the smallest history found for each that broke a promise."""

    began: float = field(default_factory=time.monotonic)
    histories: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    reds: Counter[str] = field(default_factory=Counter)
    red: list[Ending] = field(default_factory=list)
    tally: Tally = field(default_factory=Counter)

    def add(self, found: Found) -> None:
        """One more history."""
        mix = found.ending.history.mix
        self.histories[mix] += 1
        self.steps[mix] += found.ending.steps
        self.tally.update(found.ending.tally)
        if found.smallest is not None:
            self.reds[mix] += 1
            self.red.append(found.smallest)

    @property
    def line(self) -> str:
        """The figures in one line."""
        seconds = time.monotonic() - self.began
        return f"{self.histories.total():,} seeds, {self.steps.total():,} steps, {len(self.red)} red, {seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Found:
    """How a history ended, and the smallest one found that breaks the same promise (None when all were kept)."""

    ending: Ending
    smallest: Ending | None


def examine(history: History) -> Found:
    """Tell a history; a red one is made smaller."""
    ending = tell(history)
    return Found(ending, minimise(ending) if ending.violation else None)


def examine_all(histories: Iterator[History], jobs: int) -> Generator[Found, None, None]:
    """Tell them in `jobs` processes, in any order. Closing the iterator ends the processes."""
    context = get_context("spawn")  # nothing of this process is inherited: no lock, no thread, no open pipe
    processes, ends = [], []
    try:
        for _ in range(jobs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            ends.append(ours)
        yield from _deal(histories, ends)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _deal(histories: Iterator[History], ends: list[Connection]) -> Iterator[Found]:
    """Every process has one history; who is done gets the next. EOFError when a process has died."""
    busy = [end for end in ends if _give_next(histories, end)]
    while busy:
        for end in wait(busy):
            assert isinstance(end, Connection)
            found: Found = end.recv()
            if not _give_next(histories, end):
                busy.remove(end)
            yield found


def _give_next(histories: Iterator[History], end: Connection) -> bool:
    history = next(histories, None)
    if history is not None:
        end.send(history)
    return history is not None


def _serve(end: Connection) -> None:
    """What a process does. Ctrl-C is for the main process, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        while True:
            end.send(examine(end.recv()))
