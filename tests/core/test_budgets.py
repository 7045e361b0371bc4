"""What the bridge holds is bounded: records in memory, payload bytes in flight."""

from __future__ import annotations

from dataclasses import replace

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.batching import ROW_OVERHEAD_BYTES
from bridge.core.lane import Phase
from bridge.core.limits import LEAST_SHARE_BYTES
from tests.core.bench import KEY_0, KEY_1, OTHER, RULES, TP, Bench, row

BIG = b"x" * 9_700  # about seven of them fill a share
ONE = replace(RULES, batch_size=1)
KEYED = replace(RULES, order_by="key", lanes=2, batch_size=1)


def fill(bench: Bench, *offsets: int, tp: tuple[str, int] = TP) -> None:
    bench.fetch(*(row(offset, value=BIG) for offset in offsets), tp=tp)  # type: ignore[arg-type]


def two_partitions() -> Bench:
    return Bench(ONE, buffer_bytes=2 * LEAST_SHARE_BYTES).assign(TP, OTHER)


def test_a_full_partition_is_paused_and_the_others_go_on() -> None:
    bench = two_partitions()
    fill(bench, *range(7))
    assert [effect.tp for effect in bench.take(ef.PauseFetching)] == [TP]
    assert bench.take(ef.HoldFetching) == []


def test_a_paused_partition_is_resumed_at_half_of_its_share() -> None:
    bench = two_partitions()
    fill(bench, *range(7))
    for _ in range(3):
        bench.complete()
    assert bench.take(ef.ResumeFetching) == []
    bench.complete()
    assert [effect.tp for effect in bench.take(ef.ResumeFetching)] == [TP]


def test_when_all_are_full_no_records_are_taken_and_nothing_more_is_paused() -> None:
    bench = two_partitions()
    fill(bench, *range(7))
    fill(bench, *range(7), tp=OTHER)
    assert [effect.on for effect in bench.take(ef.HoldFetching)] == [True]
    assert [effect.tp for effect in bench.take(ef.PauseFetching)] == [TP]
    for _ in range(4):
        bench.complete(tp=OTHER)
    assert [effect.on for effect in bench.take(ef.HoldFetching)] == [False]


def test_a_partition_that_is_taken_away_ends_its_part_of_a_hold() -> None:
    bench = two_partitions()
    fill(bench, *range(7))
    fill(bench, *range(7), tp=OTHER)
    bench.handle(ev.Lost((OTHER,)))
    bench.handle(ev.Lost((TP,)))
    assert [effect.on for effect in bench.take(ef.HoldFetching)] == [True, False]
    assert bench.core.buffers.held_bytes == 0


def test_a_full_partition_flushes_its_open_batches() -> None:
    bench = Bench(replace(RULES, batch_size=1000)).assign()
    bench.core.buffers._budget_bytes = LEAST_SHARE_BYTES
    fill(bench, *range(7))
    assert [batch.trigger for effect in bench.take(ef.Dispatch) for batch in effect.chain.batches] == ["flush"]


def test_a_partition_that_must_read_an_adopted_chain_again_is_not_paused() -> None:
    rules = replace(RULES, batch_size=20, batch_bytes=10**9)
    old = Bench(rules, buffer_bytes=1).assign()
    old.core.buffers._budget_bytes = 10**9
    fill(old, *range(20))
    old.claim()
    old.handle(ev.Revoked((TP,)))
    bench = Bench(rules, buffer_bytes=1, beside=old, name="b2").assign()
    fill(bench, *range(15))
    assert bench.take(ef.PauseFetching) == []
    assert bench.take(ef.HoldFetching) == []
    fill(bench, *range(15, 20))
    assert [effect.on for effect in bench.take(ef.HoldFetching)] == [True]


def test_an_assignment_that_goes_on_keeps_its_pause() -> None:
    bench = two_partitions()
    fill(bench, *range(7))
    bench.take(ef.PauseFetching)
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    for _ in range(4):
        bench.complete()
    assert [effect.tp for effect in bench.take(ef.ResumeFetching)] == [TP]


