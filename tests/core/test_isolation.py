"""A batch that is out of attempts and does not say which record is at fault is split, in order, until that one stands
alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import combinations
from math import ceil, log2

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.isolation import count_up_to, found, is_split, moved, part_of, split
from bridge.core.lane import Phase
from bridge.entries import Counters, Failure, Outcome
from bridge.records import OFFSET, PipelineRules, Retry, Row
from tests.core.bench import RULES, TP, Bench, row, rows

#: one attempt, so that every further chain is an extra one
ONCE = replace(RULES, batch_size=100, retry=Retry(1))


# --- the arithmetic ---------------------------------------------------------------------------------------------------


def test_a_batch_that_is_not_split_goes_as_a_whole() -> None:
    assert part_of(rows(3, 4, 5), Counters(3)) == 3
    assert part_of(rows(3, 4, 5), Counters(0, split_kind="failures", split_last=2)) == 3


def test_the_first_half_of_the_suspects_goes_and_of_an_odd_number_the_larger_half() -> None:
    suspects = split(Counters(0), "failures", 4)
    assert part_of(rows(0, 1, 2, 3, 4), suspects) == 3
    assert part_of(rows(0, 1, 2, 3), suspects) == 2
    assert part_of(rows(4, 5, 6), replace(suspects, split_last=6)) == 1


def test_without_a_suspect_what_is_left_of_the_split_batch_is_one_part() -> None:
    assert part_of(rows(3, 4, 9, 12), Counters(3, split_kind="failures", split_last=9)) == 3


def test_rows_are_counted_by_offset_whatever_is_missing_between_them() -> None:
    assert [count_up_to(rows(2, 5, 9), offset) for offset in (1, 2, 4, 9, 100)] == [0, 1, 1, 3, 3]


def test_a_narrower_split_keeps_the_end_of_the_batch_and_another_kind_replaces_the_first() -> None:
    first = split(Counters(0), "failures", 9)
    assert split(first, "losses", 4) == Counters(0, split_kind="losses", split_last=9, bad_last=4)
    assert is_split(first, "failures")
    assert not is_split(first, "losses")
    assert not is_split(replace(first, at=10), "failures")


def test_counters_that_move_within_a_split_batch_keep_the_split_and_the_tries_behind_it_nothing() -> None:
    splitting = Counters(2, 3, 1, 1, "failures", 9, 5, tries=5, since_ms=70)
    assert moved(splitting, 2) is splitting
    assert moved(splitting, 5) == Counters(5, 0, 0, 0, "failures", 9, 5, tries=5, since_ms=70)
    assert moved(splitting, 6) == Counters(6, 0, 0, 0, "failures", 9, -1, tries=5, since_ms=70)
    assert moved(splitting, 10) == Counters(10)


def parts(count: int, bad: Collection[int]) -> list[list[int]]:
    """What the chains of a batch carry until all is finished, when a part with a bad record fails as a whole."""
    left, counters, chains = rows(*range(count)), Counters(0), []
    while left:
        counters = moved(counters, left[0][OFFSET])
        part = left[: part_of(left, counters)]
        chains.append([r[OFFSET] for r in part])
        if not any(offset in bad for offset in chains[-1]):
            left = left[len(part) :]
        elif len(part) == 1:
            left, counters = left[1:], found(counters)
        else:
            counters = split(counters, "failures", part[-1][OFFSET])
    return chains


def bound(count: int) -> int:
    """How many chains more than the first one may go until the bad record stands alone and all is finished."""
    return 2 * ceil(log2(count)) + 2


def test_wherever_the_bad_record_is_and_however_many_there_are_few_chains_find_it() -> None:
    for count in range(1, 71):
        for bad in range(count):
            chains = parts(count, {bad})
            assert [bad] in chains
            assert [offset for chain in chains if bad not in chain for offset in chain] == [
                offset for offset in range(count) if offset != bad
            ]
            assert chains[1:].index([bad]) + 1 <= ceil(log2(count)) + 1 if count > 1 else chains == [[0]]
            assert len(chains) - 1 <= ceil(log2(count)) + 2 <= bound(count), (count, bad, chains)


# --- the whole core ---------------------------------------------------------------------------------------------------


def started(records: Iterable[int | Row], rules: PipelineRules = ONCE) -> Bench:
    """A batch of these records is in flight."""
    bench = Bench(rules).assign()
    bench.fetch(*records)
    bench.wait(1)
    return bench


def offsets(bench: Bench) -> list[int]:
    return [r[0] for r in bench.payload().rows]


def run(bench: Bench, bad: Collection[int], *, most: int = 500) -> list[list[int]]:
    """Every chain fails as a whole when it carries one of these records; returns what each chain carried."""
    chains: list[list[int]] = []
    while bench.lane().phase is not Phase.FREE:
        assert len(chains) < most, chains
        if bench.lane().phase in (Phase.RUNNING, Phase.ADOPTED):
            chains.append(offsets(bench))
            if any(offset in bad for offset in chains[-1]):
                bench.fail_all()
            else:
                bench.complete()
        else:
            bench.wait(1)
    return chains


@pytest.mark.parametrize("count", [*range(1, 14), 33, 64, 70])
def test_one_bad_record_at_any_place_of_a_batch_is_found_within_the_bound(count: int) -> None:
    for bad in range(count):
        bench = started(range(count))
        chains = run(bench, {bad})
        assert len(chains) - 1 <= bound(count), (bad, chains)
        assert bench.dead_letters() == [(bad, "exhausted")], (bad, chains)
        assert bench.committed() == count


def test_everything_but_the_bad_record_has_succeeded_exactly_once() -> None:
    for bad in range(13):
        chains = run(started(range(13)), {bad})
        succeeded = [offset for chain in chains if bad not in chain for offset in chain]
        assert succeeded == [offset for offset in range(13) if offset != bad]
        assert [chain for chain in chains if bad in chain][-1] == [bad]


@pytest.mark.parametrize("count", [2, 5, 7])
def test_several_bad_records_are_all_found_in_order_and_each_within_the_bound(count: int) -> None:
    for number in range(2, count + 1):
        for bad in combinations(range(count), number):
            bench = started(range(count))
            chains = run(bench, bad)
            assert bench.dead_letters() == [(offset, "exhausted") for offset in bad]
            assert len(chains) - 1 <= number * bound(count), (bad, chains)
            firsts = [chain[0] for chain in chains]
            assert firsts == sorted(firsts)
            assert bench.committed() == count


def test_the_parts_go_in_order_and_what_is_left_behind_the_bad_record_goes_as_one() -> None:
    bench = started(range(8))
    assert run(bench, {5}) == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 3],
        [4, 5],
        [4],
        [5],
        [6, 7],
    ]


def test_parts_are_tried_without_delay_and_once_whatever_the_number_of_attempts() -> None:
    bench = started(range(4), replace(ONCE, retry=Retry(3, delay=4.0, jitter=0.0)))
    begun = bench.now
    for attempt in range(3):
        bench.wait(0 if attempt == 0 else 16)
        assert offsets(bench) == [0, 1, 2, 3]
        bench.fail_all()
    begun = bench.now
    assert run(bench, {2}) == [[0, 1], [2], [3]]
    assert bench.now == begun
    assert bench.lane().counters.failures <= 1


def test_a_part_is_dispatched_with_its_own_range_and_attempt() -> None:
    bench = started(range(4))
    bench.take(ef.Dispatch)
    bench.fail_all()
    (part,) = bench.take(ef.Dispatch)
    assert (part.chain.first, part.chain.last, part.chain.count, part.chain.attempt) == (0, 1, 2, 2)
    assert part.chain.size_bytes == 2
    assert part.counters == Counters(0, failures=1, split_kind="failures", split_last=3, bad_last=3, tries=1)
    assert bench.said("split") == [
        "offset 0 in store, out of attempts (1): ValueError: no; "
        "one of 4 records is at fault, the batch is split to find it"
    ]


def test_a_part_that_succeeds_is_committed_at_once() -> None:
    bench = started(range(4))
    bench.fail_all()
    bench.complete()
    assert bench.committed() == 2


def test_a_batch_that_fails_as_a_whole_and_succeeds_in_parts_loses_nothing() -> None:
    bench = started(range(6))
    bench.fail_all()
    chains = run(bench, set())
    assert chains == [[0, 1, 2], [3, 4], [5]]
    assert bench.dead_letters() == []
    assert bench.committed() == 6


def test_what_fails_behind_a_split_that_found_nothing_is_split_again() -> None:
    bench = started(range(6))
    bench.fail_all()
    bench.complete()  # 0..2
    bench.fail_all()  # 3, 4: one of them is at fault
    assert offsets(bench) == [3]
    bench.complete()
    bench.complete()  # 4: neither was
    assert offsets(bench) == [5]
    bench.fail_all()
    assert bench.dead_letters() == [(5, "exhausted")]
    assert bench.committed() == 6


def test_offsets_with_gaps_are_split_by_records_not_by_numbers() -> None:
    bench = started([0, 90, 91, 92, 500, 1000])
    assert run(bench, {92}) == [[0, 90, 91, 92, 500, 1000], [0, 90, 91], [92, 500], [92], [500, 1000]]
    assert bench.dead_letters() == [(92, "exhausted")]
    assert bench.committed() == 1001


def test_a_batch_that_names_its_record_is_not_split() -> None:
    bench = started(range(4))
    bench.fail(2)
    assert bench.dead_letters() == [(2, "exhausted")]
    assert bench.batches() == [[0, 1, 2, 3], [3]]


def test_a_part_that_names_its_record_is_believed() -> None:
    bench = started(range(8))
    bench.fail_all()
    bench.fail(1)
    assert bench.dead_letters() == [(1, "exhausted")]
    assert run(bench, set()) == [[2, 3, 4, 5, 6, 7]]


def test_the_records_behind_the_batch_wait_until_the_split_is_over() -> None:
    bench = started(range(9), replace(ONCE, batch_size=4))
    bench.fail_all()
    bench.fail_all()
    bench.fail_all()
    assert bench.dead_letters() == [(0, "exhausted")]
    assert bench.batches() == [[0, 1, 2, 3], [0, 1], [0], [1, 2, 3]]
    chains = run(bench, {6})
    assert [4, 5, 6, 7] in chains
    assert chains.index([4, 5, 6, 7]) > chains.index([1, 2, 3])
    assert bench.dead_letters() == [(0, "exhausted"), (6, "exhausted")]


def test_a_new_batch_behind_a_split_one_has_all_its_attempts() -> None:
    bench = started(range(4), replace(ONCE, batch_size=2, retry=Retry(2, delay=4.0, jitter=0.0)))
    bench.fail_all()
    bench.wait(5)
    bench.fail_all()
    run_until(bench, 2)
    bench.fail_all()
    assert bench.lane().phase is Phase.RETRYING
    assert bench.lane().counters == Counters(2, failures=1, tries=1)


def run_until(bench: Bench, first: int) -> None:
    """Chains succeed until the one that begins with this offset is in flight."""
    while offsets(bench)[0] < first:
        bench.complete()


# --- other kinds ------------------------------------------------------------------------------------------------------


def test_another_kind_of_failure_during_a_split_counts_as_usual() -> None:
    bench = started(range(8))
    bench.fail_all()
    assert offsets(bench) == [0, 1, 2, 3]
    bench.claim()
    bench.fault("worker_lost")
    assert bench.lane().counters == Counters(0, 1, 0, 1, "failures", 7, 7, tries=2)
    assert offsets(bench) == [0, 1, 2, 3]  # the same part again, not a half of it
    assert run(bench, {3}) == [[0, 1, 2, 3], [0, 1], [2], [3], [4, 5, 6, 7]]


def test_a_record_that_kills_its_worker_is_isolated_and_its_neighbours_go_on() -> None:
    bench = started(range(4), replace(ONCE, retry=Retry(5)))
    killed = []
    while bench.lane().phase is not Phase.FREE:
        carried = offsets(bench)
        bench.claim()
        if 2 in carried:
            killed.append(carried)
            bench.fault("worker_lost")
        else:
            bench.complete()
    assert killed == [[0, 1, 2, 3]] * 3 + [[2]]
    assert bench.dead_letters() == [(2, "worker_lost")]
    assert bench.committed() == 4


def test_a_record_that_runs_into_its_time_limit_is_isolated_as_well() -> None:
    bench = started(range(2))
    for _ in range(2):
        bench.claim()
        bench.fault("timeout")
    assert offsets(bench) == [0]
    bench.complete()
    bench.claim()
    bench.fault("timeout")
    assert bench.dead_letters() == [(1, "timeout")]


def test_a_kind_that_is_never_counted_does_not_end_a_split() -> None:
    bench = started(range(4))
    bench.fail_all()
    bench.fault("not_registered")
    assert bench.lane().stalled
    bench.wait(1)
    assert offsets(bench) == [0, 1]
    assert bench.lane().counters.split_last == 3


def test_a_batch_that_is_not_to_be_tried_again_is_split_at_once() -> None:
    bench = started(range(4), replace(ONCE, retry=Retry(9)))
    bench.fail_all(retryable=False)
    assert offsets(bench) == [0, 1]


# --- another owner ----------------------------------------------------------------------------------------------------


def handed_over(old: Bench, read: Iterable[int]) -> Bench:
    old.handle(ev.Revoked((TP,)))
    bench = Bench(ONCE, beside=old, name=f"{old.name}+").assign()
    first = bench.take(ef.StartFetching)[-1].offset
    bench.fetch(*(offset for offset in read if offset >= first))
    bench.handle(ev.EndOfLog(TP, bench.partition().expected or 0))
    return bench


@pytest.mark.parametrize("steps", range(7))
def test_a_split_survives_a_handoff_at_any_step(steps: int) -> None:
    bench = started(range(8))
    chains = 0
    for _ in range(steps):
        chains += 1
        bench.fail_all() if 5 in offsets(bench) else bench.complete()
        if bench.lane().phase is Phase.FREE:
            break
    bench = handed_over(bench, range(8))
    chains += len(run(bench, {5}))
    assert chains - 1 <= bound(8)
    assert bench.dead_letters() == [(5, "exhausted")]
    assert bench.committed() == 8


@pytest.mark.parametrize("steps", range(6))
def test_an_outcome_that_only_the_next_owner_hears_goes_on_with_the_split(steps: int) -> None:
    bench = started(range(8))
    for step in range(steps + 1):
        failure = Failure(bench.first(TP, 0), "failed", message="no")
        bad = Outcome("failed", bench.first(TP, 0), failure) if 5 in offsets(bench) else None
        bench.complete(bad, heard=step < steps)
    bench = handed_over(bench, range(8))
    bench.wait(4)
    run(bench, {5})
    assert bench.dead_letters() == [(5, "exhausted")]
    assert bench.committed() == 8


def test_a_split_survives_a_handoff_at_every_step() -> None:
    bench, count = started(range(16)), 0
    while bench.committed() != 16:
        assert count < 50
        if bench.lane().phase in (Phase.RUNNING, Phase.ADOPTED):
            count += 1
            bench.fail_all() if 11 in offsets(bench) else bench.complete()
        if bench.lane().phase is not Phase.FREE:
            bench = handed_over(bench, range(16))
            bench.wait(4)
    assert bench.dead_letters() == [(11, "exhausted")]
    assert count - 1 <= bound(16)


def test_a_suspect_that_the_log_has_lost_by_the_next_owners_time_is_left_out() -> None:
    bench = started([0, 1, 2, 3])
    bench.fail_all()
    bench.fail_all()  # 0 or 1
    bench = handed_over(bench, [0, 2, 3])
    assert offsets(bench) == [0]
    bench.complete()
    assert run(bench, {1}) == [[2, 3]]
    assert bench.dead_letters() == []
    assert bench.committed() == 4


def test_of_a_failed_batch_whose_first_record_the_log_has_lost_the_others_are_split() -> None:
    bench = started([0, 1, 2, 3])
    outcome = Outcome("failed", 0, Failure(0, "failed", message="no"))
    bench.complete(outcome, heard=False)
    bench = handed_over(bench, [1, 2, 3])
    bench.wait(4)
    assert run(bench, {2}) == [[1, 2], [1], [2], [3]]
    assert bench.dead_letters() == [(2, "exhausted")]
    assert bench.committed() == 4


def test_redis_emptied_during_a_split_keeps_what_is_known_of_it() -> None:
    bench = started(range(8))
    bench.fail_all()
    bench.ledger.flush()
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert run(bench, {0}) == [[0, 1, 2, 3], [0, 1], [0], [1, 2, 3, 4, 5, 6, 7]]
    assert bench.dead_letters() == [(0, "exhausted")]


def test_memory_counts_what_is_left_of_a_split_batch() -> None:
    bench = started([row(offset, value=b"x" * 100) for offset in range(8)])
    whole = bench.partition().held_bytes
    bench.fail_all()
    assert bench.partition().held_bytes == whole
    assert bench.core.in_flight.total_bytes == 400
    bench.complete()
    assert bench.partition().held_bytes == whole // 2
