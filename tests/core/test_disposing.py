"""What becomes of a record that is given up: nothing is passed before it is acknowledged, whatever stops on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.disposing import ADOPTED_WAIT
from bridge.core.failures import Limits
from bridge.core.lane import Phase
from bridge.core.watch import LINK_TIMEOUT
from bridge.entries import Counters, Decided, Failure, Outcome, Rejection, link_id
from bridge.records import Action, PipelineRules, Retry
from tests.core.bench import KEY_0, KEY_1, OTHER, RULES, TP, Bench, row

ONCE = replace(RULES, retry=Retry(1))
ASKS = replace(ONCE, on_failed="rescue")
SKIPS = replace(ONCE, on_exhausted="skip")
STOPS = replace(ONCE, on_exhausted="stop")
KEYED = replace(ONCE, order_by="key", lanes=2)


def running(rules: PipelineRules = ONCE, **config: Any) -> Bench:
    """0, 1 and 2 are in flight, 3 and 4 wait behind them."""
    bench = Bench(rules, **config).assign()
    bench.fetch(0, 1, 2, 3, 4)
    return bench


def chain_of(bench: Bench) -> str:
    flight = bench.lane().flight
    assert flight is not None
    return flight.chain


def asked(bench: Bench) -> list[list[int]]:
    """What the on_failed task was asked about since that was taken last."""
    return [[r[0] for r in effect.rows] for effect in bench.take(ef.Dispatch) if effect.judged is not None]


def heir(old: Bench, rules: PipelineRules, *read: int) -> Bench:
    """The bridge has crashed; another one takes over and reads what is left of these records."""
    old.handle(ev.Lost((TP,)))
    bench = Bench(rules, beside=old, name=f"{old.name}+").assign()
    start = bench.take(ef.StartFetching)[-1].offset
    if rest := [offset for offset in read or range(5) if offset >= start]:
        bench.fetch(*rest)
    bench.handle(ev.EndOfLog(TP, 5))
    return bench


def finish(bench: Bench) -> None:
    """Everything that is still to come succeeds."""
    for _ in range(40):
        bench.carry_out_kept()
        if bench.lane().phase in (Phase.RUNNING, Phase.ADOPTED):
            if bench.ledger.read([TP])[TP].lanes[0].judged is None:
                bench.complete()
            else:
                for_all: list[Action] = ["dead_letter"] * len(bench.payload().rows)
                bench.decide(*for_all)
        bench.wait(1)
    assert bench.lane().phase is Phase.FREE
    assert bench.committed() == 5


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
    assert letter == ef.DeadLetter(
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
        ef.DeadLetter(
            row(0), "rejected", "not wanted", "BadValue", "line 7", "check", 2, chain, 0, 2, 1000, last_failed_ms=5000
        ),
        ef.DeadLetter(
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
        "1 dead letter(s) written to lost-t: offset 0 in store, out of attempts (1): ValueError: no"
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


# --- what does not work -----------------------------------------------------------------------------------------------


def test_dead_letters_that_cannot_be_written_are_repeated_the_lane_says_why_and_other_lanes_go_on() -> None:
    bench = Bench(KEYED).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1))
    bench.wait(1)
    bench.failing = {ef.WriteDeadLetters}
    bench.fail(0, lane=0)
    lane = bench.lane(0)
    assert (lane.phase, lane.stalled) == (Phase.DISPOSING, True)
    assert lane.reason == "out of reach (tried again until it answers; the lane waits, nothing is lost)"
    assert bench.core.repeats.trouble == ""  # nobody else needs the topic
    bench.complete(lane=1)
    bench.fetch(row(2, KEY_1))
    bench.wait(30)
    assert bench.lane(1).phase is Phase.RUNNING
    assert len(bench.take(ef.WriteDeadLetters)) > 10
    assert bench.committed() == 0
    bench.failing = set()
    bench.wait(3)
    assert bench.dead_letters() == [(0, "exhausted")]
    assert bench.said("dead_letter")[0].endswith("offset 0 in store, out of attempts (1): ValueError: no")
    assert (lane.phase, lane.stalled) == (Phase.FREE, False)


def test_the_letters_of_several_lanes_that_cannot_be_written_are_all_repeated() -> None:
    bench = Bench(KEYED, brake_limit=0.0).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1))
    bench.wait(1)
    bench.failing = {ef.WriteDeadLetters}
    bench.fail(0, lane=0)
    bench.fail(1, lane=1)
    bench.failing = set()
    bench.wait(3)
    assert sorted(bench.dead_letters()) == [(0, "exhausted"), (1, "exhausted")]
    assert bench.committed() == 2


def test_letters_of_a_partition_that_is_gone_are_not_written_any_more() -> None:
    bench = running()
    bench.failing = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.handle(ev.Lost((TP,)))
    bench.failing = set()
    bench.take(ef.WriteDeadLetters)
    bench.wait(10)
    assert bench.take(ef.WriteDeadLetters) == []


def test_a_failure_to_write_that_comes_late_says_nothing_of_the_lane() -> None:
    bench = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    (write,) = bench.kept
    bench.carry_out_kept()
    bench.handle(ev.EffectFailed(write, "late"))
    assert not bench.lane().stalled
    bench.wait(5)
    assert len(bench.dead) == 1


def test_a_bridge_that_is_no_longer_the_owner_writes_nothing_and_assigns_again() -> None:
    bench = running()
    before = bench.partition().owner.number
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.dead == []
    assert bench.said("reassign") == ["assigning again: the ledger says that another owner has the partition"]
    assert bench.partition().owner.number > before
    bench.wait(ADOPTED_WAIT)
    assert bench.dead_letters() == [(0, "exhausted")]
    finish(bench)


def test_a_settle_that_is_refused_assigns_again_and_what_is_acknowledged_is_not_written_again() -> None:
    bench = running()
    bench.silent = {ef.Settle}
    bench.fail(0)
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.said("reassign") == ["assigning again: another owner while records were disposed of"]
    finish(bench)
    assert bench.dead_letters() == [(0, "exhausted")]


def test_after_a_refused_settle_of_the_last_record_but_some_the_others_have_all_their_attempts() -> None:
    bench = running(replace(ONCE, retry=Retry(2, delay=1.0, jitter=0.0)))
    bench.fail(0)
    bench.wait(1)
    bench.silent = {ef.Settle}
    bench.fail(0)
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert [r[0] for r in bench.payload().rows] == [1, 2]
    bench.fail(1)
    assert bench.lane().phase is Phase.RETRYING
    assert bench.dead_letters() == [(0, "exhausted")]


def test_a_settle_that_was_not_answered_is_repeated() -> None:
    bench = running()
    bench.failing = {ef.Settle}
    bench.fail(0)
    bench.wait(5)
    assert len(bench.take(ef.Settle)) > 3
    bench.failing = set()
    bench.wait(3)
    finish(bench)
    assert len(bench.dead) == 1


def test_answers_that_come_late_or_twice_change_nothing() -> None:
    bench = running()
    bench.silent = {ef.Settle}
    bench.fail(0)
    (settle,) = bench.kept
    assert isinstance(settle, ef.Settle)
    serial = bench.partition().serial
    for number in (settle.number, settle.number + 1):
        bench.handle(ev.DeadLettersWritten(OTHER, serial, 0, number, True))
        bench.handle(ev.DeadLettersWritten(TP, serial + 1, 0, number, True))
        bench.handle(ev.DeadLettersWritten(TP, serial, 9, number, True))
    bench.handle(ev.Settled(TP, serial, 0, settle.number + 1, True))
    assert bench.lane().phase is Phase.DISPOSING
    bench.silent = set()
    bench.carry_out_kept()
    chain = chain_of(bench)
    bench.carry_out(settle)
    bench.handle(ev.DeadLettersWritten(TP, serial, 0, settle.number, True))
    assert (bench.lane().phase, chain_of(bench)) == (Phase.RUNNING, chain)


def test_redis_emptied_while_dead_letters_are_written_lets_the_record_run_again() -> None:
    bench = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.ledger.flush()
    bench.silent = set()
    bench.carry_out_kept()  # the ledger does not know this owner
    assert bench.dead == []
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    finish(bench)


def test_redis_emptied_behind_the_acknowledgement_is_told_what_is_finished() -> None:
    bench = running()
    bench.silent = {ef.Settle}
    bench.fail(0)
    bench.ledger.flush()
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.take(ef.Restore)[-1].watermarks == {0: 1}
    assert [r[0] for r in bench.payload().rows] == [1, 2]
    finish(bench)
    assert bench.dead_letters() == [(0, "exhausted")]


def test_redis_emptied_while_the_on_failed_task_is_asked_lets_the_record_run_again() -> None:
    bench = running(ASKS)
    bench.fail(0)
    bench.claim()
    bench.ledger.flush()
    bench.wait(1.1)
    assert [r[0] for r in bench.payload().rows] == [0, 1, 2]
    assert bench.payload().judged is None
    finish(bench)


def test_an_older_redis_that_shows_the_chain_running_is_waited_for() -> None:
    bench = running()
    bench.claim()
    saved = bench.ledger.save()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.ledger.roll_back(saved)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.lane().phase is Phase.ADOPTED
    assert bench.dead == []
    bench.complete()
    assert bench.committed() == 3


def test_a_bridge_that_stops_while_it_disposes_begins_nothing_and_hears_out_what_it_began() -> None:
    bench = Bench(KEYED).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1))
    bench.wait(1)
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0, lane=0)
    bench.handle(ev.Stop())
    bench.fail(1, lane=1)
    bench.silent = set()
    bench.carry_out_kept()
    bench.wait(60)
    assert bench.dead_letters() == [(0, "exhausted")]
    assert (bench.lane(1).phase, bench.committed()) == (Phase.DISPOSING, 1)


def test_a_bridge_that_stood_still_asks_whether_it_is_the_owner_before_it_disposes_of_more() -> None:
    bench = running()
    bench.silent = {ef.WriteDeadLetters}
    bench.fail(0)
    bench.now += 30
    bench.handle(ev.Tick())
    bench.silent = set()
    bench.kept.clear()  # nobody answers what was asked before
    assert bench.said("reassign") == ["assigning again: this process stood still for 30 s"]
    bench.wait(ADOPTED_WAIT)
    assert bench.dead_letters() == [(0, "exhausted")]
    finish(bench)


# --- a crash at every point -------------------------------------------------------------------------------------------


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
REJECTED = (Rejection(0, "bad", 1, "store"), Rejection(1, "bad", 1, "store"))
FAILED = Failure(2, "failed", True, 1, "store", "ValueError", "no")
OUTCOMES = [
    Outcome("partial", 2, FAILED),
    Outcome("failed", 0, replace(FAILED, offset=0)),
    Outcome("partial", 3, rejected=REJECTED),
    Outcome("partial", 2, FAILED, REJECTED),
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


def test_a_stopped_lane_says_why_passes_nothing_and_does_not_hold_up_others() -> None:
    bench = Bench(replace(KEYED, on_exhausted="stop")).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1), row(2, KEY_0))
    bench.wait(1)
    bench.fail(0, lane=0)
    assert bench.lane(0).phase is Phase.STOPPED
    assert bench.said("stopped") == ["offset 0 in store, out of attempts (1): ValueError: no"]
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
    assert bench.lane().reason == "offset 2 in store, out of attempts (2): ValueError: no"
    assert bench.committed() == 2


def test_a_rejected_record_stops_the_lane_at_itself() -> None:
    bench = running(STOPS)
    bench.reject(1, 2)
    assert bench.lane().reason == "record 1 was rejected by store: bad"
    assert bench.lane().phase is Phase.STOPPED
    assert bench.committed() == 1


# --- on_failed --------------------------------------------------------------------------------------------------------


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
    assert bench.said("stopped") == ["offset 1 in store, out of attempts (1): ValueError: no"]


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
        "1 dead letter(s) written to t.dlq: offset 1 in store, out of attempts (1): ValueError: no"
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
    assert bench.said("on_failed") == ["on_failed rescue: KeyError: 'x'"]
    assert bench.dead_letters() == [(0, "rejected"), (1, "rejected")]
    assert bench.committed() == 3


@pytest.mark.parametrize("kind", ["worker_lost", "timeout", "failed"])
def test_an_on_failed_task_that_ended_without_an_answer_has_its_records_dead_lettered(kind: Any) -> None:
    bench = running(ASKS)
    bench.reject(0, 2)
    bench.claim()
    bench.fault(kind, "WorkerLost")
    assert bench.said("on_failed") == ["on_failed rescue: WorkerLost: gone"]
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