def test_fetching_that_starts_anew_is_paused_again_when_the_partition_is_full() -> None:
    bench = two_partitions()
    fill(bench, *range(7))
    bench.take(ef.PauseFetching)
    bench.broker.start = 50
    bench.handle(ev.OffsetMissing(TP))
    order = [type(effect) for effect in bench.effects if isinstance(effect, ef.StartFetching | ef.PauseFetching)]
    assert order[-2:] == [ef.StartFetching, ef.PauseFetching]


def test_what_is_counted_is_what_is_held() -> None:
    bench = two_partitions()
    bench.fetch(row(0, value=b"abc"), row(1, value=b"de"))
    assert bench.partition().held_bytes == 5 + 2 * ROW_OVERHEAD_BYTES
    assert bench.core.buffers.held_bytes == bench.partition().held_bytes
    bench.complete()
    assert bench.partition().held_bytes == 2 + ROW_OVERHEAD_BYTES
    bench.complete()
    assert bench.partition().held_bytes == 0


# --- bytes in flight --------------------------------------------------------------------------------------------------


def crowded(*partitions: int) -> Bench:
    """Room for one chain; every partition has two records."""
    bench = Bench(ONE, in_flight_bytes=1000).assign(*(TP._replace(partition=number) for number in partitions))
    for number in partitions:
        fill(bench, 0, 1, tp=TP._replace(partition=number))
    return bench


def test_one_chain_may_exceed_the_limit_so_that_a_large_batch_is_never_stuck() -> None:
    bench = crowded(0)
    assert bench.batches() == [[0]]
    assert bench.core.in_flight.total_bytes == len(BIG)


def test_lanes_that_wait_for_room_go_first_come_first_served() -> None:
    bench = crowded(0, 1, 2)
    order = []
    for _ in range(6):
        (dispatch,) = bench.take(ef.Dispatch)
        order.append(dispatch.tp.partition)
        bench.complete(tp=dispatch.tp)
    assert order == [0, 1, 2, 0, 1, 2]
    assert bench.core.in_flight.total_bytes == 0


def test_a_partition_that_is_taken_away_makes_room() -> None:
    bench = crowded(0, 1)
    bench.take(ef.Dispatch)
    bench.handle(ev.Lost((TP,)))
    assert [dispatch.tp for dispatch in bench.take(ef.Dispatch)] == [OTHER]


def test_a_waiting_lane_of_a_partition_that_is_taken_away_holds_up_nobody() -> None:
    bench = crowded(0, 1, 2)
    bench.take(ef.Dispatch)
    bench.handle(ev.Lost((OTHER,)))
    bench.complete(tp=TP)
    assert [dispatch.tp.partition for dispatch in bench.take(ef.Dispatch)] == [2]


def test_a_lane_that_waits_for_room_with_an_open_batch_is_woken_in_time() -> None:
    bench = Bench(KEYED, in_flight_bytes=1000).assign()
    bench.core.config.rules_of("t")
    bench.fetch(row(0, KEY_0, BIG))
    bench.fetch(row(1, KEY_1))
    assert bench.batches() == [[0]]
    bench.complete(lane=0)
    assert bench.batches() == [[1]]


def test_a_failed_chain_gives_its_room_back_while_it_waits() -> None:
    bench = crowded(0, 1)
    bench.take(ef.Dispatch)
    bench.fail(0)
    assert [dispatch.tp for dispatch in bench.take(ef.Dispatch)] == [OTHER]
    bench.wait(10)
    assert bench.lane().phase is Phase.RETRYING  # its time has come, there is no room
    bench.complete(tp=OTHER)
    assert [dispatch.tp for dispatch in bench.take(ef.Dispatch)] == [TP]


def test_a_lane_that_fills_a_batch_does_not_stand_in_the_way_of_one_that_is_ready() -> None:
    bench = Bench(RULES, in_flight_bytes=1).assign(TP, OTHER, TP._replace(partition=2))
    bench.fetch(0, 1, 2)
    bench.fetch(0, tp=OTHER)  # open, and waits for room
    bench.fetch(0, 1, 2, tp=TP._replace(partition=2))
    bench.take(ef.Dispatch)
    bench.complete()
    assert [dispatch.tp.partition for dispatch in bench.take(ef.Dispatch)] == [2]
    bench.wait(1)
    bench.complete(tp=TP._replace(partition=2))
    assert [dispatch.tp for dispatch in bench.take(ef.Dispatch)] == [OTHER]
