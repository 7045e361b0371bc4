"""How records become batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.batching import Batcher, rows_bytes
from bridge.records import Record, TopicPartition
from tests.core.bench import RULES, TP, Bench, row


def triggers(bench: Bench) -> list[str]:
    return [batch.trigger for effect in bench.take(ef.Dispatch) for batch in effect.chain.batches]


def test_a_batch_closes_at_its_size() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2, 3)
    (dispatch,) = bench.take(ef.Dispatch)
    assert [r[0] for r in dispatch.rows] == [0, 1, 2]
    assert [batch.trigger for batch in dispatch.chain.batches] == ["size"]
    assert (dispatch.chain.first, dispatch.chain.last, dispatch.chain.count) == (0, 2, 3)


def test_a_batch_closes_before_the_record_that_would_exceed_its_bytes() -> None:
    bench = Bench(replace(RULES, batch_bytes=10)).assign()
    bench.fetch(row(0, value=b"12345"), row(1, value=b"1234"), row(2, value=b"12"))
    assert triggers(bench) == ["bytes"]
    assert [r[0] for r in bench.lane().flight.rows] == [0, 1]  # type: ignore[union-attr]


def test_a_batch_closes_when_its_bytes_are_reached_exactly() -> None:
    bench = Bench(replace(RULES, batch_bytes=10)).assign()
    bench.fetch(row(0, value=b"12345"), row(1, value=b"12345"))
    assert triggers(bench) == ["bytes"]


def test_a_record_larger_than_a_batch_goes_alone() -> None:
    bench = Bench(replace(RULES, batch_bytes=10)).assign()
    bench.fetch(row(0), row(1, value=b"x" * 50), row(2))
    bench.complete()
    bench.complete()
    assert bench.batches() == [[0], [1]]


def test_a_batch_closes_by_time_counted_from_its_first_record() -> None:
    bench = Bench().assign()
    bench.fetch(0)
    bench.wait(0.7)
    bench.fetch(1)
    assert bench.batches() == []
    bench.wait(0.3)
    assert triggers(bench) == ["timeout"]


def test_a_batch_that_waits_for_its_lane_goes_on_filling_after_its_time() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.fetch(3)
    bench.wait(5)
    bench.fetch(4)
    bench.complete()
    assert bench.batches() == [[0, 1, 2], [3, 4]]


def test_the_predicate_closes_a_batch_with_the_record_it_says_yes_to() -> None:
    seen: list[list[int]] = []

    def ends(record: Record, batch: Sequence[Record]) -> bool:
        seen.append([r.offset for r in batch])
        return record.value == b"end"

    bench = Bench(replace(RULES, close_batch=ends)).assign()
    bench.fetch(row(0), row(1, value=b"end"), row(2))
    assert triggers(bench) == ["predicate"]
    assert seen == [[0], [0, 1], [2]]


def test_a_full_batch_closes_before_the_predicate_is_asked() -> None:
    asked: list[int] = []

    def never(record: Record, batch: Sequence[Record]) -> bool:
        asked.append(record.offset)
        return False

    bench = Bench(replace(RULES, close_batch=never)).assign()
    bench.fetch(0, 1, 2)
    assert triggers(bench) == ["size"]
    assert asked == [0, 1]


def test_a_predicate_that_raises_is_reported_and_the_batch_stays_open() -> None:
    def broken(record: Record, batch: Sequence[Record]) -> bool:
        raise RuntimeError("boom")

    bench = Bench(replace(RULES, close_batch=broken)).assign()
    bench.fetch(0)
    assert bench.said("close_batch") == ["close_batch of pipeline p raised RuntimeError: boom; the batch stays open"]
    bench.wait(1)
    assert bench.batches() == [[0]]


def test_flush_closes_open_batches_once_the_end_is_reached() -> None:
    bench = Bench().assign()
    bench.handle(ev.Flush({TP: 2, TopicPartition("t", 9): 5}))
    bench.fetch(0)
    assert bench.batches() == []
    bench.fetch(1)
    assert triggers(bench) == ["flush"]


def test_flush_closes_what_is_open_already() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1)
    bench.handle(ev.Flush({TP: 2}))
    assert triggers(bench) == ["flush"]


def test_flush_is_remembered_for_partitions_that_come_later() -> None:
    bench = Bench()
    bench.handle(ev.Flush({TP: 1}))
    bench.assign()
    bench.fetch(0)
    assert triggers(bench) == ["flush"]


def test_a_lane_without_waiting_batches_takes_the_next_as_soon_as_it_is_free() -> None:
    bench = Bench().assign()
    bench.fetch(*range(7))
    bench.complete()
    bench.complete()
    assert bench.batches() == [[0, 1, 2], [3, 4, 5]]
    bench.wait(1)
    assert bench.batches() == [[6]]


def test_records_weigh_what_their_key_value_and_headers_weigh() -> None:
    assert rows_bytes([(0, -1, None, None, ()), (1, -1, b"key", b"value", (("name", b"xyz"), ("n", None)))]) == 16


def test_an_empty_batcher_has_nothing_to_give() -> None:
    batcher = Batcher(TP, RULES)
    assert batcher.take(1000.0, flush=True) == ()
    assert batcher.take_all() == []
    assert batcher.first_timestamp_ms is None
    assert not batcher.has_closed
    batcher.add([row(5)], 0.0)
    assert batcher.first_timestamp_ms == 1_700_000_000_005


@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_record_is_lost_or_doubled_by_batching(size: int) -> None:
    batcher = Batcher(TP, replace(RULES, batch_size=size))
    batcher.add([row(offset) for offset in range(11)], 0.0)
    taken = []
    while batches := batcher.take(0.0, flush=True):
        taken += [[r[0] for r in batch.rows] for batch in batches]
    assert [offset for batch in taken for offset in batch] == list(range(11))
    assert all(len(batch) == size for batch in taken[:-1])
