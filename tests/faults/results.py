"""Results of the matrix: one JSON file per row and seed, kept for as long as the product is the same.

A result belongs to the code that the promises rest on, to the rules that judge it, and to the module of its row:
another content is another directory, and nothing of what was found before counts for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.cell import CELLS
from tests.faults.matrix import ROWS

ROOT = Path(__file__).parents[2]

#: what shows and starts, and keeps no promise: another page, command or embedded server is no other product here
_SHOWS = frozenset({"cli", "devstack", "ops", "testing"})
_CELLS_OR_TESTS = re.compile(r"rows_.*|.*cells\.py|test_.*")
#: what starts cells and prints results, and judges nothing
_PRINTS = frozenset({"__main__.py", "results.py", "running.py", "table.py"})


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one cell."""

    cell: str
    seed: int
    seconds: float
    violations: list[str]
    figures: dict[str, object]


def version(module: str = "") -> str:
    """Twelve characters that stand for what is tested, and what tests it: the stage, the rules, and the cells of
    `module`."""
    own = f"{module.rpartition('.')[2]}.py"
    found = hashlib.sha256()
    for path in sorted([*(ROOT / "bridge").rglob("*"), *(ROOT / "tests" / "faults").glob("*.py")]):
        room, name = path.relative_to(ROOT).parts[1], path.name
        is_shown = room in _SHOWS or name in _PRINTS
        is_other = room == "faults" and name != own and bool(_CELLS_OR_TESTS.fullmatch(name))
        if path.suffix in {".py", ".lua"} and not (is_shown or is_other):
            found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


class Kept:
    """The results of the present versions in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._versions: dict[str, str] = {}

    def _path(self, cell: str, seed: int) -> Path:
        module = (ROWS[cell].act if cell in ROWS else CELLS[cell]).__module__
        if module not in self._versions:
            self._versions[module] = version(module)
        return self.directory / self._versions[module] / f"{cell}-{seed}.json"

    def write(self, result: Result) -> None:
        """Keep one; a file that is there is whole."""
        path = self._path(result.cell, result.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
        new.replace(path)

    def read(self, cell: str, seed: int) -> Result | None:
        """One that was kept, or None."""
        path = self._path(cell, seed)
        return Result(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def holds(self, cell: str, seed: int) -> bool:
        """It was run, and nothing was violated."""
        found = self.read(cell, seed)
        return found is not None and not found.violations

    def all(self, cells: Sequence[str], seeds: Sequence[int]) -> list[Result]:
        """Those of these cells and seeds that are kept, in this order."""
        found = (self.read(cell, seed) for cell in cells for seed in seeds)
        return [result for result in found if result is not None]
