"""The outage brake: when whole lanes fail and nothing succeeds, no record is given up for a while."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.brake import Brake
from bridge.core.disposing import ADOPTED_WAIT
from bridge.core.lane import Phase
from bridge.core.lanes import lane_of
from bridge.entries import Outcome, Rejection
from bridge.records import PipelineRules, Retry, TopicPartition
from tests.core.bench import OTHER, RULES, TP, Bench, row

THIRD = TopicPartition("t", 2)
ONCE = replace(RULES, batch_size=2, retry=Retry(1, delay=4.0, max_delay=20.0, jitter=0.0))


def lanes(count: int, **more: Any) -> PipelineRules:
    return replace(ONCE, order_by="key", lanes=count, **more)


def key_of(lane: int, count: int) -> bytes:
    return next(key for n in range(10_000) if lane_of(key := str(n).encode(), count) == lane)


def running(count: int, *, rules: PipelineRules | None = None, **config: Any) -> Bench:
    """So many lanes, each with two records in flight."""
    bench = Bench(rules or lanes(count), **config).assign()
    bench.fetch(*(row(offset, key_of(offset % count, count)) for offset in range(2 * count)))
    return bench


def fail(bench: Bench, *indices: int) -> None:
    """The lanes' first unfinished records fail."""
    for index in indices:
        bench.fail(bench.first(TP, index), lane=index)


def failing(bench: Bench, *indices: int) -> list[Phase]:
    return [bench.lane(index).phase for index in indices]


# --- when it holds ----------------------------------------------------------------------------------------------------

A, B, C, D = ((TP, index) for index in range(4))


@pytest.mark.parametrize(
    ("assigned", "needed"),
    [(1, None), (2, None), (3, 3), (4, 3), (6, 3), (7, 4), (8, 4), (12, 6), (100, 50)],
)
def test_it_takes_three_lanes_and_half_of_all(assigned: int, needed: int | None) -> None:
    brake = Brake(600.0, 3)
    taken = [number for number in range(1, assigned + 1) if brake.failed((TP, number), assigned, 10.0)]
    assert taken == ([] if needed is None else [needed])
    assert brake.holds(10.0) is (needed is not None)


def test_the_same_lane_counts_once_however_often_it_fails() -> None:
    brake = Brake(600.0, 3)
    assert not any(brake.failed(A, 3, 10.0 + number) for number in range(20))
    assert brake.failing == 1


def test_it_takes_hold_once_and_for_its_limit() -> None:
    brake = Brake(60.0, 2)
    assert brake.ends_at == float("inf")
    assert [brake.failed(lane, 4, 10.0) for lane in (A, B, C)] == [False, True, False]
    assert (brake.holds(69.9), brake.holds(70.0), brake.ends_at) == (True, False, 70.0)
    assert not brake.failed(D, 4, 80.0)  # it does not begin again without a success
    assert not brake.holds(80.0)


def test_a_success_releases_it_and_what_failed_before_does_not_count_any_more() -> None:
    brake = Brake(60.0, 3)
    assert not brake.succeeded()
    for lane in (A, B, C):
        brake.failed(lane, 3, 10.0)
    assert brake.succeeded()
    assert not brake.holds(11.0)
    assert [brake.failed(lane, 3, 12.0) for lane in (A, B, C)] == [False, False, True]


def test_a_limit_of_zero_means_never() -> None:
    brake = Brake(0.0, 1)
    assert not brake.failed(A, 1, 10.0)
    assert not brake.holds(10.0)


def test_the_lanes_of_a_partition_that_is_gone_do_not_count() -> None:
    brake = Brake(60.0, 3)
    brake.failed(A, 4, 10.0)
    brake.failed((OTHER, 0), 4, 10.0)
    brake.forget(TP)
    assert brake.failing == 1
    assert not brake.failed((OTHER, 1), 4, 10.0)
    assert brake.failed((OTHER, 2), 4, 10.0)


