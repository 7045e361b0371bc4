"""What the meter counts, beside a real core on the bench: each test knows what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.repeats import Service
from bridge.entries import Failure, Outcome, Rejection
from bridge.ops.metering import SERVICES, Meter
from bridge.ops.totals import REBALANCES, SECONDS_BOUNDS, SIZE_BOUNDS, Rebalance, Totals
from bridge.records import PipelineRules, Retry
from tests.core.bench import OTHER, RULES, TP, Bench

ONCE = replace(RULES, retry=Retry(1))
SKIPS = replace(ONCE, on_exhausted="skip")
WALL = 1_700_000_000.0


def metered(rules: PipelineRules = RULES, **more: Any) -> tuple[Bench, Callable[[], Totals]]:
    """A bench whose core is watched, and what was counted."""
    bench, meter = Bench(rules, **more), Meter(lambda: WALL)
    handle = bench.core.handle

    def watched(event: ev.Event, now: float) -> list[ef.Effect]:
        effects = handle(event, now)
        meter.observe(event, effects, now)
        return effects

    bench.core.handle = watched  # type: ignore[method-assign]
    return bench, meter.totals


def running(rules: PipelineRules = ONCE, **more: Any) -> tuple[Bench, Callable[[], Totals]]:
    """0, 1 and 2 are in flight, 3 and 4 wait behind them."""
    bench, totals = metered(rules, **more)
    bench.assign()
    bench.fetch(0, 1, 2, 3, 4)
    return bench, totals


def heir(old: Bench, rules: PipelineRules = ONCE) -> tuple[Bench, Callable[[], Totals]]:
    """The bridge has crashed; another one takes over."""
    old.handle(ev.Lost((TP,)))
    bench, totals = metered(rules, beside=old, name="heir")
    bench.assign()
    start = bench.take(ef.StartFetching)[-1].offset
    bench.fetch(*range(start, 5))
    return bench, totals


def test_a_bridge_that_has_done_nothing_has_counted_nothing() -> None:
    assert Meter().totals() == Totals(sizes=Totals().sizes, round_trips=Totals().round_trips)


def test_batches_are_counted_by_their_trigger_and_their_size_when_they_are_dispatched() -> None:
    bench, totals = running()
    assert totals().batches == {"size": 1}
    bench.complete()
    bench.wait(1.5)
    found = totals()
    assert found.batches == {"size": 1, "timeout": 1}
    by_bound = dict(zip(SIZE_BOUNDS, found.sizes.counts, strict=False))
    assert (by_bound[5], by_bound[2], sum(found.sizes.counts), found.sizes.sum) == (1, 1, 2, 5)
    assert found.topics["t"].batches == found.batches


def test_records_are_finished_when_their_chain_says_so_and_the_round_trip_ends_there() -> None:
    bench, totals = running()
    assert totals().finished == 0
    bench.now += 0.7
    bench.complete()
    found = totals()
    assert found.finished == 3
    assert dict(zip(SECONDS_BOUNDS, found.round_trips.counts, strict=False))[1.0] == 1
    assert found.round_trips.sum == pytest.approx(0.7)


def test_gaps_in_the_log_are_no_records() -> None:
    bench, totals = metered()
    bench.assign()
    bench.fetch(0, 10, 20)
    bench.complete()
    assert totals().finished == 3


def test_an_outcome_that_only_the_sweep_finds_counts_once() -> None:
    bench, totals = running()
    bench.complete(heard=False)
    assert totals().finished == 0
    bench.wait(2.0)
    assert totals().finished == 3


def test_an_outcome_that_is_found_and_then_heard_counts_once() -> None:
    bench, totals = running()
    bench.complete(heard=False)
    late = bench.ledger.read([TP])[TP].lanes[0]
    bench.wait(0.9)
    assert late.outcome is not None
    notice = ev.OutcomeHeard(TP, 0, late.seen, late.outcome)
    for _ in range(2):
        bench.handle(notice)
    assert totals().finished == 3


def test_an_outcome_that_came_while_the_partition_was_assigned_again_counts() -> None:
    bench, totals = running()
    bench.complete(heard=False)
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert totals().finished == 3


def test_what_stood_before_a_failed_record_is_finished_and_the_rest_is_a_retry() -> None:
    bench, totals = running(RULES)
    bench.fail(1)
    found = totals()
    assert (found.finished, found.failures, found.retries) == (1, {"failed": 1}, 0)
    bench.wait(5.0)
    bench.complete()
    found = totals()
    assert (found.finished, found.retries) == (3, 1)
    assert (found.batches, sum(found.round_trips.counts)) == ({"size": 1, "timeout": 1}, 2)


def test_a_dispatch_that_the_ledger_does_not_answer_is_no_second_batch() -> None:
    bench, totals = metered()
    bench.assign()
    bench.failing = {ef.Dispatch}
    bench.fetch(0, 1, 2)
    bench.wait(1.0)
    bench.failing = set()
    bench.wait(3.0)
    bench.complete()
    found = totals()
    assert (found.batches, found.retries, found.finished) == ({"size": 1}, 0, 3)
    assert found.errors["ledger"] >= 2


def test_parts_of_a_batch_that_is_split_are_retries() -> None:
    bench, totals = running()
    bench.fail_all()
    bench.complete()
    bench.complete()
    found = totals()
    assert (found.batches, found.retries, found.finished) == ({"size": 1}, 2, 3)


def test_a_chain_that_redis_forgot_goes_again_as_a_retry() -> None:
    bench, totals = running()
    bench.ledger.flush()
    bench.wait(3.0)
    bench.complete()
    assert (totals().batches, totals().retries, totals().finished) == ({"size": 1, "timeout": 1}, 1, 3)


@pytest.mark.parametrize("kind", ["timeout", "worker_lost", "revoked", "not_registered"])
def test_failures_are_counted_by_kind(kind: Any) -> None:
    bench, totals = running(RULES)
    if kind in {"timeout", "worker_lost"}:
        bench.claim()
    bench.fault(kind)
    assert totals().failures == {kind: 1}
    assert totals().finished == 0


def test_a_dead_letter_is_pending_until_the_broker_has_it_and_only_then_finished() -> None:
    bench, totals = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(1)
    found = totals()
    assert (found.finished, found.letters_pending, found.disposed) == (1, 1, {})
    bench.silent = set()
    bench.carry_out_kept()
    found = totals()
    assert (found.finished, found.letters_pending, found.disposed) == (2, 0, {"exhausted": 1})


def test_a_dead_letter_that_is_written_again_counts_once() -> None:
    bench, totals = running()
    bench.failing = {ef.WriteDeadLetters}
    bench.fail(1)
    bench.wait(2.0)
    assert totals().letters_pending == 1
    bench.failing = set()
    bench.wait(5.0)
    found = totals()
    assert (found.disposed, found.letters_pending) == ({"exhausted": 1}, 0)
    assert found.errors["dead_letters"] >= 1


def test_an_acknowledgement_that_comes_twice_counts_once() -> None:
    bench, totals = running()
    bench.silent = {ef.Settle}
    bench.fail(1)
    (letters,) = bench.take(ef.WriteDeadLetters)
    bench.handle(ev.DeadLettersWritten(TP, letters.serial, 0, letters.number, is_owner=True))
    assert (totals().disposed, totals().finished) == ({"exhausted": 1}, 2)


def test_a_dead_letter_is_not_pending_any_more_when_its_record_runs_again() -> None:
    bench, totals = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(1)
    bench.ledger.flush()
    bench.partition().reassign("Redis was emptied")
    bench.wait(5.0)
    assert bench.batches()[-1] == [1, 2]
    assert totals().letters_pending == 0


def test_rejected_records_are_finished_by_their_dead_letters() -> None:
    bench, totals = running()
    bench.silent = {ef.WriteDeadLetters}
    undecodable = Rejection(2, "no JSON", 1, "store", "undecodable")
    bench.complete(Outcome("partial", 3, None, (Rejection(0, "bad", 1, "store"), undecodable)))
    assert (totals().finished, totals().letters_pending, totals().failures) == (1, 2, {})
    bench.silent = set()
    bench.carry_out_kept()
    assert (totals().finished, totals().disposed) == (3, {"rejected": 1, "undecodable": 1})


def test_skipped_records_are_finished_when_the_ledger_says_so() -> None:
    bench, totals = running(SKIPS)
    bench.silent = {ef.Settle}
    bench.fail(1)
    assert (totals().finished, totals().disposed) == (1, {})
    bench.silent = set()
    bench.carry_out_kept()
    assert (totals().finished, totals().disposed) == (2, {"skipped": 1})


def test_the_chain_of_an_on_failed_task_is_no_batch_no_retry_and_finishes_nothing() -> None:
    bench, totals = running(replace(ONCE, on_failed="rescue"))
    bench.fail(1)
    before = totals()
    bench.decide("skip")
    found = totals()
    assert (before.finished, found.finished) == (1, 2)
    assert (found.batches, found.retries, found.failures) == ({"size": 1}, 1, {"failed": 1})
    assert found.disposed == {"skipped": 1}
    assert sum(found.round_trips.counts) == 1


def test_a_stopped_lane_has_finished_what_came_before() -> None:
    bench, totals = running(replace(ONCE, on_exhausted="stop"))
    bench.fail(1)
    bench.wait(10.0)
    assert (totals().finished, totals().disposed, totals().letters_pending) == (1, {}, 0)


def test_a_chain_of_another_owner_is_a_handoff_and_its_failure_counts_but_not_its_records() -> None:
    old, _ = running(RULES)
    bench, totals = heir(old, RULES)
    assert (totals().handoffs, totals().batches) == (1, {})
    bench.fail(1)
    assert (totals().failures, totals().finished, totals().retries) == ({"failed": 1}, 0, 0)
    bench.wait(5.0)
    bench.complete()
    found = totals()
    assert (found.retries, found.finished, found.handoffs) == (1, 2, 1)
    assert sum(found.round_trips.counts) == 1


def test_a_failure_that_an_earlier_owner_has_heard_is_not_counted_again() -> None:
    old, before = running(replace(ONCE, on_exhausted="stop"))
    old.fail(1)
    bench, totals = heir(old, replace(ONCE, on_exhausted="stop"))
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert before().failures == {"failed": 1}
    assert (totals().failures, totals().handoffs) == ({}, 1)


def test_the_own_chain_after_an_assignment_that_began_again_is_no_handoff() -> None:
    bench, totals = running()
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    bench.complete()
    assert (totals().handoffs, totals().finished) == (0, 3)


def test_a_chain_that_an_older_redis_brings_back_is_no_handoff_when_it_was_ours() -> None:
    meter = Meter()
    bench, _ = running()
    entry = bench.ledger.read([TP])[TP]
    meter.observe(ev.Assigned((TP,)), [], 0.0)
    (dispatch,) = bench.take(ef.Dispatch)
    meter.observe(ev.Tick(), [dispatch], 0.0)
    meter.observe(ev.OutcomeHeard(TP, 0, entry.lanes[0].seen, Outcome("ok", 3)), [], 1.0)
    meter.observe(ev.OwnerAssigned(TP, 2, entry), [ef.Report("info", "adopted", "", TP, 0)], 2.0)
    assert meter.totals().handoffs == 0


def test_commits_count_when_they_are_confirmed() -> None:
    bench, totals = running()
    before = totals().commits
    bench.complete()
    bench.wait(6.0)
    assert totals().commits > before
    assert totals().commit_errors == 0
    bench.answer = ev.CommitAnswer.AGAIN
    bench.complete()
    bench.wait(6.0)
    assert totals().commit_errors > 0


def test_rebalances_are_counted_by_kind_and_the_last_ones_are_told() -> None:
    bench, totals = metered()
    bench.assign(OTHER, TP)
    bench.handle(ev.Assigned(()))
    bench.handle(ev.Revoked((OTHER,)))
    bench.handle(ev.Lost((TP,)))
    found = totals()
    assert found.rebalance_counts == {"assigned": 2, "revoked": 1, "lost": 1}
    at = int(WALL * 1000)
    assert found.rebalances == (
        Rebalance(at, "assigned", ("t[0]", "t[1]")),
        Rebalance(at, "revoked", ("t[1]",)),
        Rebalance(at, "lost", ("t[0]",)),
    )
    for _ in range(REBALANCES):
        bench.handle(ev.Lost((TP,)))
    assert {each.kind for each in totals().rebalances} == {"lost"}


def test_a_partition_that_has_gone_leaves_nothing_pending() -> None:
    bench, totals = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(1)
    assert totals().letters_pending == 1
    bench.handle(ev.Revoked((TP,)))
    assert totals().letters_pending == 0


def test_errors_are_counted_by_the_service_that_did_not_answer() -> None:
    bench, totals = metered()
    bench.failing = {ef.AskKafka}
    bench.assign()
    bench.handle(ev.Published(TP, 1, 0, "chain", 1, sure=False))
    bench.handle(ev.Published(TP, 1, 0, "chain", 1, sure=True))
    assert totals().errors == {"kafka": 1, "celery": 1}


def test_every_service_has_a_word() -> None:
    assert set(SERVICES) == set(Service)


def test_an_outcome_without_a_reason_is_a_failure_all_the_same() -> None:
    bench, totals = running(RULES)
    bench.complete(Outcome("failed", 1))
    assert (totals().failures, totals().finished) == ({"failed": 1}, 1)


def test_lanes_of_one_partition_are_counted_each() -> None:
    rules = replace(RULES, order_by="key", lanes=2)
    bench, totals = metered(rules)
    bench.assign()
    keys = (b"g", b"a", b"g", b"a", b"g", b"a")
    bench.fetch(*[(offset, 1, key, b"", ()) for offset, key in enumerate(keys)])
    bench.complete(lane=0)
    failure = Failure(3, "failed", True, 1, "store", "E", "no")
    bench.complete(Outcome("partial", 3, failure), lane=1)
    assert (totals().finished, totals().batches) == (4, {"size": 2})
