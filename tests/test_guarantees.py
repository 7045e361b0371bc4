"""The example of docs/guarantees.md: a task whose writes are right however often, and however late, it runs."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from bridge import Batch, Record

PAGE = Path(__file__).parent.parent / "docs" / "guarantees.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's module, in a directory of its own."""
    (text,) = re.findall(r"```python\n# ledger_book\.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    module = ModuleType("ledger_book")
    exec(compile(text, "ledger_book.py", "exec"), module.__dict__)
    yield module
    module.app.close()


def batch(offsets: Sequence[int], token: int) -> Batch:
    """Records that pay 1 each."""
    return Batch.of([Record("payments", 0, offset, key=b"ann", value=b"1") for offset in offsets], token=token)


def balance() -> int:
    """What is on the account."""
    with sqlite3.connect("book.db") as book:
        found = book.execute("SELECT balance FROM accounts WHERE name = 'ann'").fetchone()
    book.close()
    return int(found[0]) if found else 0


def test_batches_are_applied_one_after_the_other(example: ModuleType) -> None:
    example.post.run(batch([0, 1, 2], 10))
    example.post.run(batch([3, 7], 11))
    assert balance() == 5


def test_an_attempt_that_comes_again_applies_only_what_is_new(example: ModuleType) -> None:
    example.post.run(batch([0, 1, 2], 10))
    example.post.run(batch([1, 2, 3], 11))
    assert balance() == 4


def test_who_was_replaced_writes_nothing(example: ModuleType) -> None:
    example.post.run(batch([0, 1, 2], 11))
    with pytest.raises(example.Replaced, match="token 10, the lane has seen 11"):
        example.post.run(batch([0, 1, 2, 3], 10))
    assert balance() == 3


def test_an_attempt_that_dies_in_the_middle_leaves_nothing(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Batch.of(
        [Record("payments", 0, 0, key=b"ann", value=b"1"), Record("payments", 0, 1, key=b"ann", value=b"no number")],
        token=10,
    )
    with pytest.raises(ValueError, match="no number"):
        example.post.run(broken)
    assert balance() == 0
    example.post.run(batch([0, 1], 11))
    assert balance() == 2


def test_lanes_do_not_know_each_other(example: ModuleType) -> None:
    example.post.run(batch([5], 20))
    other = Batch.of([Record("payments", 0, 2, key=b"ann", value=b"1")], lane=3, token=4)
    example.post.run(other)
    assert balance() == 2
