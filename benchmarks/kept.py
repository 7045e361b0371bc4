"""Results that are kept, so that a run that was interrupted goes on where it stopped: `.bench/results.jsonl`, a line
for each window. A window counts for the code of `bridge/` that it was measured with."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.stack import ROOT

#: where results, plots' data and the environment of other frameworks lie; git ignores it
FOLDER = ROOT / ".bench"
RESULTS = FOLDER / "results.jsonl"


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one window gave. `at`: when it ended, UTC. `code`: see `code_of_the_bridge`. `noisy`: too much else ran
    beside it, each time it was tried."""

    case: str
    number: int
    figures: dict[str, float]
    seconds: float
    at: str
    code: str
    machine: str
    noisy: bool = False


def load(path: Path = RESULTS) -> list[Window]:
    """All windows that are kept, in the order in which they were measured. A line that was cut off is passed over."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Window))
        except msgspec.DecodeError:
            continue  # the run was killed while it wrote
    return found


def keep(window: Window, path: Path = RESULTS) -> None:
    """Write one more line."""
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(window) + b"\n")


def drop(cases: Iterable[str], path: Path = RESULTS) -> None:
    """Forget all windows of these cases."""
    dropped = set(cases)
    rest = [window for window in load(path) if window.case not in dropped]
    if path.exists():
        path.write_bytes(b"".join(msgspec.json.encode(window) + b"\n" for window in rest))


def counted(windows: Sequence[Window], case: str) -> list[Window]:
    """The windows of a case that count: those of the newest code that it was measured with; none if it was not."""
    found = [window for window in windows if window.case == case]
    return [window for window in found if window.code == found[-1].code]


def code_of_the_bridge() -> str:
    """Names the content of `bridge/`: git's id of the directory, and, where something is not committed, a digest of
    that."""
    tree = _git("rev-parse", "--short=12", "HEAD:bridge").strip()
    changes = _git("status", "--porcelain", "bridge") + _git("diff", "HEAD", "--", "bridge")
    return f"{tree}+{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else tree


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), cwd=ROOT, check=True, capture_output=True, text=True).stdout
