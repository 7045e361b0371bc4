"""Several consecutive batches of a lane in one chain: when, how many, and what becomes of them when it stops."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.lane import Phase
from bridge.core.trains import Pace, cut_anew, headers_of, uncouple
from bridge.entries import BatchHeader, Failure, Outcome, Rejection
from bridge.records import PipelineRules, Retry, Row
from tests.core.bench import RULES, TP, Bench, row, rows

QUICK_S, SLOW_S = 0.001, 1.0


def headers(dispatch: ef.Dispatch) -> list[tuple[int, int, int]]:
    """First, last and number of records of each batch of a chain."""
    return [(batch.first, batch.last, batch.count) for batch in dispatch.chain.batches]


def chains(bench: Bench) -> list[list[tuple[int, int, int]]]:
    """The batches of every chain dispatched since that was asked last."""
    return [headers(dispatch) for dispatch in bench.take(ef.Dispatch)]


def succeed(bench: Bench, took_s: float = QUICK_S) -> None:
    """The chain gets through."""
    last = bench.ledger.read([TP])[TP].lanes[0].last
    bench.complete(Outcome("ok", last + 1, took_s=took_s))


def at_speed(records: int = 30, rules: PipelineRules = RULES) -> Bench:
    """A bridge whose lane has got three chains through, of one, two and four batches, and has the fourth in flight."""
    bench = Bench(rules).assign()
    bench.fetch(*range(records))
    for _ in range(3):
        succeed(bench)
    return bench


# --- how many ---------------------------------------------------------------------------------------------------------


def test_a_lane_begins_with_one_batch_and_at_most_doubles_up_to_the_limit() -> None:
    bench = Bench(replace(RULES, max_batches_per_chain=5)).assign()
    bench.fetch(*range(60))
    for _ in range(4):
        succeed(bench)
    assert [len(batches) for batches in chains(bench)] == [1, 2, 4, 5, 5]


def test_the_records_of_a_train_are_those_of_its_batches_in_order() -> None:
    bench = Bench().assign()
    bench.fetch(*range(12))
    succeed(bench)
    _, train = bench.take(ef.Dispatch)
    assert headers(train) == [(3, 5, 3), (6, 8, 3)]
    assert [each[0] for each in train.rows] == [3, 4, 5, 6, 7, 8]
    assert (train.chain.first, train.chain.last, train.chain.count, train.chain.size_bytes) == (3, 8, 6, 6)


def test_a_slow_task_never_gets_a_train() -> None:
    bench = Bench().assign()
    bench.fetch(*range(30))
    for _ in range(4):
        succeed(bench, SLOW_S)
    assert [len(batches) for batches in chains(bench)] == [1] * 5


def test_a_worker_that_does_not_say_how_long_it_took_gets_no_train() -> None:
    bench = Bench().assign()
    bench.fetch(*range(30))
    for _ in range(4):
        succeed(bench, 0.0)
    assert [len(batches) for batches in chains(bench)] == [1] * 5


def test_with_one_batch_per_chain_there_are_no_trains() -> None:
    bench = Bench(replace(RULES, max_batches_per_chain=1)).assign()
    bench.fetch(*range(30))
    for _ in range(4):
        succeed(bench)
    assert [len(batches) for batches in chains(bench)] == [1] * 5


@pytest.mark.parametrize(
    ("batches", "took_s", "length"),
    [(1, 0.001, 2), (4, 0.001, 8), (16, 0.001, 16), (8, 0.2, 2), (8, 0.05, 8), (8, 0.06, 6), (2, 9.0, 1), (3, 0.0, 5)],
)
def test_the_next_chain_carries_what_the_slowest_link_gets_through_in_the_target(
    batches: int, took_s: float, length: int
) -> None:
    pace = Pace(RULES)
    pace.length = 5
    pace.succeeded(batches, took_s)
    assert pace.length == length


def test_all_batches_of_a_train_weigh_no_more_than_one_may() -> None:
    heavy = replace(RULES, batch_bytes=10)
    bench = at_speed(rules=heavy)
    assert [len(batches) for batches in chains(bench)] == [1, 2, 3, 3]


def test_a_batch_that_is_still_open_does_not_ride_along() -> None:
    bench = Bench().assign()
    bench.fetch(*range(7))
    succeed(bench)
    succeed(bench)
    assert chains(bench) == [[(0, 2, 3)], [(3, 5, 3)]]
    bench.wait(1.0)
    assert chains(bench) == [[(6, 6, 1)]]


def test_an_idle_lane_sends_what_it_has_and_does_not_wait_for_a_train() -> None:
    bench = at_speed(records=12)
    succeed(bench)
    chains(bench)
    bench.fetch(12, 13, 14)
    assert chains(bench) == [[(12, 14, 3)]]


# --- when it stops ----------------------------------------------------------------------------------------------------


def test_the_batch_that_failed_goes_again_alone_and_so_does_each_behind_it() -> None:
    bench = at_speed()
    assert chains(bench)[-1] == [(21, 23, 3), (24, 26, 3), (27, 29, 3)]
    bench.fetch(*range(30, 36))
    failure = Failure(24, "failed", False, 1, "store", "ValueError", "no")
    bench.complete(Outcome("partial", 24, failure))
    bench.wait(4.0)
    for _ in range(3):
        succeed(bench)
    assert chains(bench) == [[(24, 26, 3)], [(27, 29, 3)], [(30, 32, 3), (33, 35, 3)]]


def test_batches_that_come_behind_the_train_that_stopped_ride_again() -> None:
    bench = at_speed()
    bench.fetch(*range(30, 48))
    bench.complete(Outcome("partial", 27, Failure(27, "failed", False, 1, "store", "ValueError", "no")))
    bench.wait(4.0)
    chains(bench)
    for _ in range(3):
        succeed(bench)
    assert [len(batches) for batches in chains(bench)] == [2, 4]


def test_a_record_that_fails_within_its_batch_goes_again_with_the_rest_of_it() -> None:
    bench = at_speed()
    bench.take(ef.Dispatch)
    bench.fail(25)
    bench.wait(4.0)
    succeed(bench)
    assert chains(bench) == [[(25, 26, 2)], [(27, 29, 3)]]


def test_what_is_finished_of_a_train_is_committed_when_it_stops() -> None:
    bench = at_speed()
    bench.fail(25)
    assert bench.committed() == 25


@pytest.mark.parametrize("kind", ["worker_lost", "timeout"])
def test_nothing_of_a_train_that_lost_its_worker_or_timed_out_rides_again(kind: str) -> None:
    bench = at_speed()
    bench.take(ef.Dispatch)
    bench.claim()
    bench.fault(kind)  # type: ignore[arg-type]
    bench.wait(4.0)
    for _ in range(3):
        succeed(bench)
    assert chains(bench) == [[(21, 23, 3)], [(24, 26, 3)], [(27, 29, 3)]]


def test_only_the_batch_at_fault_is_split() -> None:
    bench = at_speed(rules=replace(RULES, retry=Retry(1)))
    bench.take(ef.Dispatch)
    bench.complete(Outcome("partial", 24, Failure(24, "failed", False, 1, "store", "ValueError", "no")))
    assert chains(bench) == [[(24, 25, 2)]]
    succeed(bench)
    assert chains(bench) == [[(26, 26, 1)]]
    bench.fail_all()
    assert bench.dead_letters() == [(26, "exhausted")]
    assert chains(bench) == [[(27, 29, 3)]]


def test_records_that_different_batches_rejected_are_disposed_of_together_and_nothing_runs_again() -> None:
    bench = at_speed()
    bench.take(ef.Dispatch)
    bench.reject(22, 28)
    assert bench.dead_letters() == [(22, "rejected"), (28, "rejected")]
    assert bench.committed() == 30
    assert chains(bench) == []


def test_rejected_records_are_disposed_of_before_the_batch_that_stopped_the_train_goes_again() -> None:
    bench = at_speed()
    bench.take(ef.Dispatch)
    bench.reject(22, 24, fails=25)
    assert bench.dead_letters() == [(22, "rejected"), (24, "rejected")]
    bench.wait(4.0)
    succeed(bench)
    assert chains(bench) == [[(25, 26, 2)], [(27, 29, 3)]]


def test_on_failed_is_asked_about_the_record_and_the_batches_behind_it_go_alone() -> None:
    bench = at_speed(rules=replace(RULES, retry=Retry(1), on_failed="decide"))
    bench.take(ef.Dispatch)
    bench.fail(25)
    (asked,) = bench.take(ef.Dispatch)
    assert asked.judged is not None
    assert headers(asked) == [(25, 26, 1)]
    bench.decide("skip")
    succeed(bench)
    succeed(bench)
    assert chains(bench) == [[(26, 26, 1)], [(27, 29, 3)]]


def test_a_train_that_redis_has_forgotten_goes_again_batch_by_batch() -> None:
    bench = at_speed()
    bench.take(ef.Dispatch)
    bench.ledger.flush()
    bench.wait(3.0)
    for _ in range(3):
        succeed(bench)
    assert chains(bench) == [[(21, 23, 3)], [(24, 26, 3)], [(27, 29, 3)]]


# --- another owner ----------------------------------------------------------------------------------------------------


def taken_over(bench: Bench) -> Bench:
    """Another bridge has the partition, and has read what is not committed."""
    other = Bench(bench.core.config.rules_of("t"), beside=bench, name="other").assign()
    other.fetch(*range(21, 30))
    return other


def test_a_train_that_another_owner_takes_up_finishes_as_a_whole() -> None:
    other = taken_over(at_speed())
    succeed(other)
    assert other.committed() == 30
    assert chains(other) == []


def test_a_train_that_stops_under_another_owner_goes_on_batch_by_batch() -> None:
    other = taken_over(at_speed())
    other.complete(Outcome("partial", 24, Failure(24, "failed", False, 1, "store", "ValueError", "no")))
    other.wait(8.0)
    for _ in range(2):
        succeed(other)
    assert chains(other) == [[(24, 26, 3)], [(27, 29, 3)]]


def test_a_train_that_had_stopped_before_is_taken_up_batch_by_batch() -> None:
    bench = at_speed()
    bench.complete(Outcome("partial", 24, Failure(24, "failed", False, 1, "store", "ValueError", "no")), heard=False)
    other = Bench(beside=bench, name="other").assign()
    other.fetch(*range(24, 30))
    other.wait(8.0)
    for _ in range(2):
        succeed(other)
    assert chains(other) == [[(24, 26, 3)], [(27, 29, 3)]]


def test_nothing_goes_before_all_records_of_the_train_were_read_again() -> None:
    bench = at_speed()
    bench.complete(Outcome("partial", 24, Failure(24, "failed", False, 1, "store", "ValueError", "no")), heard=False)
    other = Bench(beside=bench, name="other").assign()
    other.fetch(24, 25, 26)
    other.wait(20.0)
    assert chains(other) == []
    other.fetch(27, 28, 29)
    assert chains(other) == [[(24, 26, 3)]]
    assert other.lane().phase is Phase.RUNNING


def test_a_taken_up_train_whose_rejected_records_are_not_settled_is_kept_whole_until_they_are() -> None:
    bench = at_speed()
    rejected = (Rejection(22, "bad", 1, "store"), Rejection(27, "bad", 1, "store"))
    bench.complete(Outcome("partial", 30, rejected=rejected), heard=False)
    other = Bench(beside=bench, name="other").assign()
    other.fetch(*range(22, 30))
    other.wait(10.0)
    assert other.dead_letters() == [(22, "rejected"), (27, "rejected")]
    assert other.committed() == 30


def test_a_batch_that_another_owner_was_splitting_is_not_cut_anew() -> None:
    bench = Bench(replace(RULES, batch_size=6, retry=Retry(1))).assign()
    bench.fetch(*range(6))
    bench.fail_all()
    assert bench.batches()[-1] == [0, 1, 2]
    other = Bench(replace(RULES, batch_size=2, retry=Retry(1)), beside=bench, name="other").assign()
    other.fetch(*range(6))
    succeed(other)
    assert other.batches() == [[3, 4]]


def test_parts_of_a_batch_that_was_being_split_are_no_larger_than_a_batch_may_be_now() -> None:
    bench = Bench(replace(RULES, batch_size=6, retry=Retry(1))).assign()
    bench.fetch(*range(6))
    bench.fail_all()
    other = Bench(replace(RULES, batch_size=1, retry=Retry(1)), beside=bench, name="other").assign()
    other.fetch(*range(6))
    for _ in range(4):
        succeed(other)
    assert other.batches() == [[3], [4], [5]]
    assert other.committed() == 6


def test_records_of_the_adopted_chain_that_were_deleted_meanwhile_are_not_waited_for() -> None:
    bench = at_speed()
    bench.complete(Outcome("partial", 24, Failure(24, "failed", False, 1, "store", "ValueError", "no")), heard=False)
    other = Bench(beside=bench, name="other").assign()
    other.handle(ev.EndOfLog(TP, 30))
    other.wait(8.0)
    assert other.committed() == 30
    assert chains(other) == []


# --- the parts --------------------------------------------------------------------------------------------------------


def test_unfinished_rows_fall_into_the_batches_that_they_were_dispatched_in() -> None:
    batches = (BatchHeader(0, 2, 3, "size"), BatchHeader(3, 5, 3, "bytes"), BatchHeader(8, 9, 2, "predicate"))
    found = uncouple(rows(4, 5, 8, 9), batches)
    assert [([each[0] for each in batch.rows], batch.trigger) for batch in found] == [
        ([4, 5], "bytes"),
        ([8, 9], "predicate"),
    ]
    assert [batch.size_bytes for batch in found] == [2, 2]
    assert headers_of(found, 11) == (BatchHeader(4, 5, 2, "bytes"), BatchHeader(8, 11, 2, "predicate"))


def test_rows_are_cut_anew_by_the_rules_that_cut_them_first() -> None:
    def ends(record: object, batch: object) -> bool:
        return getattr(record, "offset", 0) % 5 == 4

    rules = replace(RULES, batch_size=4, batch_bytes=20, close_batch=ends)
    given: list[Row] = [row(offset, value=b"v" * size) for offset, size in enumerate((1, 1, 1, 1, 1, 18, 9, 1, 1, 1))]
    found = cut_anew(TP, given, rules, 0.0)
    assert [[each[0] for each in batch.rows] for batch in found] == [[0, 1, 2, 3], [4], [5], [6, 7, 8, 9]]
    assert [each for batch in found for each in batch.rows] == given
