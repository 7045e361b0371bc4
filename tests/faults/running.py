"""Many cells one after the other, or some side by side: each in a process of its own, its output in one piece."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock

from tests.faults.cell import CELLS, Report
from tests.faults.results import Kept, Result
from tests.faults.rig import Failed

Run = tuple[str, int]


def play(cell: str, seed: int) -> Result:
    """One cell in this process."""
    began = time.monotonic()
    try:
        report = CELLS[cell](seed)
    except Failed as error:
        report = Report({}, [str(error)])
    return Result(cell, seed, round(time.monotonic() - began, 1), report.violations, report.figures)


def play_many(runs: Sequence[Run], kept: Kept, jobs: int, say: Callable[[str], None]) -> list[Run]:
    """Runs that are not kept yet, `jobs` at a time; returns those that are violated or ended without a result."""
    todo = [run for run in runs if not kept.holds(*run)]
    say(f"{len(runs)} runs, {len(runs) - len(todo)} of them kept from before")
    children = Children()
    began, done = time.monotonic(), 0
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(children.run, run, kept): run for run in todo}
        try:
            for future in as_completed(futures):
                done += 1
                say(f"{future.result().rstrip()}\n  -- {done} of {len(todo)}, {time.monotonic() - began:.0f} s")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise
    return [run for run in runs if not kept.holds(*run)]


class Children:
    """The processes under way, so that they can be ended."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[subprocess.Popen[str]] = set()

    def run(self, run: Run, kept: Kept) -> str:
        """One cell in a process of its own; what it printed."""
        cell, seed = run
        command = [sys.executable, "-m", "tests.faults", "--cell", cell, "--seed", str(seed)]
        command += ["--results", str(kept.directory)]
        with self._lock:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self._running.add(child)
        output, _ = child.communicate()
        with self._lock:
            self._running.discard(child)
        return output

    def stop(self) -> None:
        """SIGTERM: a cell stops what it has started."""
        with self._lock:
            for child in self._running:
                child.terminate()
