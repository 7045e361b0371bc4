"""What becomes of a record that is given up: nothing is passed before it is acknowledged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.disposing import STOPPED
from bridge.core.failures import Limits
from bridge.core.lane import Phase
from bridge.core.watch import LINK_TIMEOUT
from bridge.entries import Counters, DeadLetter, Failure, Outcome, Rejection, link_id
from bridge.records import PipelineRules, Retry
from tests.core.bench import KEY_0, KEY_1, TP, Bench, row
from tests.core.given_up import (
    ASKS,
    KEYED,
    ONCE,
    OUTCOMES,
    SKIPS,
    STOPS,
    chain_of,
    finish,
    running,
)

# --- the dead letter --------------------------------------------------------------------------------------------------


def test_a_dead_letter_says_what_failed_where_how_often_and_since_when() -> None:
    bench = running(replace(ONCE, retry=Retry(2, delay=1.0, jitter=0.0)))
    first = chain_of(bench)
    bench.fail(1, "first", at_ms=1000, index=1)
    bench.wait(1)
    second = chain_of(bench)
    bench.fail(1, "second", at_ms=2000, index=0, traceback="line 1")
    ((topic, letter),) = bench.dead
    assert first != second
    assert topic == "t.dlq"
    assert letter == DeadLetter(
        row=row(1),
        disposition="exhausted",
        message="second",
        exception="ValueError",
        traceback="line 1",
        task="store",
        link=1,
        chain=second,
        index=0,
        attempts=2,
        first_failed_ms=1000,
        last_failed_ms=2000,
    )


def test_the_dead_letter_of_a_rejected_record_says_why_and_how_often_it_ran() -> None:
    bench = running(replace(ONCE, retry=Retry(3, delay=1.0, jitter=0.0)))
    bench.fail_all(at_ms=1000)
    bench.wait(1)
    chain = chain_of(bench)
    one = Rejection(0, "not wanted", 2, "check", "rejected", "BadValue", "line 7", 0, 5000)
    two = Rejection(2, "no json", 1, "check", "undecodable", "JSONDecodeError", "", 2, 4000)
    bench.complete(Outcome("partial", 3, rejected=(one, two)))
    assert [letter for _, letter in bench.dead] == [
        DeadLetter(
            row(0), "rejected", "not wanted", "BadValue", "line 7", "check", 2, chain, 0, 2, 1000, last_failed_ms=5000
        ),
        DeadLetter(
            row(2), "undecodable", "no json", "JSONDecodeError", "", "check", 1, chain, 2, 2, 1000, last_failed_ms=4000
        ),
    ]


@pytest.mark.parametrize("kind", ["timeout", "worker_lost"])
def test_a_record_that_ended_its_worker_is_named_by_that(kind: Any) -> None:
    bench = Bench(ONCE, limits=Limits(1, 1)).assign()
    bench.fetch(0)
    bench.wait(1)
    bench.claim()
    bench.fault(kind)
    assert bench.dead_letters() == [(0, kind)]


def test_key_value_headers_and_timestamp_go_as_they_came() -> None:
    record = (7, -1, b"", None, (("h", b"\xff"), ("h", None)))
    bench = Bench(ONCE).assign()
    bench.fetch(record)
    bench.wait(1)
    bench.fail(7)
    assert bench.dead[0][1].row == record


def test_the_topic_of_dead_letters_may_be_given() -> None:
    bench = running(replace(ONCE, dead_letter_topic="lost-{topic}"))
    bench.fail(0)
    assert [topic for topic, _ in bench.dead] == ["lost-t"]
    assert bench.said("dead_letter") == [
        "1 dead letter written to lost-t: offset 0 in store, out of attempts (1): ValueError: no"
    ]


# --- order ------------------------------------------------------------------------------------------------------------


def test_watermark_and_commit_pass_a_record_only_after_the_acknowledgement() -> None:
    bench = running()
    bench.silent = {ef.WriteDeadLetters, ef.Settle}
    bench.fail(1)
    assert (bench.lane().phase, bench.lane().watermark, bench.committed()) == (Phase.DISPOSING, 1, 1)
    bench.wait(500)
    assert (bench.lane().watermark, bench.committed()) == (1, 1)
    assert bench.batches() == [[0, 1, 2]]
    bench.silent = {ef.Settle}
    bench.carry_out_kept()
    assert (bench.lane().watermark, bench.committed()) == (2, 2)
    assert bench.batches() == []  # the ledger does not know yet
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.batches() == [[2]]


def test_rejected_records_come_first_and_are_settled_before_the_failed_one() -> None:
    bench = running()
    bench.reject(0, fails=2)
    steps = [effect for effect in bench.effects if isinstance(effect, ef.WriteDeadLetters | ef.Settle)]
    assert [type(step).__name__ for step in steps] == ["WriteDeadLetters", "Settle", "WriteDeadLetters", "Settle"]
    assert [step.upto for step in steps if isinstance(step, ef.Settle)] == [2, 3]
    assert len({step.number for step in steps}) == 2
    assert bench.dead_letters() == [(0, "rejected"), (2, "exhausted")]
    assert bench.committed() == 3


def test_the_failed_record_behind_rejected_ones_still_has_its_attempts() -> None:
    bench = running(replace(ONCE, retry=Retry(2, delay=4.0, jitter=0.0)))
    bench.reject(0, fails=1)
    assert bench.dead_letters() == [(0, "rejected")]
    assert bench.lane().phase is Phase.RETRYING
    assert bench.lane().counters == Counters(1, failures=1, tries=1)
    assert bench.seconds_until(ef.Dispatch) == 4.0
    assert [r[0] for r in bench.payload().rows] == [1, 2]


def test_a_rejected_record_costs_no_attempt_and_the_next_batch_goes_at_once() -> None:
    bench = running()
    bench.fetch(5)
    bench.reject(0, 1, 2)
    assert bench.dead_letters() == [(0, "rejected"), (1, "rejected"), (2, "rejected")]
    assert bench.batches() == [[0, 1, 2], [3, 4, 5]]
    assert bench.lane().counters == Counters(3)


def test_the_settle_of_rejected_records_names_the_chain_and_the_position() -> None:
    bench = running()
    chain = chain_of(bench)
    bench.reject(1)
    (settle,) = bench.take(ef.Settle)
    assert (settle.chain, settle.upto, settle.base, settle.lane) == (chain, 3, 3, 0)
    entry = bench.ledger.read([TP])[TP]
    assert (entry.lanes[0].watermark, entry.base) == (3, 3)


def test_rejected_records_in_a_part_of_a_split_batch_are_disposed_of_and_the_rest_goes_on() -> None:
    bench = Bench(replace(ONCE, batch_size=4)).assign()
    bench.fetch(0, 1, 2, 3)
    bench.fail_all()
    bench.reject(1)
    assert bench.dead_letters() == [(1, "rejected")]
    assert bench.batches() == [[0, 1, 2, 3], [0, 1], [2]]


def test_memory_is_given_back_as_soon_as_records_are_disposed_of() -> None:
    bench = Bench(ONCE).assign()
    bench.fetch(row(0, value=b"x" * 1000), row(1), row(2))
    before = bench.partition().held_bytes
    bench.silent = {ef.Settle}
    bench.fail(0)
    assert bench.partition().held_bytes < before - 1000


# --- skip and stop ----------------------------------------------------------------------------------------------------


def test_a_skipped_record_is_settled_reported_and_passed() -> None:
    bench = running(SKIPS)
    bench.fail(1)
    assert bench.take(ef.WriteDeadLetters) == []
    assert bench.said("skipped") == ["record 1 is skipped: ValueError: no"]
    assert bench.committed() == 2
    assert bench.batches() == [[0, 1, 2], [2]]
    bench.reject(2)
    assert bench.said("skipped") == ["record 2 is skipped: bad"]
    finish(bench)


def test_watermark_and_commit_pass_a_skipped_record_only_when_the_ledger_knows() -> None:
    """Nothing else says that it is finished: a crash before that must leave it unfinished."""
    bench = running(SKIPS)
    bench.silent = {ef.Settle}
    bench.fail(1)
    assert (bench.lane().phase, bench.lane().watermark, bench.committed()) == (Phase.DISPOSING, 1, 1)
    bench.silent = set()
    bench.carry_out_kept()
    assert (bench.lane().watermark, bench.committed()) == (2, 2)
    finish(bench)


def test_a_stopped_lane_says_why_passes_nothing_and_does_not_hold_up_others() -> None:
    bench = Bench(replace(KEYED, on_exhausted="stop")).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1), row(2, KEY_0))
    bench.wait(1)
    bench.fail(0, lane=0)
    assert bench.lane(0).phase is Phase.STOPPED
    assert bench.said("stopped") == [f"offset 0 in store, out of attempts (1): ValueError: no; {STOPPED}"]
    bench.complete(lane=1)
    bench.wait(100)
    assert bench.lane(0).phase is Phase.STOPPED
    assert bench.committed() == 0
    assert bench.take(ef.Settle) == []


def test_a_batch_that_names_no_record_is_split_before_its_lane_stops() -> None:
    bench = running(STOPS)
    bench.fail_all()
    bench.complete()
    bench.fail_all()
    assert bench.lane().phase is Phase.STOPPED
    assert bench.lane().reason == "offset 2 in store, out of attempts (its batch was split): ValueError: no"
    assert bench.committed() == 2


def test_a_rejected_record_stops_the_lane_at_itself() -> None:
    bench = running(STOPS)
    bench.reject(1, 2)
    assert bench.lane().reason == "record 1 was rejected by store: bad"
    assert bench.lane().phase is Phase.STOPPED
    assert bench.committed() == 1


# --- a link that may still run ----------------------------------------------------------------------------------------


def overdue(rules: PipelineRules = ONCE) -> tuple[Bench, str]:
    """A single record's link has run into link_timeout for the last time."""
    bench = Bench(rules, limits=Limits(max_timeouts=1)).assign()
    bench.fetch(0)
    bench.wait(1)
    bench.claim()
    link = link_id(chain_of(bench), 1)
    bench.fault("timeout", LINK_TIMEOUT)
    return bench, link


