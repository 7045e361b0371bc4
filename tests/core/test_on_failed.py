"""The pipeline's on_failed task is asked what is done with records that are given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.disposing import ADOPTED_WAIT, STOPPED
from bridge.core.lane import Phase
from bridge.core.view import view
from bridge.core.watch import LINK_TIMEOUT
from bridge.entries import Counters, Decided, Outcome, Rejection, link_id
from bridge.records import PipelineRules, Retry
from tests.core.bench import TP, Bench
from tests.core.given_up import (
    ASKS,
    ONCE,
    SKIPS,
    STOPS,
    asked,
    chain_of,
    finish,
    heir,
    running,
)


def test_the_on_failed_task_is_asked_with_the_records_at_stake_only() -> None:
    bench = running(ASKS)
    bench.take(ef.Dispatch)
    outcome = Outcome("partial", 3, rejected=(Rejection(0, "bad", 1, "store"), Rejection(2, "bad", 1, "store")))
    bench.complete(outcome)
    (ask,) = bench.take(ef.Dispatch)
    assert [r[0] for r in ask.rows] == [0, 2]
    assert (ask.judged, ask.links, ask.chain.count, ask.chain.first, ask.chain.last) == (outcome, 1, 2, 0, 2)
    assert ask.expect.outcome
    assert bench.lane().phase is Phase.RUNNING
    assert bench.dead == []
    assert bench.committed() == 0


def test_what_the_on_failed_task_decides_is_done() -> None:
    bench = running(ASKS)
    bench.reject(0, 1, 2)
    bench.decide("dead_letter", "skip", "dead_letter")
    assert bench.dead_letters() == [(0, "rejected"), (2, "rejected")]
    assert bench.said("skipped") == ["record 1 is skipped: bad"]
    assert bench.committed() == 3
    assert len(bench.take(ef.Settle)) == 1


def test_when_all_are_skipped_nothing_is_written() -> None:
    bench = running(ASKS)
    bench.reject(0, 1)
    bench.decide("skip", "skip")
    assert bench.take(ef.WriteDeadLetters) == []
    assert bench.committed() == 3


def test_stop_wins_over_everything_else_and_nothing_is_written() -> None:
    bench = running(ASKS)
    bench.reject(0, 2)
    bench.decide("dead_letter", "stop")
    assert bench.lane().phase is Phase.STOPPED
    assert bench.lane().reason == "record 2 was rejected by store: bad"
    assert bench.dead == []
    assert bench.committed() == 0


def test_a_lane_that_its_on_failed_task_stops_names_the_failure_that_it_was_asked_about() -> None:
    bench = running(ASKS)
    bench.fail(1)
    bench.decide("stop")
    assert bench.lane().phase is Phase.STOPPED
    assert bench.said("stopped") == [f"offset 1 in store, out of attempts (1): ValueError: no; {STOPPED}"]


def test_a_lane_that_its_on_failed_task_stopped_stays_stopped_and_the_task_is_not_asked_again() -> None:
    old = running(ASKS)
    old.fail(1)
    old.decide("stop")
    bench = heir(old, ASKS)
    bench.wait(60)
    assert bench.lane().phase is Phase.STOPPED
    assert asked(bench) == []


def test_the_dead_letter_of_a_record_that_was_asked_about_names_the_chain_that_failed() -> None:
    bench = running(ASKS)
    chain = chain_of(bench)
    bench.fail(1, at_ms=50, index=1)
    assert chain_of(bench) != chain
    bench.decide("dead_letter")
    letter = bench.dead[0][1]
    assert (letter.chain, letter.attempts, letter.index, letter.first_failed_ms) == (chain, 1, 1, 50)
    assert bench.said("dead_letter") == [
        "1 dead letter written to t.dlq: offset 1 in store, out of attempts (1): ValueError: no"
    ]


def test_rejected_records_are_asked_about_first_and_the_failed_one_with_a_chain_of_its_own() -> None:
    bench = running(ASKS)
    bench.reject(0, fails=2)
    assert asked(bench) == [[0]]
    bench.decide("skip")
    assert asked(bench) == [[2]]
    bench.decide("dead_letter")
    assert bench.dead_letters() == [(2, "exhausted")]
    assert bench.committed() == 3


def test_asking_costs_no_attempt_and_needs_no_room_among_the_bytes_in_flight() -> None:
    bench = running(replace(ASKS, retry=Retry(2, delay=1.0, jitter=0.0)), in_flight_bytes=1)
    bench.reject(0, fails=1)
    bench.decide("dead_letter")
    assert bench.lane().counters == Counters(1, failures=1, tries=1)
    bench.wait(1)
    assert [r[0] for r in bench.payload().rows] == [1, 2]


def test_a_batch_that_names_no_record_is_split_before_anybody_is_asked() -> None:
    bench = running(ASKS)
    bench.fail_all()
    assert asked(bench) == []
    bench.complete()
    bench.fail_all()
    assert asked(bench) == [[2]]


def test_after_the_answer_the_split_goes_on() -> None:
    bench = Bench(replace(ASKS, batch_size=4)).assign()
    bench.fetch(0, 1, 2, 3)
    for _ in range(3):
        bench.fail_all()
    assert asked(bench) == [[0]]
    bench.decide("skip")
    assert [r[0] for r in bench.payload().rows] == [1, 2, 3]
    assert bench.lane().counters.split_last == 3


def test_an_on_failed_task_that_raised_has_its_records_dead_lettered_and_that_is_reported() -> None:
    bench = running(ASKS)
    bench.reject(0, 1)
    bench.decide("dead_letter", "dead_letter", error="KeyError: 'x'")
    assert bench.said("on_failed") == [
        "on_failed rescue has not decided, its records become dead letters: KeyError: 'x'"
    ]
    assert bench.dead_letters() == [(0, "rejected"), (1, "rejected")]
    assert bench.committed() == 3


@pytest.mark.parametrize("kind", ["worker_lost", "timeout", "failed"])
def test_an_on_failed_task_that_ended_without_an_answer_has_its_records_dead_lettered(kind: Any) -> None:
    bench = running(ASKS)
    bench.reject(0, 2)
    bench.claim()
    bench.fault(kind, "WorkerLost")
    assert bench.said("on_failed") == [
        "on_failed rescue has not decided, its records become dead letters: WorkerLost: gone"
    ]
    assert bench.dead_letters() == [(0, "rejected"), (2, "rejected")]
    assert bench.lane().counters.losses == 0


def test_an_on_failed_task_that_runs_for_too_long_is_killed_before_its_records_are_disposed_of() -> None:
    bench = running(ASKS)
    bench.fail(0)
    bench.claim()
    link = link_id(chain_of(bench), 1)
    bench.fault("timeout", LINK_TIMEOUT)
    assert [effect.links for effect in bench.take(ef.TerminateLinks)] == [(link,)]
    bench.wait(4.9)
    assert bench.dead == []
    bench.wait(0.2)
    assert bench.dead_letters() == [(0, "exhausted")]


@pytest.mark.parametrize("kind", ["not_registered", "revoked"])
def test_an_on_failed_task_that_nobody_could_run_stalls_the_lane_and_is_asked_again(kind: Any) -> None:
    bench = running(ASKS)
    bench.reject(1)
    assert asked(bench) == [[1]]
    pauses = []
    for _ in range(4):
        bench.fault(kind, "NotRegistered")
        assert (bench.lane().phase, bench.lane().stalled) == (Phase.DISPOSING, True)
        pauses.append(bench.seconds_until(ef.Dispatch))
        judged = bench.payload().judged
        assert judged is not None
        assert judged.hook_error == ""
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    assert bench.said("stalled")[:2] == [
        "on_failed rescue: NotRegistered: gone (asked again in 1 s)",
        "on_failed rescue: NotRegistered: gone (asked again in 2 s)",
    ]
    assert bench.dead == []
    bench.decide("skip")
    assert bench.committed() == 3
    assert not bench.lane().stalled


def test_an_unknown_on_failed_task_is_heard_from_celery() -> None:
    bench = running(ASKS)
    bench.fail(0)
    bench.handle(ev.ErrorHeard(link_id(chain_of(bench), 1), "FAILURE", "NotRegistered", "rescue", "w1"))
    assert bench.lane().reason == "on_failed rescue: NotRegistered: rescue (asked again in 1 s)"


@pytest.mark.parametrize(
    ("rules", "phase", "dead"),
    [(ONCE, Phase.RUNNING, [(1, "rejected")]), (SKIPS, Phase.RUNNING, []), (STOPS, Phase.STOPPED, [])],
)
def test_an_on_failed_task_that_is_declared_no_more_leaves_the_decision_to_the_policy(
    rules: PipelineRules, phase: Phase, dead: list[tuple[int, str]]
) -> None:
    old = running(ASKS)
    old.reject(1)
    bench = heir(old, rules)
    assert bench.take(ef.PublishLink) == []
    bench.wait(1)
    gone = f"on_exhausted={rules.on_exhausted} does: NoHook: the pipeline has no on_failed task any more"
    assert bench.said("on_failed") == [f"on_failed has not decided, {gone}"]
    assert bench.dead_letters() == dead
    assert bench.lane().phase is phase
    assert bench.batches() == ([] if phase is Phase.STOPPED else [[3, 4]])


def test_an_on_failed_task_that_is_declared_no_more_but_still_runs_is_waited_for() -> None:
    old = running(ASKS)
    old.reject(1)
    old.claim()
    bench = heir(old, STOPS)
    bench.wait(1)
    assert bench.lane().phase is Phase.ADOPTED
    [partition] = view(bench.core, bench.now)
    assert "on_failed (of an earlier declaration) has been running on w1" in partition.lanes[0].reason
    bench.decide("skip")
    assert bench.committed() == 3


@pytest.mark.parametrize("claimed", [False, True])
def test_a_chain_that_asks_is_adopted_and_its_answer_taken(claimed: bool) -> None:
    old = running(ASKS)
    old.reject(0, fails=2)
    if claimed:
        old.claim()
    bench = heir(old, ASKS)
    publishes = bench.take(ef.PublishLink)
    assert [effect.is_hook for effect in publishes] == ([] if claimed else [True])
    bench.decide("skip")
    assert asked(bench) == [[2]]
    bench.decide("dead_letter")
    assert bench.dead_letters() == [(2, "exhausted")]
    finish(bench)


def test_an_answer_that_only_the_next_owner_hears_is_not_asked_for_again() -> None:
    old = running(ASKS)
    old.fail(2)
    judged = old.ledger.read([TP])[TP].lanes[0].judged
    assert judged is not None
    old.complete(replace(judged, decided=(Decided(2, "dead_letter"),)), heard=False)
    bench = heir(old, ASKS)
    bench.wait(1)
    assert asked(bench) == []
    assert bench.dead_letters() == [(2, "exhausted")]
    assert bench.dead[0][1].attempts == 1
    finish(bench)


def test_a_crash_between_the_settle_of_decided_records_and_the_failed_one_asks_about_that_one_only() -> None:
    old = running(ASKS)
    old.reject(0, fails=2)
    old.silent = {ef.Dispatch}
    old.decide("dead_letter")
    bench = heir(old, ASKS)
    bench.wait(ADOPTED_WAIT)
    assert asked(bench) == [[2]]
    assert bench.dead_letters() == [(0, "rejected")]


def test_a_dispatch_that_asks_and_is_refused_is_asked_again_when_the_owner_is_known() -> None:
    bench = running(ASKS)
    bench.silent = {ef.Dispatch}
    bench.reject(1)
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.partition().is_active
    bench.wait(ADOPTED_WAIT)
    bench.decide("skip")
    assert bench.committed() == 3


def test_a_dispatch_that_asks_and_is_not_answered_is_repeated() -> None:
    bench = running(ASKS)
    bench.failing = {ef.Dispatch}
    bench.reject(1)
    bench.wait(3)
    bench.failing = set()
    bench.wait(3)
    bench.decide("skip")
    assert bench.committed() == 3
