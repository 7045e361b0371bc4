"""What every cell is made of: its name, its report, and the few steps that most of them take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faults import history
from tests.faults.checker import Expected, handled, violations
from tests.faults.rig import Failed, Process, Rig


@dataclass(slots=True)
class Report:
    """What a cell found: figures for a person, and violations (none: it holds)."""

    figures: dict[str, object] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


#: every cell by the name that `./run faults --cell NAME` takes; it is given the seed of its draws
CELLS: dict[str, Callable[[int], Report]] = {}


def register(name: str) -> Callable[[Callable[[], Report]], Callable[[], Report]]:
    """Make a function a cell that draws nothing, or from the clock."""

    def add(cell: Callable[[], Report]) -> Callable[[], Report]:
        def play(_seed: int) -> Report:
            return cell()

        play.__doc__ = cell.__doc__
        CELLS[name] = play
        return cell

    return add


def judge(rig: Rig, expected: Expected, **figures: object) -> Report:
    """What the tasks wrote down against the rules."""
    runs = rig.runs()
    records = handled(runs, expected.links[-1]).total()
    return Report({"records handled": records, "batches": len(runs), **figures}, violations(runs, expected))


def require(condition: object, what: str) -> None:
    """Raises Failed when the condition does not hold."""
    if not condition:
        raise Failed(what)


def run_to_end(rig: Rig, timeout: float, *, exit_code: int = 0, **env: str) -> Process:
    """A bridge until it is idle; its memory is sampled."""
    bridge = rig.bridge("--until-idle", name=f"bridge-{len(rig.processes)}", **env)

    def ended() -> bool:
        bridge.sample()
        return bridge.exit_code is not None

    rig.until(ended, timeout, "the bridge until idle", step=0.1)
    if bridge.exit_code != exit_code:
        raise Failed(f"exit {bridge.exit_code} instead of {exit_code}:\n{bridge.tail()}")
    return bridge


def await_lines(rig: Rig, more: int, timeout: float = 120) -> None:
    """Wait until the tasks have written so many more lines."""
    before = rig.lines()
    rig.until(lambda: rig.lines() > before + more, timeout, "work under way")


def open_runs(rig: Rig) -> list[history.Run]:
    """The runs that have not ended."""
    return [run for run in rig.runs() if run.end is None and run.failed_at is None]


def mib(size: int) -> float:
    """Bytes as MiB."""
    return round(size / 2**20, 1)


def rate(runs: Sequence[history.Run], records: int) -> int:
    """Records per second between the first begin and the last end."""
    ends = [run.end for run in runs if run.end is not None]
    return int(records / max(max(ends) - min(run.begin for run in runs), 0.001))
