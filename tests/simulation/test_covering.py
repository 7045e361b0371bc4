"""What counts the rows of the core's tables counts all of them, once each, and changes nothing."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core import failures, lane
from bridge.core.bridge import HANDLERS, Core
from bridge.core.lane import Lane, Phase, Signal
from bridge.records import PipelineRules, TopicPartition
from tests.simulation.covering import ARROWS, EFFECTS, EVENTS, TABLES, counting, never_taken, summary, table
from tests.simulation.history import History, tell
from tests.simulation.mixes import MIXES
from tests.simulation.world import World


def a_lane() -> Lane:
    return Lane(TopicPartition("t", 0), 0, PipelineRules("p", ("task",)))


def test_every_event_that_the_core_handles_is_a_row() -> None:
    assert set(TABLES[EVENTS]) == HANDLERS.keys()


def test_an_arrow_is_counted_when_a_lane_takes_it() -> None:
    with counting() as tally:
        a_lane().move(Signal.DISPATCH)
    assert tally == {(ARROWS, (Phase.FREE, Signal.DISPATCH)): 1}


def test_an_arrow_that_is_not_there_is_still_a_defect_and_is_not_counted() -> None:
    with counting() as tally, pytest.raises(KeyError):
        a_lane().move(Signal.ACCEPT)
    assert not tally


def test_a_mutated_arrow_stays_mutated_while_it_is_counted() -> None:
    moved = a_lane()
    with patch.dict(lane.TABLE, {(Phase.FREE, Signal.DISPATCH): Phase.STOPPED}), counting():
        moved.move(Signal.DISPATCH)
    assert moved.phase is Phase.STOPPED


def test_the_core_is_as_it_was_when_the_counting_ends() -> None:
    before = (lane.TABLE, failures.COUNTED, Core.handle)
    with counting():
        assert lane.TABLE is not before[0]
    assert (lane.TABLE, failures.COUNTED, Core.handle) == before
    assert lane.TABLE is before[0]


def test_every_step_of_a_history_is_one_event_in_the_tally() -> None:
    ending = tell(History("everything", 3))
    assert sum(times for (name, _), times in ending.tally.items() if name == EVENTS) == ending.steps > 200


def test_a_history_is_the_same_whether_it_is_counted_or_not() -> None:
    counted: list[str] = []
    tell(History("everything", 3), counted)
    plain: list[str] = []
    World(3, MIXES["everything"], trace=plain).run()
    assert counted == plain


def test_what_was_never_taken_is_named() -> None:
    tally = tell(History("calm", 0)).tally
    missing = never_taken(tally)
    assert f"{EVENTS}: {ev.ErrorHeard.__name__}" in missing
    assert f"{ARROWS}: STOPPED + ADOPT" in missing
    assert f"{EFFECTS}: {ef.Dispatch.__name__}" not in missing
    assert f"{len(TABLES[ARROWS])} {ARROWS}" in summary(tally)
    assert len(list(table(tally))) == len(TABLES) + sum(len(rows) for rows in TABLES.values())
