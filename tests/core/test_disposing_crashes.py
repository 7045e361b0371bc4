"""A bridge crashes while it disposes of records, at every point: nothing is lost, no dead letter comes three times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.disposing import ADOPTED_WAIT
from bridge.core.lane import Phase
from bridge.entries import Counters, Outcome
from bridge.records import PipelineRules, Retry
from tests.core.bench import TP, Bench
from tests.core.given_up import (
    ASKS,
    FAILED,
    ONCE,
    OUTCOMES,
    REJECTED,
    SKIPS,
    STOPS,
    asked,
    finish,
    heir,
    running,
)


def crash_before_letters(bench: Bench, outcome: Outcome) -> None:
    bench.complete(outcome, heard=False)


def crash_while_letters_are_written(bench: Bench, outcome: Outcome) -> None:
    bench.silent = {ef.WriteDeadLetters}
    bench.complete(outcome)


def crash_when_letters_may_be_written(bench: Bench, outcome: Outcome) -> None:
    bench.silent = {ef.WriteDeadLetters}
    bench.complete(outcome)
    (write,) = bench.kept
    bench._owners_step(write)  # and nobody hears of it


def crash_before_settle(bench: Bench, outcome: Outcome) -> None:
    bench.silent = {ef.Settle, ef.Commit}
    bench.complete(outcome)


def crash_behind_settle(bench: Bench, outcome: Outcome) -> None:
    bench.silent = {ef.Settle, ef.Commit}
    bench.complete(outcome)
    (settle,) = [effect for effect in bench.kept if isinstance(effect, ef.Settle)]
    bench._owners_step(settle)


def crash_behind_settle_and_commit(bench: Bench, outcome: Outcome) -> None:
    bench.silent = {ef.Dispatch}
    bench.complete(outcome)


CRASHES: list[Callable[[Bench, Outcome], None]] = [
    crash_before_letters,
    crash_while_letters_are_written,
    crash_when_letters_may_be_written,
    crash_before_settle,
    crash_behind_settle,
    crash_behind_settle_and_commit,
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["last", "first", "rejected", "rejected and failed"])
@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_at_any_point_loses_no_dead_letter_and_doubles_each_at_most_once(
    crash: Callable[[Bench, Outcome], None], outcome: Outcome
) -> None:
    old = running()
    crash(old, outcome)
    bench = heir(old, ONCE)
    bench.wait(ADOPTED_WAIT)
    finish(bench)
    wanted = {each.offset: "rejected" for each in outcome.rejected}
    wanted |= {} if outcome.failure is None else {outcome.failure.offset: "exhausted"}
    written = bench.dead_letters()
    assert set(written) == set(wanted.items())
    assert all(written.count(each) <= 2 for each in written)


@pytest.mark.parametrize("crash", CRASHES)
def test_what_is_behind_a_crash_has_all_its_attempts(crash: Callable[[Bench, Outcome], None]) -> None:
    twice = replace(ONCE, retry=Retry(2, delay=1.0, jitter=0.0))
    old = running(twice)
    crash(old, Outcome("failed", 0, replace(FAILED, offset=0, retryable=False)))
    bench = heir(old, twice)
    bench.wait(ADOPTED_WAIT)
    assert {offset for offset, _ in bench.dead_letters()} == {0}
    bench.wait(1)
    assert [r[0] for r in bench.payload().rows] == [1, 2]
    bench.fail(1)
    assert bench.lane().phase is Phase.RETRYING
    assert bench.lane().counters == Counters(1, failures=1, tries=1)


@pytest.mark.parametrize("crash", CRASHES)
def test_the_record_that_failed_behind_rejected_ones_has_all_its_attempts_after_a_crash(
    crash: Callable[[Bench, Outcome], None],
) -> None:
    twice = replace(ONCE, retry=Retry(2, delay=1.0, jitter=0.0))
    old = running(twice)
    crash(old, Outcome("partial", 1, replace(FAILED, offset=1), REJECTED[:1]))
    bench = heir(old, twice)
    bench.wait(ADOPTED_WAIT + 1)
    assert {offset for offset, _ in bench.dead_letters()} == {0}
    assert [r[0] for r in bench.payload().rows] == [1, 2]
    assert bench.lane().counters == Counters(1, failures=1, tries=1)


@pytest.mark.parametrize("crash", CRASHES[1:3])
def test_a_second_copy_of_a_dead_letter_says_the_same(crash: Callable[[Bench, Outcome], None]) -> None:
    twice = replace(ONCE, retry=Retry(2, delay=1.0, jitter=0.0))
    old = running(twice)
    old.fail(0, at_ms=70)
    old.wait(1)
    crash(old, Outcome("failed", 0, replace(FAILED, offset=0, at_ms=90)))
    (write,) = [effect for effect in old.kept if isinstance(effect, ef.WriteDeadLetters)]
    bench = heir(old, twice)
    bench.wait(ADOPTED_WAIT)
    assert bench.dead[-1][1] == write.letters[0]


def test_what_may_have_been_written_already_is_written_again_and_does_not_run_again_even_in_an_outage() -> None:
    old = running()
    crash_when_letters_may_be_written(old, OUTCOMES[1])
    old.handle(ev.Lost((TP,)))
    bench = Bench(ONCE, beside=old, name="b2", brake_lanes=1).assign()
    bench.core.brake.failed((TP, 0), 1, bench.now)
    bench.fetch(0, 1, 2, 3, 4)
    bench.wait(1)
    assert bench.dead_letters() == [(0, "exhausted")] * 2
    assert [r[0] for r in bench.payload().rows] == [1, 2]


def test_records_are_not_given_up_before_they_are_read_again() -> None:
    old = running()
    old.complete(OUTCOMES[1], heard=False)
    old.handle(ev.Lost((TP,)))
    bench = Bench(ONCE, beside=old, name="b2").assign()
    bench.wait(60)
    bench.fetch(0, 1)
    bench.wait(60)
    assert bench.take(ef.WriteDeadLetters) == []
    bench.fetch(2)
    assert bench.dead_letters() == [(0, "exhausted")]


@pytest.mark.parametrize("rules", [ONCE, ASKS, STOPS, SKIPS])
@pytest.mark.parametrize("outcome", OUTCOMES[1:3])
def test_records_that_the_log_no_longer_holds_are_finished_without_a_letter(
    rules: PipelineRules, outcome: Outcome
) -> None:
    old = running(rules)
    old.complete(outcome, heard=False)
    bench = heir(old, rules, 2, 3, 4)
    bench.wait(ADOPTED_WAIT)
    assert bench.dead == []
    assert bench.said("stopped") == []
    finish(bench)


def test_of_several_records_at_stake_those_that_are_left_are_asked_about_and_once() -> None:
    old = running(ASKS)
    old.complete(OUTCOMES[2], heard=False)
    bench = heir(old, ASKS, 1, 2, 3, 4)
    bench.wait(ADOPTED_WAIT)
    assert asked(bench) == [[1]]
    bench.decide("dead_letter", error="ValueError: no")
    assert asked(bench) == []
    assert bench.dead_letters() == [(1, "rejected")]
    finish(bench)


def test_a_chain_asked_about_records_that_were_deleted_since_is_heard_out() -> None:
    old = running(ASKS)
    old.reject(1)
    old.handle(ev.Lost((TP,)))
    bench = Bench(ASKS, beside=old, name="b2")
    bench.broker.start = 5
    bench.assign()
    bench.fetch(5, 6, 7)
    assert bench.lane().phase is Phase.ADOPTED
    bench.decide("dead_letter")
    assert bench.dead == []  # its record is gone
    assert bench.batches() == [[5, 6, 7]]
