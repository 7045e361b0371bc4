"""Runs what is missing of the cases: one set of servers and one filled topic for each shape, the windows of its cases
in turn (a, b, c, a, b, c), so that what is compared was measured side by side.

A window beside which too much else ran is measured again; the quietest of three counts, marked. What a window gave is
kept at once: Ctrl-C loses the window that runs, nothing else. A case that ran wrong is left, the others go on.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from subprocess import TimeoutExpired

import psutil

from benchmarks.case import Case, LeftOut, Shape, WrongRun
from benchmarks.kept import Window
from benchmarks.stack import Stack

#: more than this share of one core of others makes a window noisy
NOISY = 0.35
#: how often a window is measured at most, until it is quiet
TRIES = 3
#: what starting servers takes, and how many records per second fill a topic
_START_S, _FILL_RATE = 10.0, 250_000

Say = Callable[[str], None]


@dataclass(slots=True)
class Job:
    """What is to run: `wanted` windows of each case, a noisy one up to `tries` times. `code` names the bridge. `keep`
    is called with each window that counts. `kept`: those that there are, from which times are guessed. `wrong` and
    `left_out` say afterwards, by case, why."""

    wanted: Mapping[str, int]
    code: str
    keep: Callable[[Window], None]
    say: Say
    tries: int = TRIES
    kept: list[Window] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def in_turn(cases: Sequence[Case], wanted: Mapping[str, int]) -> list[Case]:
    """The cases, each as often as it is wanted, round after round."""
    rounds = range(max((wanted[case.id] for case in cases), default=0))
    return [case for number in rounds for case in cases if wanted[case.id] > number]


def by_shape(cases: Iterable[Case]) -> list[tuple[Shape, list[Case]]]:
    """The cases of each shape, in the order in which shapes first come."""
    found: dict[Shape, list[Case]] = {}
    for case in cases:
        found.setdefault(case.shape, []).append(case)
    return list(found.items())


def quickened(case: Case) -> Case:
    """As --quick measures it: fewer windows, a tenth of the records, which saves about half of the time."""
    seconds = case.seconds / 2 if case.shape.records else case.seconds
    shape = replace(case.shape, records=case.shape.records // 10)
    return replace(case, windows=case.quick, shape=shape, seconds=seconds)


def window_s(case: Case, kept: Sequence[Window]) -> float:
    """Seconds that a window will take, by what it took before, else by what the case guesses."""
    took = [window.seconds for window in kept if window.case == case.id]
    return median(took) if took else case.seconds


def expected_s(cases: Sequence[Case], wanted: Mapping[str, int], kept: Sequence[Window]) -> float:
    """Seconds that it will all take while it is quiet."""
    shapes = by_shape(case for case in cases if wanted[case.id])
    windows = sum(wanted[case.id] * window_s(case, kept) for case in cases)
    return windows + sum(_START_S + shape.records / _FILL_RATE for shape, _ in shapes)


def run(cases: Sequence[Case], job: Job) -> None:
    """Measure what is wanted of the cases."""
    numbers, left = count(1), dict(job.wanted)
    for shape, group in by_shape(case for case in cases if job.wanted[case.id]):
        job.say(f"{shape.partitions} partitions, {shape.records:,} records of {shape.size} bytes")
        with Stack(shape.partitions) as stack:
            stack.produce(shape.records, shape.size)
            for case in in_turn(group, job.wanted):
                left[case.id] -= 1
                if case.id not in job.left_out and case.id not in job.wrong:
                    _run_window(case, stack, numbers, job)
                    _say_what_is_left(cases, left, job)


def _say_what_is_left(cases: Sequence[Case], left: Mapping[str, int], job: Job) -> None:
    if windows := sum(left.values()):
        job.say(f"    {windows} windows are left, about {expected_s(cases, left, job.kept) / 60:.0f} minutes")


def _run_window(case: Case, stack: Stack, numbers: Iterator[int], job: Job) -> None:
    try:
        window = measured(case, stack, numbers, job)
    except LeftOut as error:
        job.left_out[case.id] = str(error)
        job.say(f"  {case.id}: left out: {error}")
    except (WrongRun, TimeoutError, TimeoutExpired) as error:
        job.wrong[case.id] = str(error)
        job.say(f"  {case.id}: WRONG: {error}")
    else:
        job.keep(window)
        job.kept.append(window)
        job.say(f"  {case.id}: {brief(window)}")


def measured(case: Case, stack: Stack, numbers: Iterator[int], job: Job) -> Window:
    """One window that counts: the first quiet one, else the quietest of all tries."""
    tried: list[Window] = []
    while not tried or (tried[-1].noisy and len(tried) < job.tries):
        stack.empty_redis()
        number, began = next(numbers), time.monotonic()
        found = dict(case.run(stack, number))
        others = found.get("others", 0.0)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        seconds = round(time.monotonic() - began, 1)
        tried.append(Window(case.id, number, found, seconds, at, job.code, machine(), others > NOISY))
        if tried[-1].noisy:
            job.say(f"  {case.id}: others took {others:.2f} of a core ({len(tried)} of {job.tries})")
    return min(tried, key=lambda window: (window.noisy, window.figures.get("others", 0.0)))


def brief(window: Window) -> str:
    """A window in a line."""
    shown = [
        f"{name} {value:,.0f}" if value >= 100 else f"{name} {value:.3g}" for name, value in window.figures.items()
    ]
    return ", ".join(shown) + f" ({window.seconds:.0f} s{', NOISY' if window.noisy else ''})"


def machine() -> str:
    """On what it ran."""
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{psutil.cpu_count()} cores {_processor()}, {memory} GiB, Python {platform.python_version()}"


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if not about.exists():
        return platform.machine()
    names = [line.partition(": ")[2] for line in about.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()
