"""What happens to a batch that did not succeed: tried again in place, or given up. Never passed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.failures import Decision, Limits, Verdict, count, judge
from bridge.core.lane import Phase
from bridge.entries import Counters, Failure, FailureKind, Outcome
from bridge.records import PipelineRules, Retry
from tests.core.bench import RULES, TP, Bench

RETRY = Retry(max_attempts=3, delay=1.0, max_delay=8.0, factor=2.0, jitter=0.5)
LIMITS = Limits(max_timeouts=2, max_worker_losses=3)


def decide(
    outcome: Outcome, counters: Counters | None = None, *, stalls: int = 0, roll: float = 0.0, retry: Retry = RETRY
) -> Decision:
    return judge(outcome, counters or Counters(), retry, LIMITS, stalls=stalls, roll=roll)


def failed(offset: int = 5, kind: FailureKind = "failed", **more: object) -> Outcome:
    return Outcome("failed", offset, Failure(offset, kind, message="no", **more))  # type: ignore[arg-type]


# --- the table --------------------------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_after_an_exponential_pause() -> None:
    retry = replace(RETRY, max_attempts=10)
    waits = []
    counters = Counters()
    for _ in range(5):
        decision = decide(failed(), counters, retry=retry)
        counters = decision.counters
        waits.append(decision.wait)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert counters == Counters(5, failures=5, tries=5)


def test_jitter_makes_the_pause_longer_by_its_fraction_at_most() -> None:
    assert decide(failed(), roll=1.0).wait == 1.5


def test_a_pause_that_the_task_asked_for_is_kept() -> None:
    assert decide(replace(failed(), delay=33.0)).wait == 33.0


@pytest.mark.parametrize("delay", [float("nan"), float("inf")])
def test_a_pause_that_is_no_time_is_not_kept(delay: float) -> None:
    assert decide(replace(failed(), delay=delay)).wait == 1.0


def test_out_of_attempts_a_record_is_given_up() -> None:
    decision = decide(failed(), Counters(5, failures=2, tries=2))
    assert decision.verdict is Verdict.GIVE_UP
    assert decision.reason == "offset 5, out of attempts (3): no"


def test_a_failure_that_is_not_to_be_retried_is_given_up_at_once() -> None:
    decision = decide(failed(retryable=False))
    assert decision.verdict is Verdict.GIVE_UP
    assert decision.reason == "offset 5, not to be retried: no"


def test_counters_start_anew_when_the_first_unfinished_offset_moves() -> None:
    assert decide(failed(6), Counters(5, failures=2, losses=2, tries=4)).counters == Counters(6, failures=1, tries=1)


@pytest.mark.parametrize(
    ("kind", "counters", "verdict"),
    [
        ("timeout", Counters(5, failures=9, timeouts=0), Verdict.TRY_AGAIN),
        ("timeout", Counters(5, timeouts=1), Verdict.GIVE_UP),
        ("worker_lost", Counters(5, failures=9, losses=1), Verdict.TRY_AGAIN),
        ("worker_lost", Counters(5, losses=2), Verdict.GIVE_UP),
    ],
)
def test_failures_timeouts_and_lost_workers_are_counted_apart(
    kind: FailureKind, counters: Counters, verdict: Verdict
) -> None:
    decision = decide(failed(kind=kind), counters)
    assert decision.verdict is verdict
    assert decision.wait == 0.0


@pytest.mark.parametrize("kind", ["revoked", "not_registered"])
def test_what_is_nobodys_fault_stalls_with_a_growing_pause_and_is_never_counted(kind: FailureKind) -> None:
    decisions = [decide(failed(kind=kind), Counters(5, failures=1), stalls=stalls) for stalls in (0, 1, 5, 50)]
    assert [decision.wait for decision in decisions] == [1.0, 2.0, 32.0, 60.0]
    assert {decision.verdict for decision in decisions} == {Verdict.STALL}
    assert decisions[0].counters == Counters(5, failures=1)


def test_the_time_of_the_first_failure_is_kept_until_the_offset_moves() -> None:
    first = decide(failed(at_ms=1000)).counters
    second = decide(failed(at_ms=2000), first).counters
    assert (first.since_ms, second.since_ms) == (1000, 1000)
    assert decide(failed(6, at_ms=3000), second).counters.since_ms == 3000


def test_an_outcome_that_says_nothing_counts_as_a_failure() -> None:
    decision = decide(Outcome("failed", 5))
    assert decision.counters == Counters(5, failures=1, tries=1)
    assert "the chain ended without saying why" in decision.reason


def test_counting_leaves_other_counters_alone() -> None:
    assert count(Counters(5, 1, 1, 1, tries=3), 5, Failure(5, "timeout")) == Counters(5, 1, 2, 1, tries=4)
    assert count(Counters(4, 1, 1, 1, tries=3), 5, Failure(5, "revoked")) == Counters(5)


# --- in place ---------------------------------------------------------------------------------------------------------


STOPS = replace(RULES, on_exhausted="stop")


def running(rules: PipelineRules = RULES) -> Bench:
    bench = Bench(rules).assign()
    bench.fetch(*range(6))
    return bench


def test_a_failed_batch_is_tried_again_in_place_and_the_lane_waits() -> None:
    bench = running()
    bench.fail(0)
    assert bench.lane().phase is Phase.RETRYING
    bench.wait(3.9)
    assert bench.batches() == [[0, 1, 2]]
    bench.wait(0.2)
    (again,) = bench.take(ef.Dispatch)
    assert [r[0] for r in again.rows] == [0, 1, 2]
    assert (again.chain.attempt, again.counters) == (2, Counters(0, failures=1, tries=1))
    bench.complete()
    assert bench.batches() == [[3, 4, 5]]
    assert bench.lane().last_error == ""


def test_what_is_finished_before_the_failed_record_does_not_run_again() -> None:
    bench = running()
    bench.batches()
    bench.fail(1)
    assert bench.committed() == 1
    bench.wait(5)
    assert bench.batches() == [[1, 2]]
    bench.fail(2)
    assert bench.committed() == 2
    bench.wait(5)
    (last,) = bench.take(ef.Dispatch)
    assert [r[0] for r in last.rows] == [2]
    assert last.chain.attempt == 2  # the first try of 2 was in the batch before
    assert last.counters == Counters(2, failures=1, tries=1)


def test_out_of_attempts_the_lane_stops_where_that_is_the_policy_and_the_position_stays_below_the_record() -> None:
    bench = running(STOPS)
    for _ in range(3):
        bench.wait(60)
        bench.fail(0, "broken")
    assert bench.lane().phase is Phase.STOPPED
    assert bench.lane().reason == "offset 0 in store, out of attempts (3): ValueError: broken"
    assert bench.lane().last_error == "ValueError: broken"
    bench.wait(1000)
    assert bench.batches() == [[0, 1, 2]] * 3
    assert bench.committed() == 0


def test_a_rejected_record_stops_its_lane_where_that_is_the_policy_and_nothing_from_it_on_is_committed() -> None:
    bench = running(STOPS)
    bench.reject(1)
    assert bench.lane().phase is Phase.STOPPED
    assert bench.committed() == 1
    bench.wait(100)
    assert bench.batches() == [[0, 1, 2]]


def test_out_of_attempts_a_record_is_dead_lettered_and_what_is_behind_it_goes_on() -> None:
    bench = running()
    for _ in range(3):
        bench.wait(60)
        bench.fail(1)
    assert bench.dead_letters() == [(1, "exhausted")]
    assert bench.committed() == 2
    assert bench.batches() == [[0, 1, 2], [1, 2], [1, 2], [2]]
    bench.complete()
    assert bench.batches() == [[3, 4, 5]]


def test_retry_counters_are_kept_in_the_ledger() -> None:
    bench = running()
    bench.fail(0)
    bench.wait(5)
    assert bench.ledger.read([TP])[TP].lanes[0].counters == Counters(0, failures=1, tries=1)


# --- errors that Celery stores ----------------------------------------------------------------------------------------


def claimed() -> tuple[Bench, str]:
    bench = running()
    bench.claim(worker="w1")
    assert bench.lane().flight is not None
    return bench, f"{bench.lane().flight.chain}-1"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("exception", "kind", "tried"),
    [
        ("WorkerLostError", "worker_lost", Counters(0, losses=1, tries=1)),
        ("TimeLimitExceeded", "timeout", Counters(0, timeouts=1, tries=1)),
    ],
)
def test_a_killed_child_or_a_hard_time_limit_starts_a_new_attempt_at_once(
    exception: str, kind: str, tried: Counters
) -> None:
    bench, link = claimed()
    bench.handle(ev.ErrorHeard(link, "FAILURE", exception, "gone", "w1"))
    (fault,) = bench.take(ef.SetFault)
    assert (fault.outcome.failure.kind, fault.claimed_by) == (kind, "w1")  # type: ignore[union-attr]
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    assert bench.lane().counters == tried


def test_an_error_of_another_worker_than_the_one_that_holds_the_claim_changes_nothing() -> None:
    bench, link = claimed()
    bench.handle(ev.ErrorHeard(link, "FAILURE", "WorkerLostError", "gone", "w2"))
    assert bench.lane().phase is Phase.RUNNING


@pytest.mark.parametrize("exception", ["ValueError", "WorkerLostError", "TimeLimitExceeded"])
def test_an_error_that_says_nothing_of_a_claim_is_left_to_the_sweep(exception: str) -> None:
    bench, link = claimed()
    bench.handle(ev.ErrorHeard(link, "FAILURE", exception, "no", ""))
    assert bench.take(ef.SetFault) == []


def test_an_unknown_task_stalls_the_lane_and_is_tried_again() -> None:
    bench = running()
    link = f"{bench.lane().flight.chain}-1"  # type: ignore[union-attr]
    bench.handle(ev.ErrorHeard(link, "FAILURE", "NotRegistered", "store", "w1"))
    assert bench.lane().phase is Phase.RETRYING
    assert bench.lane().stalled
    assert bench.said("stalled") == [
        "task store is not registered on a worker that consumes its queue (tried again in 1 s)"
    ]
    bench.wait(1.1)
    (again,) = bench.take(ef.Dispatch)[1:]
    assert again.chain.attempt == 1
    assert not bench.lane().stalled


def test_an_unknown_task_on_one_worker_does_not_touch_a_link_that_another_runs() -> None:
    bench, link = claimed()
    bench.handle(ev.ErrorHeard(link, "FAILURE", "NotRegistered", "store", "w2"))
    assert bench.lane().phase is Phase.RUNNING


def test_a_link_revoked_by_hand_before_it_ran_stalls_and_is_tried_again() -> None:
    bench = running()
    link = f"{bench.lane().flight.chain}-1"  # type: ignore[union-attr]
    bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "revoked", "w1"))
    assert bench.lane().stalled
    bench.wait(2)
    assert bench.lane().phase is Phase.RUNNING


def test_a_link_revoked_by_hand_is_not_taken_for_dead_while_a_worker_runs_it() -> None:
    bench, link = claimed()
    bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "revoked", "w2"))
    assert bench.lane().phase is Phase.RUNNING
    bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert bench.lane().phase is Phase.RETRYING
    assert bench.lane().counters == Counters(0)


def test_stalls_that_follow_each_other_wait_longer_each_time() -> None:
    bench = running()
    pauses = []
    for _ in range(4):
        bench.handle(ev.ErrorHeard(f"{bench.lane().flight.chain}-1", "FAILURE", "NotRegistered", "x", "w1"))  # type: ignore[union-attr]
        pauses.append(bench.seconds_until(ef.Dispatch))
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    bench.complete()
    assert bench.lane().stalls == 0


def test_errors_of_links_that_are_not_ours_change_nothing() -> None:
    bench = running()
    for link in ("somebody-1", "not an id", ""):
        bench.handle(ev.ErrorHeard(link, "FAILURE", "WorkerLostError", "x", "w1"))
    assert bench.take(ef.SetFault) == []


def test_the_same_error_heard_twice_starts_one_new_attempt() -> None:
    bench, link = claimed()
    for _ in range(2):
        bench.handle(ev.ErrorHeard(link, "FAILURE", "WorkerLostError", "gone", "w1"))
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    assert bench.lane().counters == Counters(0, losses=1, tries=1)
