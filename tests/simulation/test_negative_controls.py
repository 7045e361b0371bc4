"""The simulation can fail: each defect put into the core or the ledger breaks a promise within a few seeds.

The seed that shows a defect is green without it: what turned it red is the defect.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.simulation.history import Ending, History, tell
from tests.simulation.mutations import MUTATIONS

SEEDS = 60


@cache
def first_red(name: str) -> Ending:
    """The first history in which the mutation breaks one of its promises. Raises AssertionError when none does."""
    mutation = MUTATIONS[name]
    for seed in range(SEEDS):
        ending = tell(History(mutation.mix, seed, name))
        if ending.promise in mutation.promises:
            return ending
    raise AssertionError(f"{SEEDS} seeds of '{mutation.mix}' and none broke {mutation.promises}")


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_defect_is_found_by_a_promise_that_it_breaks(name: str) -> None:
    assert first_red(name).violation


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_seed_that_shows_a_defect_is_green_without_it(name: str) -> None:
    red = first_red(name).history
    assert tell(History(red.mix, red.seed)).violation == ""


def test_a_defect_is_gone_when_its_context_has_ended() -> None:
    before = tell(History("calm", 0))
    for mutation in MUTATIONS.values():
        with mutation.patch():
            pass
    after = tell(History("calm", 0))
    assert (after.steps, after.violation) == (before.steps, "")