# --- what it does -----------------------------------------------------------------------------------------------------


def test_of_three_lanes_that_all_fail_the_third_and_every_further_record_is_not_given_up() -> None:
    bench = running(3)
    fail(bench, 0, 1)
    assert [offset for offset, _ in bench.dead_letters()] == [0, 1]
    fail(bench, 2)
    assert failing(bench, 2) == [Phase.RETRYING]
    assert bench.lane(2).reason == "outage brake (3 lanes fail, no batch succeeds), not given up: ValueError: no"
    assert bench.said("brake") == [
        "outage brake: 3 of 3 lanes fail and no batch succeeds; no record is given up until one does, "
        "or for 600 s (brake_limit)"
    ]
    bench.effects.clear()
    fail(bench, 0, 1)
    assert failing(bench, 0, 1, 2) == [Phase.RETRYING] * 3
    assert len(bench.dead_letters()) == 2
    assert bench.said("brake") == []


def test_lanes_are_tried_again_with_back_off_while_it_holds() -> None:
    bench = running(3)
    fail(bench, 0, 1, 2)
    bench.take(ef.Dispatch)
    pauses = []
    for _ in range(5):
        pauses.append(bench.seconds_until(ef.Dispatch))
        fail(bench, 2)
    assert pauses == [4.0, 8.0, 16.0, 20.0, 20.0]


def test_even_without_a_delay_there_is_a_pause_of_a_second() -> None:
    bench = running(3, rules=lanes(3, retry=Retry(1, delay=0.0)))
    fail(bench, 0, 1, 2)
    bench.take(ef.Dispatch)
    assert bench.seconds_until(ef.Dispatch) == 1.0


def test_a_batch_that_names_no_record_goes_whole_while_it_holds() -> None:
    bench = running(3)
    for index in range(3):
        bench.fail_all(lane=index)
    assert bench.lane(2).counters.split_last == -1
    bench.wait(4)
    assert [r[0] for r in bench.payload(lane=2).rows] == [2, 5]


def test_a_success_anywhere_releases_it_and_the_policy_applies_again() -> None:
    bench = Bench(lanes(3)).assign(TP, OTHER)
    bench.fetch(*(row(offset, key_of(offset % 3, 3)) for offset in range(6)))
    bench.fetch(row(0, key_of(0, 3)), row(3, key_of(0, 3)), tp=OTHER)
    fail(bench, 0, 1, 2)
    assert bench.said("brake")
    written = len(bench.dead_letters())
    bench.complete(tp=OTHER)
    assert bench.said("brake") == ["outage brake released: a batch has succeeded"]
    bench.wait(4)
    fail(bench, 2)
    assert len(bench.dead_letters()) == written + 1


@pytest.mark.parametrize("rejected", [False, True])
def test_a_batch_that_succeeds_in_part_releases_it_too(rejected: bool) -> None:
    bench = running(3, brake_lanes=1)
    fail(bench, 0, 1)
    assert bench.core.brake.holds(bench.now)
    if rejected:
        bench.complete(reject_of(bench, 2, 2), lane=2)
    else:
        bench.fail(5, lane=2)  # 2 is finished
    assert not bench.core.brake.holds(bench.now)
    assert bench.said("brake")[1:] == ["outage brake released: a batch has succeeded"]


def reject_of(bench: Bench, lane: int, *offsets: int) -> Outcome:
    last = bench.ledger.read([TP])[TP].lanes[lane].last
    return Outcome("partial", last + 1, rejected=tuple(Rejection(offset, "bad", 1, "store") for offset in offsets))


def test_a_chain_whose_every_record_is_rejected_releases_nothing() -> None:
    bench = running(3)
    fail(bench, 0, 1, 2)
    fail(bench, 0)
    bench.complete(reject_of(bench, 1, 4), lane=1)
    assert bench.core.brake.holds(bench.now)