@pytest.mark.parametrize("rules", [ONCE, SKIPS, STOPS, ASKS])
def test_a_record_whose_link_may_still_run_is_not_disposed_of_for_five_seconds(rules: PipelineRules) -> None:
    bench, link = overdue(rules)
    assert [effect.links for effect in bench.take(ef.TerminateLinks)] == [(link,)]
    bench.take(ef.Dispatch)
    bench.wait(4.9)
    assert bench.lane().phase is Phase.DISPOSING
    assert (bench.dead, bench.take(ef.Settle), bench.take(ef.Dispatch)) == ([], [], [])
    bench.wait(0.2)
    assert bench.lane().phase in (Phase.FREE, Phase.STOPPED, Phase.RUNNING)


@pytest.mark.parametrize("rules", [ONCE, SKIPS, STOPS, ASKS])
def test_as_soon_as_the_link_is_known_to_be_dead_its_record_is_disposed_of(rules: PipelineRules) -> None:
    bench, link = overdue(rules)
    bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert bench.lane().phase in (Phase.FREE, Phase.STOPPED, Phase.RUNNING)
    assert not bench.core.dispatching.is_superseded(link)


def test_the_on_failed_task_asked_about_a_timeout_is_not_taken_for_one_itself() -> None:
    bench, link = overdue(ASKS)
    bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "terminated", "w1"))
    bench.take(ef.TerminateLinks)
    bench.decide("dead_letter")
    assert bench.take(ef.TerminateLinks) == []
    assert bench.dead_letters() == [(0, "timeout")]


