"""A red history becomes smaller and stays red, for the same reason, in a bounded number of tries."""

from __future__ import annotations

from tests.simulation.history import Ending, History, tell
from tests.simulation.minimise import minimise
from tests.simulation.mixes import MIXES

RED = History("group", 1)


def told(history: History, violation: str) -> Ending:
    return Ending(history, violation=violation)


def test_only_what_is_needed_is_left() -> None:
    def needs_a_kill_and_two_bridges(history: History) -> Ending:
        rules = history.rules
        is_red = "kill" in rules.faults and rules.chaos >= 20 and rules.bridges >= 2
        return told(history, "P1: lost" if is_red else "")

    smallest = minimise(told(RED, "P1: lost"), needs_a_kill_and_two_bridges).history
    assert smallest.rules.faults == {"kill"}
    assert 20 <= smallest.rules.chaos < 40
    assert (smallest.rules.bridges, smallest.rules.partitions) == (2, 1)
    assert (smallest.mix, smallest.seed) == (RED.mix, RED.seed)


def test_a_history_that_breaks_another_promise_is_not_a_smaller_one() -> None:
    smallest = minimise(told(RED, "P1: lost"), lambda history: told(history, "P5: not done"))
    assert smallest.history == RED


def test_what_could_not_go_is_tried_again_when_something_else_has_gone() -> None:
    def moves_matter_while_there_are_two_bridges(history: History) -> Ending:
        rules = history.rules
        return told(history, "P1: lost" if "move" in rules.faults or rules.bridges == 1 else "")

    smallest = minimise(told(RED, "P1: lost"), moves_matter_while_there_are_two_bridges).history
    assert not smallest.rules.faults


def test_the_tries_are_bounded() -> None:
    tried = []

    def always(history: History) -> Ending:
        tried.append(history)
        return told(history, "P1: lost")

    minimise(told(RED, "P1: lost"), always, tries=4)
    assert len(tried) == 4


def test_a_real_red_history_stays_red_with_fewer_kinds_of_fault() -> None:
    endings = (tell(History("noise", seed, mutation="two-claims-of-one-link")) for seed in range(60))
    red = next(ending for ending in endings if ending.violation)
    smallest = minimise(red)
    assert smallest.history.rules.faults < MIXES["noise"].faults
    assert smallest.history.rules.chaos < MIXES["noise"].chaos
    again = tell(smallest.history)
    assert again.violation == smallest.violation
    assert again.promise == red.promise
