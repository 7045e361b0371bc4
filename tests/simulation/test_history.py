"""A history ends with what was broken, and with the line that tells it again."""

from __future__ import annotations

import shlex

import pytest

from bridge.core.lane import Lane
from tests.simulation.history import History, tell
from tests.simulation.mixes import MIXES


def test_an_error_of_the_core_is_a_finding_that_names_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lane: Lane, reading: int, now: float) -> None:
        raise ValueError("no such lane")

    monkeypatch.setattr(Lane, "accept", broken)
    trace: list[str] = []
    ending = tell(History("calm", 0), trace)
    assert ending.violation == "ValueError in broken: no such lane"
    assert ending.promise == "ValueError in broken"
    assert ending.steps > 0
    assert any("Traceback" in line for line in trace)


def test_a_mutation_is_gone_when_its_history_ends() -> None:
    assert any(tell(History("keys", seed, mutation="commit-highest")).promise == "P1" for seed in range(5))
    assert not any(tell(History("keys", seed)).violation for seed in range(5))


def test_what_is_different_stands_in_the_rules_and_in_the_line() -> None:
    history = History(
        "rules and redis", 7, "commit-highest", frozenset({"kill", "flush"}), chaos=2.5, bridges=1, partitions=3
    )
    rules = history.rules
    assert rules.faults == MIXES["rules and redis"].faults - {"kill", "flush"}
    assert (rules.chaos, rules.bridges, rules.partitions) == (2.5, 1, 3)
    assert shlex.split(history.command) == shlex.split(
        "./run simulate --mix 'rules and redis' --seed 7 --mutation commit-highest --without flush --without kill "
        "--chaos 2.5 --bridges 1 --partitions 3 --trace"
    )


def test_a_history_without_differences_is_its_mix() -> None:
    history = History("calm", 0)
    assert history.rules == MIXES["calm"]
    assert history.command == "./run simulate --mix calm --seed 0 --trace"
