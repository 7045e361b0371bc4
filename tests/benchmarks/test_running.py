"""Which windows are measured, repeated, kept and counted."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks import runner
from benchmarks.case import Case, LeftOut, Shape, WrongRun
from benchmarks.kept import Window, counted, drop, keep, load
from benchmarks.runner import Job, in_turn, measured, quickened
from benchmarks.stack import Stack
from benchmarks.suite import all_cases, all_goals

_SERVERS = cast(Stack, SimpleNamespace(empty_redis=lambda: None))


def _case(name: str = "a/a", *, others: Sequence[float] = (0.0,), windows: int = 5, quick: int = 0) -> Case:
    """A case beside whose windows others take so much."""
    shares = iter(others)
    return Case(name, Shape(), lambda _stack, number: {"rate": number, "others": next(shares)}, windows, quick)


def _window(case: str = "a/a", code: str = "now", rate: float = 1.0) -> Window:
    return Window(case, 1, {"rate": rate}, 1.0, "2026-01-01T00:00:00+00:00", code, "a machine")


@pytest.fixture
def job() -> Job:
    """One that keeps nothing."""
    return Job({"a/a": 1}, "now", keep=lambda window: None, say=lambda words: None)


def test_windows_of_cases_are_measured_in_turn() -> None:
    one, other = _case("a/one"), _case("a/other")
    assert in_turn([one, other], {"a/one": 3, "a/other": 1}) == [one, other, one, one]


def test_a_quick_run_has_its_own_windows_and_a_tenth_of_the_records() -> None:
    quick = quickened(_case(windows=5, quick=2))
    assert (quick.windows, quick.shape.records) == (2, 500_000)


def test_a_noisy_window_is_measured_again(job: Job) -> None:
    window = measured(_case(others=[0.9, 0.1]), _SERVERS, count(1), job)
    assert (window.figures["rate"], window.noisy) == (2, False)


def test_of_three_noisy_windows_the_quietest_counts_and_is_marked(job: Job) -> None:
    window = measured(_case(others=[0.9, 0.4, 0.8, 0.0]), _SERVERS, count(1), job)
    assert (window.figures["rate"], window.noisy) == (2, True)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs start none."""

    class _Stack:
        def __init__(self, partitions: int) -> None: ...
        def __enter__(self) -> "_Stack":
            return self

        def __exit__(self, *_: object) -> None: ...
        def produce(self, records: int, size: int) -> None: ...
        def empty_redis(self) -> None: ...

    monkeypatch.setattr(runner, "Stack", _Stack)


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("error", [WrongRun("lost"), LeftOut("absent"), TimeoutError("late")], ids=str)
def test_a_case_that_goes_wrong_is_told_and_left_and_the_others_go_on(error: Exception) -> None:
    calls: list[str] = []

    def fail(_stack: Stack, _number: int) -> Mapping[str, float]:
        calls.append("bad")
        raise error

    kept: list[Window] = []
    job = Job({"a/bad": 2, "a/good": 2}, "now", keep=kept.append, say=lambda words: None)
    runner.run([Case("a/bad", Shape(), fail), _case("a/good", others=[0, 0])], job)
    assert [window.case for window in kept] == ["a/good", "a/good"]
    assert calls == ["bad"]
    assert {**job.wrong, **job.left_out} == {"a/bad": str(error)}
    assert bool(job.left_out) == isinstance(error, LeftOut)


def test_what_is_kept_is_found_again_but_for_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results.jsonl"
    assert load(path) == []
    keep(_window(rate=1), path)
    keep(_window(rate=2), path)
    with path.open("ab") as file:
        file.write(b'{"case":"a/a","num')
    assert load(path) == [_window(rate=1), _window(rate=2)]


def test_a_case_can_be_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for case in ("a/a", "b/b", "a/a"):
        keep(_window(case), path)
    drop(["a/a"], path)
    assert load(path) == [_window("b/b")]


def test_windows_of_the_newest_code_count() -> None:
    windows = [_window(code="old"), _window(code="new", rate=2), _window("b/b", code="newest")]
    assert counted(windows, "a/a") == [_window(code="new", rate=2)]
    assert counted(windows, "c/c") == []


def test_each_case_has_a_name_of_its_own_and_each_goal_a_case() -> None:
    names = [case.id for case in all_cases()]
    assert len(set(names)) == len(names)
    assert {goal.case for goal in all_goals()} <= set(names)