def test_rejected_records_wait_until_it_is_released() -> None:
    bench = running(3)
    fail(bench, 0, 1, 2)
    written = len(bench.dead_letters())
    bench.complete(reject_of(bench, 1, 4), lane=1)
    assert bench.lane(1).phase is Phase.DISPOSING
    bench.wait(60)
    assert len(bench.dead_letters()) == written
    bench.wait(20)
    bench.complete(lane=2)
    bench.wait(1)
    assert bench.dead_letters()[written:] == [(4, "rejected")]


def test_the_on_failed_task_is_not_asked_while_it_holds() -> None:
    bench = running(3, rules=lanes(3, on_failed="rescue"))
    fail(bench, 0, 1)
    assert len([effect for effect in bench.take(ef.Dispatch) if effect.judged]) == 2
    fail(bench, 2)
    bench.wait(3)
    assert [effect for effect in bench.take(ef.Dispatch) if effect.judged] == []


def test_the_answer_of_an_on_failed_task_is_no_success() -> None:
    bench = running(3, rules=lanes(3, on_failed="rescue"))
    fail(bench, 0, 1, 2)
    bench.decide("skip", lane=0)
    assert bench.core.brake.holds(bench.now)


def test_after_its_limit_the_policy_applies() -> None:
    bench = running(3, brake_limit=60.0)
    fail(bench, 0, 1, 2)
    written = len(bench.dead_letters())
    until = bench.now + 60
    while bench.now < until - 1:
        bench.wait(1)
        for index in (0, 1, 2):
            if bench.lane(index).phase is Phase.RUNNING:
                fail(bench, index)
        assert len(bench.dead_letters()) == written
    bench.wait(30)
    for index in (0, 1, 2):
        fail(bench, index)
    assert len(bench.dead_letters()) == written + 3


def test_a_lane_tries_again_at_the_limit_and_not_long_after_it() -> None:
    bench = running(3, rules=lanes(3, retry=Retry(1, delay=1000.0, max_delay=1000.0)), brake_limit=60.0)
    fail(bench, 0, 1, 2)
    bench.wait(59)
    assert bench.lane(2).phase is Phase.RETRYING
    bench.wait(1.1)
    assert bench.lane(2).phase is Phase.RUNNING


def test_a_lane_that_failed_before_the_last_success_does_not_count() -> None:
    bench = running(4)
    fail(bench, 0, 1)
    bench.complete(lane=2)
    bench.fetch(row(10, key_of(2, 4)), row(14, key_of(2, 4)))
    fail(bench, 2)
    assert not bench.core.brake.holds(bench.now)
    assert [offset for offset, _ in bench.dead_letters()] == [0, 1, 10]


def test_two_lanes_have_no_brake_unless_it_is_asked_for() -> None:
    bench = running(2)
    fail(bench, 0, 1, 0, 1)
    assert sorted(offset for offset, _ in bench.dead_letters()) == [0, 1, 2, 3]
    bench = running(2, brake_lanes=2)
    fail(bench, 0, 1)
    assert bench.dead_letters() == [(0, "exhausted")]


def test_with_the_limit_zero_everything_is_given_up() -> None:
    bench = running(3, brake_limit=0.0)
    fail(bench, 0, 1, 2, 0, 1, 2)
    assert len(bench.dead_letters()) == 6


@pytest.mark.parametrize("kind", ["revoked", "not_registered"])
def test_a_rolling_deploy_is_no_outage(kind: Any) -> None:
    bench = running(3)
    for index in range(3):
        bench.fault(kind, lane=index)
    assert not bench.core.brake.holds(bench.now)
    assert bench.core.brake.failing == 0


def test_lanes_of_several_partitions_count_together() -> None:
    bench = Bench(ONCE).assign(TP, OTHER, THIRD)
    for tp in (TP, OTHER, THIRD):
        bench.fetch(0, 1, tp=tp)
        bench.fail(0, tp=tp)
    assert bench.core.brake.holds(bench.now)
    assert len(bench.dead_letters()) == 2


