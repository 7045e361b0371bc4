"""What operators want, in every phase of a lane: what is done, what is answered, and what is never lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.failures import Limits
from bridge.core.lane import Phase
from bridge.core.operators import RETRIES
from bridge.core.view import view
from bridge.entries import Failure, Heartbeat, Outcome, Rejection
from bridge.records import PipelineRules, Retry
from tests.core.bench import OTHER, RULES, TP, Bench

STOPS = replace(RULES, on_exhausted="stop", retry=Retry(1))
ONE = replace(RULES, retry=Retry(1))


def bench(rules: PipelineRules = RULES) -> Bench:
    found = Bench(rules).assign()
    found.fetch(0, 1, 2)
    return found


def state_and_reason(found: Bench) -> tuple[str, str]:
    lane = view(found.core, found.now)[0].lanes[0]
    return lane.state, lane.reason


# --- pause ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [("t",), TP, (*TP, 0)], ids=["topic", "partition", "lane"])
def test_nothing_of_what_is_paused_is_dispatched_until_it_is_resumed(target: tuple[str | int, ...]) -> None:
    found = Bench().assign()
    found.pause(*target)
    found.fetch(0, 1, 2)
    found.wait(60)
    assert found.batches() == []
    found.resume(*target)
    assert found.batches() == [[0, 1, 2]]


@pytest.mark.parametrize("target", [("u",), OTHER, (*TP, 1), ("t", 0, 7)], ids=["topic", "partition", "lane", "none"])
def test_a_pause_of_something_else_changes_nothing(target: tuple[str | int, ...]) -> None:
    found = Bench().assign()
    found.pause(*target)
    found.fetch(0, 1, 2)
    assert found.batches() == [[0, 1, 2]]


def test_what_is_in_flight_ends_and_is_committed_and_nothing_follows() -> None:
    found = bench()
    found.fetch(3, 4, 5)
    found.batches()
    found.pause()
    assert state_and_reason(found)[0] == "running"
    assert "nothing follows" in state_and_reason(found)[1]
    found.complete()
    found.wait(30)
    assert (found.committed(), found.batches()) == (3, [])
    state, reason = state_and_reason(found)
    assert state == "paused"
    assert reason.startswith("t is paused by ann since 1970-01-01 00:00:00 UTC (a deploy); 3 records wait;")
    assert "lanebridge resume t" in reason


def test_a_failed_batch_is_neither_tried_again_nor_given_up_while_its_lane_is_paused() -> None:
    found = bench(ONE)
    found.pause()
    found.fail(0)
    found.wait(100)
    assert (found.batches(), found.dead_letters()) == ([[0, 1, 2]], [])
    found.resume()
    found.wait(1)
    assert found.dead_letters() == [(0, "exhausted")]


def test_a_pause_does_not_hold_up_other_lanes_that_wait_for_room() -> None:
    found = Bench(RULES, in_flight_bytes=1).assign(TP, OTHER)
    found.fetch(0, 1, 2)
    found.fetch(3, 4, 5)
    found.fetch(0, 1, 2, tp=OTHER)
    found.pause(*TP)
    found.complete()
    assert found.batches() == [[0, 1, 2], [0, 1, 2]]
    assert found.lane(tp=OTHER).phase is Phase.RUNNING


def test_a_pause_is_known_before_the_first_dispatch_of_a_new_owner() -> None:
    old = bench()
    old.pause()
    old.handle(ev.Revoked((TP,)))
    new = Bench(beside=old, name="b2")
    new.instruct()  # as the runtime does with each assignment
    new.assign()
    new.fetch(0, 1, 2)
    new.complete()
    new.fetch(3, 4, 5)
    new.wait(30)
    assert new.batches() == []


def test_pauses_outlive_a_redis_that_was_emptied_or_rolled_back() -> None:
    found = Bench().assign()
    saved = found.operators.save()
    found.pause()
    for lose in (found.operators.flush, lambda: found.operators.roll_back(saved)):
        lose()
        found.instruct()
        assert [str(pause.target) for pause in found.operators.read().pauses] == ["t"]
        found.fetch(*range(found.partition().expected or 0, (found.partition().expected or 0) + 3))
        assert found.batches() == []
    found.resume()
    assert len(found.batches()[0]) == 3


def test_a_partition_that_stands_behind_a_paused_lane_is_blocked() -> None:
    found = Bench().assign()
    found.pause()
    found.fetch(0, 1, 2)
    found.handle(ev.Flush({TP: 3}))
    assert view(found.core, found.now)[0].blocked
    found.resume()
    assert not view(found.core, found.now)[0].blocked


def test_pausing_and_resuming_is_told_once_and_only_where_the_topic_is() -> None:
    found = Bench().assign()
    found.pause()
    found.instruct()
    found.pause("u")
    assert found.said("operator") == ["t is paused by ann since 1970-01-01 00:00:00 UTC (a deploy)"]
    found.resume()
    assert found.said("operator") == ["t is resumed"]


# --- retry ------------------------------------------------------------------------------------------------------------


def test_every_phase_knows_what_a_retry_means() -> None:
    assert set(RETRIES) == set(Phase)


def test_a_retry_does_not_wait_for_the_next_attempts_time() -> None:
    found = bench(replace(RULES, retry=Retry(5, delay=600.0, jitter=0.0)))
    found.fail(0)
    found.batches()
    found.ask("retry", 0)
    assert (found.batches(), found.answers()) == ([[0, 1, 2]], ["it is tried again now"])
    assert found.lane().counters.failures == 1


def test_a_stopped_lane_goes_on_after_a_retry_with_all_its_attempts() -> None:
    found = bench(replace(STOPS, retry=Retry(2, delay=1.0, jitter=0.0)))
    found.fail(0)
    found.wait(1.1)
    found.fail(0)
    assert found.lane().phase is Phase.STOPPED
    found.ask("retry", 0)
    assert found.answers() == ["it is tried again now, as if for the first time"]
    found.fail(0)
    assert found.lane().phase is Phase.RETRYING
    found.wait(1.1)
    found.complete()
    assert (found.lane().phase, found.committed()) == (Phase.FREE, 3)


def test_a_paused_lane_is_not_tried_again() -> None:
    found = bench(STOPS)
    found.fail(0)
    found.pause()
    found.ask("retry", 0)
    assert found.lane().phase is Phase.STOPPED
    assert found.answers()[0].endswith("(a deploy): resume it first")


def test_a_rejected_record_is_not_tried_again() -> None:
    found = bench(STOPS)
    found.reject(1)
    assert found.lane().phase is Phase.STOPPED
    found.ask("retry", 1)
    assert found.answers() == ["record 1 was rejected for good: it can be skipped, not tried again"]


def test_a_retry_of_an_unclaimed_link_publishes_it_again() -> None:
    found = bench()
    found.ask("retry", 0)
    assert len(found.take(ef.PublishLink)) == 1
    assert found.answers() == ["link 1 is published again"]


def test_a_retry_of_a_running_link_says_who_runs_it() -> None:
    found = bench()
    found.claim(worker="w1")
    found.wait(1.1)
    found.ask("retry", 0)
    assert found.answers() == ["link 1 is running on w1: nothing to try again before it ends"]
    assert found.take(ef.SetFault) == []


def test_a_retry_gives_up_on_a_link_whose_pool_cannot_be_stopped() -> None:
    found = bench(replace(RULES, link_timeout=5.0))
    found.claim(worker="w1")
    link = f"{found.lane().flight.chain}-1"  # type: ignore[union-attr]
    for _ in range(10):
        beat = Heartbeat("w1", "w1", "solo", ("lane-0",), ("store",), (link,), written_ms=int(found.now * 1000))
        found.beats = (beat,)
        found.wait(1)
    assert state_and_reason(found)[0] == "stalled"
    found.batches()
    found.ask("retry", 0)
    found.beats = ()
    found.wait(10)
    assert found.answers() == ["link 1 on w1 is not waited for any more; it counts as a timeout"]
    assert (found.batches(), found.lane().counters.timeouts) == ([[0, 1, 2]], 1)


def test_a_retry_of_a_lane_that_nothing_has_stopped_says_so() -> None:
    found = Bench().assign()
    found.ask("retry", 5)
    assert found.answers() == ["no attempt has failed: nothing to try again"]


def test_a_retry_while_its_dead_letter_is_written_is_refused() -> None:
    found = bench(ONE)
    found.failing = {ef.WriteDeadLetters}
    found.fail(0)
    found.ask("retry", 0)
    assert found.answers() == [
        "it is being given up, its dead letter may be written already: it can be skipped, not tried again"
    ]


def test_a_retry_asks_a_hook_that_has_failed_again() -> None:
    found = bench(replace(ONE, on_failed="rescue"))
    found.fail(0)
    found.fault("not_registered")
    assert found.lane().stalled
    found.batches()
    found.ask("retry", 0)
    assert (found.batches(), found.answers()) == ([[0]], ["its on_failed task is asked again now"])


# --- skip -------------------------------------------------------------------------------------------------------------


def stopped() -> Bench:
    found = bench(STOPS)
    found.fail(0)
    return found


def retrying() -> Bench:
    found = bench(replace(RULES, retry=Retry(5, delay=600.0, jitter=0.0)))
    found.fail(0)
    return found


def without_dead_letter_topic() -> Bench:
    found = bench(ONE)
    found.failing = {ef.WriteDeadLetters}
    found.fail(0)
    assert found.lane().stalled
    return found


def in_flight() -> Bench:
    found = retrying()
    found.ask("retry", 0)
    return found


@pytest.mark.parametrize("begin", [stopped, retrying, without_dead_letter_topic])
def test_a_record_that_stands_in_the_way_is_skipped_and_the_rest_goes_on(begin: Callable[[], Bench]) -> None:
    found = begin()
    found.batches()
    found.ask("skip", 0)
    found.instruct()
    assert found.answers() == ["record 0 is skipped"]
    assert (found.batches(), found.dead_letters()) == ([[1, 2]], [])
    found.complete()
    assert (found.committed(), found.lane().phase) == (3, Phase.FREE)
    assert [text for text in found.said("skipped") if "because an operator wants it" in text]


def test_a_record_in_flight_is_skipped_when_it_fails_again() -> None:
    found = in_flight()
    found.ask("skip", 0)
    found.batches()
    assert found.answers() == ["it is tried again now"]
    found.fail(0)
    found.instruct()
    assert (found.batches(), found.answers()[-1]) == ([[1, 2]], "record 0 is skipped")


def test_a_record_in_flight_that_succeeds_is_not_skipped() -> None:
    found = in_flight()
    found.ask("skip", 0)
    found.complete()
    found.instruct()
    assert found.answers()[-1] == "record 0 is finished already"
    assert found.operators.read().requests == ()


def test_a_paused_lane_passes_a_record_that_is_skipped_and_stays_paused() -> None:
    found = stopped()
    found.pause()
    found.batches()
    found.ask("skip", 0)
    found.instruct()
    assert (found.answers(), found.batches(), found.committed()) == (["record 0 is skipped"], [], 1)


def test_a_lane_that_stopped_at_several_records_goes_on_when_all_of_them_are_skipped() -> None:
    found = bench(STOPS)
    found.reject(0, 2)
    found.ask("skip", 2)
    assert (found.lane().phase, found.answers()) == (Phase.STOPPED, [])
    found.ask("skip", 0)
    found.instruct()
    assert found.answers() == ["record 0 is skipped", "record 2 is skipped"]
    assert (found.committed(), found.lane().phase) == (3, Phase.FREE)


def test_of_several_records_the_others_still_get_their_dead_letters() -> None:
    found = bench(RULES)
    found.failing = {ef.WriteDeadLetters}
    found.reject(0, 2)
    found.ask("skip", 0)
    found.failing = set()
    found.wait(5)
    found.instruct()
    assert (found.dead_letters(), found.answers()) == ([(2, "rejected")], ["record 0 is skipped"])
    assert found.committed() == 3


def test_a_hook_is_not_asked_about_what_an_operator_skips() -> None:
    found = bench(replace(STOPS, on_failed="rescue"))
    found.fail(0)
    found.decide("stop")
    assert found.lane().phase is Phase.STOPPED
    found.batches()
    found.ask("skip", 0)
    assert found.batches() == [[1, 2]]


def test_the_outage_brake_does_not_keep_an_operator_from_skipping() -> None:
    found = Bench(ONE, brake_lanes=1).assign()
    found.fetch(0, 1, 2)
    found.fail(0)
    assert found.lane().phase is not Phase.FREE
    found.batches()
    found.ask("skip", 0)
    found.wait(2)
    assert [1, 2] in found.batches()


def test_a_link_that_timed_out_may_run_on_for_a_while_before_its_record_is_passed() -> None:
    found = Bench(replace(RULES, batch_size=1, link_timeout=5.0), limits=Limits(1, 1)).assign()
    found.fetch(0, 1)
    found.claim(worker="w1")
    link = f"{found.lane().flight.chain}-1"  # type: ignore[union-attr]
    while found.lane().phase is Phase.RUNNING:
        beat = Heartbeat("w1", "w1", "prefork", ("lane-0",), ("store",), (link,), written_ms=int(found.now * 1000))
        found.beats = (beat,)
        found.wait(1)
    found.batches()
    found.ask("skip", 0)
    found.wait(3)
    assert (found.lane().phase, found.batches()) == (Phase.DISPOSING, [])
    found.wait(3)
    assert (found.dead_letters(), found.batches()) == ([], [[1]])


def test_another_record_than_the_one_that_stands_in_the_way_is_not_skipped() -> None:
    found = stopped()
    found.ask("skip", 1)
    assert found.answers() == ["the lane stands at 0, not at record 1"]
    free = Bench().assign()
    free.ask("skip", 7)
    assert free.answers() == ["record 7 has not failed: nothing to skip"]


def test_a_lane_that_does_not_exist_is_named() -> None:
    found = stopped()
    found.ask("skip", 0, lane=4)
    assert found.answers() == ["there is no lane 4, the partition has 1"]


def test_whoever_does_not_have_the_partition_leaves_the_request_alone() -> None:
    found = Bench().assign(OTHER)
    found.ask("skip", 0)
    assert len(found.operators.read().requests) == 1


def test_a_skip_that_the_owner_did_not_live_to_do_is_done_by_the_next_one() -> None:
    old = stopped()
    old.silent = {ef.Settle}
    old.ask("skip", 0)
    old.handle(ev.Lost((TP,)))
    assert old.answers() == []
    new = Bench(STOPS, beside=old, name="b2")
    new.assign()
    new.fetch(0, 1, 2)
    new.wait(4)
    new.instruct()
    new.instruct()
    assert (new.answers(), new.batches()) == (["record 0 is skipped"], [[1, 2]])


def test_a_stopped_lane_whose_ledger_was_emptied_fails_once_more_before_its_record_is_skipped() -> None:
    found = stopped()
    found.ledger.flush()
    found.partition().reassign("a test")
    found.handle(ev.Tick())
    found.batches()
    found.ask("skip", 0)
    assert found.batches() == [[0, 1, 2]]
    found.fail(0)
    found.instruct()
    assert (found.batches(), found.answers()) == ([[1, 2]], ["record 0 is skipped"])


def test_a_batch_that_failed_without_a_name_loses_only_the_record_that_was_named_by_the_operator() -> None:
    found = bench(replace(RULES, retry=Retry(5, delay=600.0, jitter=0.0)))
    found.fail_all()
    found.batches()
    found.ask("skip", 0)
    assert (found.committed(), found.batches()) == (1, [[1, 2]])


def test_what_may_be_skipped_is_shown() -> None:
    found = bench(STOPS)
    failure = Failure(0, "failed", True, 1, "store", "ValueError", "no", traceback="line 1")
    found.complete(Outcome("failed", 0, failure))
    lane = view(found.core, found.now)[0].lanes[0]
    assert (lane.at_stake, lane.first_unfinished, lane.traceback) == ((0,), 0, "line 1")
    other = bench(STOPS)
    other.complete(Outcome("partial", 3, None, (Rejection(0, "bad"), Rejection(2, "bad"))))
    assert view(other.core, other.now)[0].lanes[0].at_stake == (0, 2)
