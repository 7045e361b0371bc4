"""What operators want, on real servers and on the model: both do the same, and every change leaves its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from bridge.instructions import Instructions, Pause, Request, Target
from bridge.ledger.operators import AUDIT_LINES, Operators
from tests.ledger.operators_model import OperatorsModel

TOPIC, PARTITION, LANE = Target("orders"), Target("orders", 3), Target("orders", 3, 1)
OTHER = Target("orders-eu", 3)
DEPLOY = Pause(TOPIC, "ann", 1_700_000_000_000, "a deploy \n [ü]")
SKIP = Request("r1", "skip", LANE, 17, "bob", 1_700_000_000_500, "known")

Any = Operators | OperatorsModel


@pytest.fixture
def real_operators(client: redis.Redis, group_name: str) -> Operators:
    return Operators(client, group_name)


@pytest.fixture
def both(real_operators: Operators) -> Iterator[tuple[Operators, OperatorsModel]]:
    """The same is done to both; in the end they must hold the same."""
    model = OperatorsModel()
    yield real_operators, model
    assert real_operators.read() == model.read()
    assert real_operators.audit() == model.audit()


def test_nothing_is_wanted_of_a_new_group(both: tuple[Any, Any]) -> None:
    for operators in both:
        assert operators.read() == Instructions()
        assert operators.audit() == ()


def test_a_pause_lasts_until_it_is_resumed_and_both_are_written_down(both: tuple[Any, Any]) -> None:
    for operators in both:
        operators.pause(DEPLOY)
        assert operators.read() == Instructions(1, (DEPLOY,))
        assert operators.resume(TOPIC, who="bob", at_ms=5, note="done") == (DEPLOY,)
        assert operators.read() == Instructions(2)
        lines = [(line.who, line.action, line.target, line.note) for line in operators.audit()]
        assert lines == [("ann", "pause", "orders", DEPLOY.note), ("bob", "resume", "orders", "done")]


def test_resuming_ends_the_pauses_of_all_parts_and_of_nothing_else(both: tuple[Any, Any]) -> None:
    for operators in both:
        for target in (TOPIC, PARTITION, LANE, OTHER):
            operators.pause(replace(DEPLOY, target=target))
        assert {pause.target for pause in operators.resume(PARTITION, who="bob", at_ms=5)} == {PARTITION, LANE}
        assert {pause.target for pause in operators.read().pauses} == {TOPIC, OTHER}


def test_resuming_what_is_not_paused_changes_nothing(both: tuple[Any, Any]) -> None:
    for operators in both:
        assert operators.resume(TOPIC, who="bob", at_ms=5) == ()
        assert operators.read().number == 0


def test_a_request_stays_until_it_is_answered_once(both: tuple[Any, Any]) -> None:
    for operators in both:
        operators.ask(SKIP)
        assert operators.read().requests == (SKIP,)
        assert operators.answer(SKIP, "record 17 is skipped", done=True, bridge="b1", at_ms=9)
        assert not operators.answer(SKIP, "again", done=False, bridge="b2", at_ms=10)
        assert operators.read() == Instructions(2)
        asked, answered = operators.audit()
        assert (asked.who, asked.note, asked.result, asked.request) == ("bob", "known", "", "r1")
        assert (answered.who, answered.result, answered.offset) == ("b1", "record 17 is skipped", 17)
        assert (asked.done, answered.done) == (False, True)


def test_a_request_may_be_withdrawn_before_it_is_answered(both: tuple[Any, Any]) -> None:
    for operators in both:
        operators.ask(SKIP)
        assert operators.withdraw(SKIP, who="ann", at_ms=9)
        assert not operators.withdraw(SKIP, who="ann", at_ms=9)
        assert not operators.answer(SKIP, "too late", done=True, bridge="b1", at_ms=10)
        assert operators.audit()[-1].result == "withdrawn"


def test_pauses_are_kept_when_the_server_has_lost_them(both: tuple[Any, Any], client: redis.Redis) -> None:
    mine = replace(DEPLOY, target=OTHER, who="eve")
    for operators in both:
        assert operators.keep_pauses(7, (DEPLOY,))
        assert operators.read() == Instructions(7, (DEPLOY,))
        operators.pause(mine)
        assert operators.keep_pauses(9, (DEPLOY, replace(mine, who="old")))
        assert operators.read() == Instructions(9, (DEPLOY, mine))


@pytest.mark.parametrize("number", [1, 2])
def test_pauses_that_the_server_knows_better_are_not_kept(both: tuple[Any, Any], number: int) -> None:
    for operators in both:
        operators.pause(DEPLOY)
        operators.resume(TOPIC, who="bob", at_ms=5)
        assert not operators.keep_pauses(number, (DEPLOY,))
        assert operators.read().pauses == ()


def test_only_the_last_lines_are_kept(both: tuple[Any, Any]) -> None:
    for operators in both:
        for number in range(AUDIT_LINES + 3):
            operators.pause(replace(DEPLOY, at_ms=number))
        lines = operators.audit()
        assert (len(lines), lines[0].at_ms, lines[-1].at_ms) == (AUDIT_LINES, 3, AUDIT_LINES + 2)
        assert operators.audit(2) == lines[-2:]


def test_groups_do_not_hear_of_each_other(real_operators: Operators, client: redis.Redis, group_name: str) -> None:
    other = Operators(client, f"{group_name}-other")
    real_operators.pause(DEPLOY)
    assert other.read() == Instructions()