def test_attempts_that_are_not_the_last_count_as_well() -> None:
    bench = running(3, rules=lanes(3, retry=Retry(2, delay=1.0)))
    fail(bench, 0, 1, 2)
    assert bench.core.brake.holds(bench.now)
    bench.wait(2)
    fail(bench, 0, 1, 2)
    assert bench.dead_letters() == []


# --- another owner ----------------------------------------------------------------------------------------------------


def left_behind(count: int, partitions: tuple[TopicPartition, ...]) -> Bench:
    """Every lane has failed for good, and the bridge is gone before it could do anything about that."""
    old = Bench(ONCE).assign(*partitions)
    for tp in partitions:
        old.fetch(0, 1, tp=tp)
    for tp in partitions[:count]:
        first = old.first(tp, 0)
        old.complete(Outcome("failed", first, failure=None), tp=tp, heard=False)
    old.handle(ev.Revoked(partitions))
    return old


def test_adopted_outcomes_wait_so_that_the_brake_sees_all_lanes() -> None:
    partitions = (TP, OTHER, THIRD)
    old = left_behind(3, partitions)
    bench = Bench(ONCE, beside=old, name="b2")
    for tp in partitions:
        bench.assign(tp)
        bench.fetch(0, 1, tp=tp)
        bench.wait(0.5)
    assert bench.core.brake.holds(bench.now)
    bench.wait(ADOPTED_WAIT)
    assert bench.dead_letters() == []
    assert bench.said("split") == []
    assert {bench.lane(0, tp).phase for tp in partitions} <= {Phase.RETRYING, Phase.RUNNING}


def test_an_adopted_outcome_is_given_up_after_that_wait() -> None:
    old = left_behind(1, (TP, OTHER, THIRD))
    bench = Bench(ONCE, beside=old, name="b2").assign(TP, OTHER, THIRD)
    bench.fetch(0, 1)
    bench.wait(ADOPTED_WAIT - 0.1)
    assert bench.lane().phase is Phase.DISPOSING
    bench.wait(0.2)
    assert len(bench.said("split")) == 1


def test_partitions_that_are_taken_away_are_forgotten() -> None:
    bench = Bench(ONCE).assign(TP, OTHER, THIRD)
    for tp in (TP, OTHER):
        bench.fetch(0, 1, tp=tp)
        bench.fail(0, tp=tp)
    bench.handle(ev.Revoked((TP,)))
    bench.fetch(0, 1, tp=THIRD)
    bench.fail(0, tp=THIRD)
    assert bench.core.brake.failing == 2
    assert not bench.core.brake.holds(bench.now)


def test_a_partition_that_comes_back_fails_again_by_what_it_was_asked_about() -> None:
    asks = replace(ONCE, on_failed="rescue")
    bench = Bench(asks).assign(TP, OTHER, THIRD)
    for tp in (TP, OTHER, THIRD):
        bench.fetch(0, 1, tp=tp)
        bench.fail(0, tp=tp)
    bench.decide("skip")
    bench.handle(ev.Revoked((TP, OTHER, THIRD)))
    bench.assign()
    bench.fetch(0, 1)
    assert bench.lane().reason == "outage brake (1 lane fails, no batch succeeds), not given up: ValueError: no"


def test_the_lanes_of_an_earlier_lane_rule_do_not_count() -> None:
    old = Bench(ONCE).assign()
    old.fetch(row(0, key_of(0, 4)))
    old.wait(1)
    old.handle(ev.Revoked((TP,)))
    bench = Bench(lanes(4), beside=old, name="b2").assign()
    bench.fetch(row(0, key_of(0, 4)))
    bench.fail(0)
    assert bench.partition().rule == "key:4"
    assert bench.core.brake.failing == 0