def test_rejected_records_of_a_link_that_may_still_run_wait_as_well() -> None:
    bench = Bench(ONCE, limits=Limits(max_timeouts=1)).assign()
    bench.fetch(0, 1, 2)
    failure = Failure(2, "timeout", exception=LINK_TIMEOUT, message="too long")
    bench.complete(Outcome("partial", 2, failure, (Rejection(0, "bad"),)))
    bench.wait(4.9)
    assert bench.dead == []
    bench.wait(0.2)
    assert bench.dead_letters() == [(0, "rejected"), (2, "timeout")]


def test_an_exception_of_the_users_that_is_called_like_ours_ends_no_link() -> None:
    bench = Bench(ONCE).assign()
    bench.fetch(0, 1, 2)
    bench.complete(Outcome("failed", 0, Failure(0, "failed", named=True, exception=LINK_TIMEOUT, message="theirs")))
    assert bench.take(ef.TerminateLinks) == []
    assert bench.dead_letters() == [(0, "exhausted")]


# --- a change of the lane rule ----------------------------------------------------------------------------------------


def test_a_change_of_the_lane_rule_waits_until_records_are_disposed_of() -> None:
    old = Bench(ONCE).assign()
    old.fetch(0, 1, 2)
    old.complete(OUTCOMES[0], heard=False)
    old.handle(ev.Revoked((TP,)))
    bench = Bench(KEYED, beside=old, name="b2")
    bench.silent = {ef.Settle}
    bench.assign()
    bench.fetch(2, row(3, KEY_0), row(4, KEY_1))
    bench.wait(60)
    assert bench.dead_letters() == [(2, "exhausted")]
    assert (bench.partition().rule, bench.take(ef.ChangeRule)) == ("partition", [])
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.partition().rule == "key:2"
    bench.wait(1)
    assert bench.batches() == [[3], [4]]
