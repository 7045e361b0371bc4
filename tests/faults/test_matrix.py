"""The matrix around its rows: in which order they are run, what is kept of them, and the page that shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults import modules, results  # noqa: F401 - modules registers every row
from tests.faults.cell import CELLS
from tests.faults.matrix import ROWS, in_order
from tests.faults.mutations import MUTATIONS
from tests.faults.results import Kept, Result
from tests.faults.table import page

#: the kinds of faults that there are rows for; 0 is none
NUMBERS = set(range(34))

DOCS = Path(__file__).parents[2] / "docs"
PAGE, GUARANTEES = DOCS / "fault-matrix.md", DOCS / "guarantees.md"


def test_there_is_a_row_for_every_kind_of_fault() -> None:
    assert {row.number for row in ROWS.values()} == NUMBERS


def test_every_row_is_run_once_before_any_is_run_again() -> None:
    names = [name for name, row in ROWS.items() if row.number == 1]
    runs = in_order(names, 3)
    assert runs[: len(names)] == [(name, 0) for name in names]
    assert sorted(runs) == sorted((name, seed) for name in names for seed in range(3))
    assert runs[len(names) : len(names) + 2] == [(names[0], 1), (names[0], 2)]


def test_a_result_is_kept_for_the_code_that_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "code" / "bridge" / "core.py"
    code.parent.mkdir(parents=True)
    code.write_text("one = 1\n")
    monkeypatch.setattr(results, "ROOT", tmp_path / "code")
    kept, name = Kept(tmp_path), next(iter(ROWS))
    assert not kept.holds(name, 0)
    kept.write(Result(name, 0, 31.0, [], {"records handled": 7}))
    kept.write(Result(name, 1, 31.0, ["R1 loss"], {}))
    assert kept.holds(name, 0)
    assert not kept.holds(name, 1)
    assert Kept(tmp_path).holds(name, 0)
    code.write_text("one = 2\n")
    assert not Kept(tmp_path).holds(name, 0)


def test_the_page_shows_what_holds_what_is_violated_and_what_was_not_run(tmp_path: Path) -> None:
    kept, (first, second, *_) = Kept(tmp_path), sorted(ROWS, key=lambda name: ROWS[name].number)
    figures: dict[str, object] = {"records handled": 7, "lost": 0, "repeated": 2, "order and overlap": 0}
    kept.write(Result(first, 0, 31.0, [], {**figures, "longest recovery (s)": 1.5}))
    kept.write(Result(second, 0, 31.0, ["R1 loss"], figures))
    text = page(kept, range(3))
    assert f"{ROWS[first].what} | 1 | 7 | 0 | 2 | 0 | 1.5 s | 31 s |" in text
    assert f"{ROWS[second].what} | 1, **1 violated** | 7 | 0 | 2 | 0 |  | 31 s |" in text
    assert text.count("not run") == len(ROWS) - 2


def test_the_published_page_has_every_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name, row in ROWS.items() if f"| {row.number} | {row.what} |" not in text] == []


def test_every_mutation_names_a_cell_that_there_is() -> None:
    assert [name for name, each in MUTATIONS.items() if each.cell not in CELLS] == []


def test_a_mutation_breaks_what_the_page_says() -> None:
    _, _, text = GUARANTEES.read_text(encoding="utf-8").partition("On real parts (`./run faults --mutation NAME`)")
    rows = re.findall(r"^\| `([\w-]+)`[^|]* \| ([\w-]+) \| ([^|]+) \|$", text, re.MULTILINE)
    said = {
        name: (cell, frozenset(re.findall(r"R\d+|P\d+", broken.replace("promise ", "P"))))
        for name, cell, broken in rows
    }
    assert said == {name: (each.cell, each.breaks) for name, each in MUTATIONS.items()}


def test_a_mutation_is_caught_by_the_rules_that_it_breaks_and_not_by_a_timeout() -> None:
    defect = MUTATIONS["commit-highest"]
    assert defect.caught(["R2 commit: t[0]: 9 at 3.000", "R12 exit: b0 ended with 1"]) == [
        "R2 commit: t[0]: 9 at 3.000"
    ]
    assert defect.caught(["everything committed: not within 120 s", "R11 signals: none", "R12 exit: b0"]) == []
    assert defect.caught([]) == []
