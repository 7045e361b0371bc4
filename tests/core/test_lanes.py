"""Lanes and positions: what may be committed when several lanes of a partition are in flight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.dispatching import chain_id, chain_prefix
from bridge.core.lane import IN_FLIGHT, TABLE, Lane, Phase, Signal
from bridge.core.lanes import lane_count, lane_of
from bridge.records import Retry
from tests.core.bench import KEY_0, KEY_1, OTHER, RULES, TP, Bench, row

KEYED = replace(RULES, order_by="key", lanes=2, batch_size=2, retry=Retry(1), on_exhausted="stop")


def keyed(*records: tuple[int, bytes | None]) -> Bench:
    bench = Bench(KEYED).assign()
    bench.fetch(*(row(offset, key) for offset, key in records))
    return bench


def test_the_lane_of_a_key_is_a_pure_function_and_spreads() -> None:
    lanes = [lane_of(str(number).encode(), 8) for number in range(800)]
    assert lanes == [lane_of(str(number).encode(), 8) for number in range(800)]
    assert all(60 < lanes.count(lane) < 140 for lane in range(8))


def test_records_without_a_key_are_one_lane_and_an_empty_key_is_a_key() -> None:
    assert lane_of(None, 8) == 0
    assert lane_of(b"", 8) == lane_of(b"", 8)


def test_a_rule_names_its_lanes() -> None:
    assert (lane_count("partition"), lane_count("key:12")) == (1, 12)
    assert replace(RULES, order_by="key", lanes=12).rule == "key:12"


def test_each_lane_has_its_own_chain_in_flight() -> None:
    bench = keyed((0, KEY_0), (1, KEY_1), (2, KEY_0), (3, KEY_1), (4, KEY_0), (5, KEY_0))
    assert bench.batches() == [[0, 2], [1, 3]]
    assert {lane.phase for lane in bench.partition().lanes.values()} == {Phase.RUNNING}


def test_the_position_is_the_smallest_unfinished_offset_of_all_lanes() -> None:
    bench = keyed((0, KEY_0), (1, KEY_1), (2, KEY_0), (3, KEY_1), (7, KEY_0), (9, KEY_1))
    bench.complete(lane=1)
    assert bench.committed() == 0
    bench.complete(lane=0)
    assert bench.committed() == 7


def test_with_nothing_unfinished_the_position_is_the_next_expected_offset() -> None:
    bench = keyed((0, KEY_0), (4, KEY_0))
    bench.complete(lane=0)
    assert bench.committed() == 5


def test_behind_control_markers_the_end_of_the_log_is_the_position() -> None:
    bench = keyed((0, KEY_0), (4, KEY_0))
    bench.complete(lane=0)
    bench.handle(ev.EndOfLog(TP, 8))
    assert bench.committed() == 8
    bench.handle(ev.EndOfLog(TP, 8))
    bench.handle(ev.EndOfLog(TP, 6))
    assert bench.partition().position == 8


def test_an_empty_log_of_control_markers_is_committed_to_its_end() -> None:
    bench = Bench().assign()
    bench.handle(ev.EndOfLog(TP, 3))
    assert bench.committed() == 3


def test_the_end_of_the_log_does_not_pass_what_is_unfinished() -> None:
    bench = keyed((0, KEY_0))
    bench.handle(ev.EndOfLog(TP, 8))
    assert bench.partition().position == 0


def test_gaps_in_offsets_are_normal() -> None:
    bench = Bench().assign()
    bench.fetch(10, 25, 26)
    bench.complete()
    assert bench.committed() == 27
    bench.fetch(90, 91, 99)
    assert bench.partition().position == 90
    bench.complete()
    assert bench.committed() == 100


def test_of_two_lanes_the_one_that_is_stopped_does_not_hold_up_the_other() -> None:
    bench = keyed((0, KEY_0), (1, KEY_1), (2, KEY_1))
    bench.wait(1)
    bench.fail(0, lane=0)
    assert bench.lane(0).phase is Phase.STOPPED
    bench.complete(lane=1)
    bench.fetch(row(3, KEY_1), row(4, KEY_0), row(5, KEY_1))
    bench.complete(lane=1)
    assert bench.batches() == [[1, 2], [0], [3, 5]]
    assert bench.lane(1).watermark == 6
    assert bench.committed() == 0


def test_the_next_batch_of_a_lane_waits_for_the_last_one() -> None:
    bench = Bench().assign()
    bench.fetch(*range(9))
    assert bench.batches() == [[0, 1, 2]]
    bench.claim()
    bench.wait(3)
    assert bench.batches() == []
    bench.complete()
    assert bench.batches() == [[3, 4, 5]]


def test_partitions_do_not_wait_for_each_other() -> None:
    bench = Bench().assign(TP, OTHER)
    bench.fetch(0, 1, 2)
    bench.fetch(0, 1, 2, tp=OTHER)
    bench.complete(tp=OTHER)
    assert (bench.committed(TP), bench.committed(OTHER)) == (0, 3)


def test_a_token_grows_with_every_dispatch_also_across_owners_and_an_emptied_redis() -> None:
    bench = Bench().assign()
    tokens = []
    for round_ in range(3):
        for _ in range(2):
            start = bench.partition().expected
            assert start is not None
            bench.fetch(start, start + 1, start + 2)
            bench.complete()
        if round_ == 0:
            bench.handle(ev.Lost((TP,)))
            bench.assign()
        elif round_ == 1:
            bench.ledger.flush()
            bench.now += 2
    tokens = [effect.chain.token for effect in bench.take(ef.Dispatch)]
    assert tokens == sorted(set(tokens))
    assert len(tokens) >= 6


def test_a_chain_id_is_readable_and_free_of_glob_characters() -> None:
    id = chain_id("or*de?rs [1]{a}/b\\c", TP, 3, 9, 77, 4)
    assert id == "or_de_rs__1__a__b_c.t-0.3-9.77-4"
    assert id.startswith(chain_prefix("or*de?rs [1]{a}/b\\c"))


def test_a_lane_names_its_oldest_unfinished_record() -> None:
    bench = Bench().assign()
    assert bench.lane().oldest_timestamp_ms is None
    bench.fetch(0, 1, 2, 3)
    assert bench.lane().oldest_timestamp_ms == 1_700_000_000_000
    bench.complete()
    assert bench.lane().oldest_timestamp_ms == 1_700_000_000_003
    assert bench.lane().buffered == 1


def test_what_turns_out_to_be_finished_is_dropped_from_what_waits() -> None:
    lane = Lane(TP, 0, RULES, 0)
    lane.receive([row(offset) for offset in range(5)], 10.0)
    lane.skip_below(3, 11.0)
    assert [r[0] for r in lane.batcher.rows()] == [3, 4]
    lane.skip_below(2, 12.0)
    assert lane.watermark == 3
    assert [r[0] for r in lane.batcher.rows()] == [3, 4]


# --- the table --------------------------------------------------------------------------------------------------------


def test_an_arrow_that_is_not_in_the_table_is_a_defect() -> None:
    lane = Bench().assign().lane()
    with pytest.raises(KeyError):
        lane.move(Signal.FINISH)


def test_a_lane_in_flight_is_left_by_a_report_or_because_the_ledger_holds_something_else() -> None:
    for phase in IN_FLIGHT:
        signals = {signal for at, signal in TABLE if at is phase}
        assert signals == {Signal.FINISH, Signal.FAIL, Signal.DISPOSE, Signal.VANISH, Signal.ADOPT}


def test_a_lane_dispatches_when_it_is_free_when_it_tries_again_and_to_ask_what_is_done_with_its_records() -> None:
    dispatching = {phase for phase, signal in TABLE if signal is Signal.DISPATCH}
    assert dispatching == {Phase.FREE, Phase.RETRYING, Phase.DISPOSING}


def test_a_lane_stops_only_when_its_records_are_given_up() -> None:
    assert {phase for phase, signal in TABLE if signal is Signal.STOP} == {Phase.DISPOSING}


def test_a_stopped_lane_is_left_only_for_a_chain_that_the_ledger_holds_or_because_an_operator_wants_it() -> None:
    found = {(signal, TABLE[phase, signal]) for phase, signal in TABLE if phase is Phase.STOPPED}
    by_operators = {(Signal.FAIL, Phase.RETRYING), (Signal.DISPOSE, Phase.DISPOSING)}
    assert found == {(Signal.VANISH, Phase.STOPPED), (Signal.ADOPT, Phase.ADOPTED), *by_operators}
