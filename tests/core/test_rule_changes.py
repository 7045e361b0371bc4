"""`lanes` or `order_by` change between two starts: the old rule decides below a barrier, the new one from there on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.lane import Phase
from bridge.records import PipelineRules, Retry
from tests.core.bench import KEY_0, KEY_1, RULES, TP, Bench, row

ONE_LANE = replace(RULES, batch_size=2)
KEYED = replace(RULES, order_by="key", lanes=2, batch_size=1)
RECORDS = (row(0, KEY_0), row(1, KEY_1), row(2, KEY_0), row(3, KEY_1))


def changed(before: PipelineRules, after: PipelineRules, *, claimed: bool = False) -> Bench:
    """The first bridge has a chain in flight under the old rule; the second comes with the new one."""
    old = Bench(before).assign()
    old.fetch(*RECORDS)
    if claimed:
        old.claim()
    old.handle(ev.Revoked((TP,)))
    return Bench(after, beside=old, name="b2").assign()


def test_the_old_rule_decides_below_the_barrier() -> None:
    bench = changed(ONE_LANE, KEYED)
    assert bench.said("rule") == ["lanes change from partition to key:2 at 2"]
    assert bench.partition().rule == "partition"
    bench.fetch(*RECORDS)
    assert len(bench.partition().lanes) == 1
    assert [r[0] for r in bench.partition().waiting] == [2, 3]
    assert bench.batches() == []


def test_nothing_at_or_above_the_barrier_is_dispatched_before_everything_below_is_finished() -> None:
    bench = changed(ONE_LANE, KEYED)
    bench.fetch(*RECORDS, row(4, KEY_0))
    bench.complete()
    assert bench.partition().rule == "key:2"
    assert bench.batches() == [[2], [3]]
    assert {lane.watermark for lane in bench.partition().lanes.values()} == {2}
    bench.complete(lane=0)
    bench.complete(lane=1)
    assert bench.committed() == 4


def test_what_waits_for_the_new_rule_counts_as_memory_and_holds_the_position() -> None:
    bench = changed(ONE_LANE, KEYED)
    bench.fetch(*RECORDS)
    held = bench.partition().held_bytes
    assert held > 0
    bench.complete()
    assert 0 < bench.partition().held_bytes < held
    assert bench.partition().position == 2


def test_the_new_rule_comes_with_a_new_owner_number() -> None:
    bench = changed(ONE_LANE, KEYED)
    owner = bench.partition().owner
    bench.fetch(*RECORDS)
    bench.complete()
    assert bench.partition().owner.number > owner.number
    entry = bench.ledger.read([TP])[TP]
    assert (entry.rule, entry.base) == ("key:2", 2)


def test_an_idle_partition_changes_at_the_end_of_its_log() -> None:
    old = Bench(KEYED).assign()
    old.fetch(*RECORDS)
    for lane in (0, 1, 0, 1):
        old.complete(lane=lane)
    old.handle(ev.Revoked((TP,)))
    bench = Bench(ONE_LANE, beside=old, name="b2").assign()
    bench.handle(ev.EndOfLog(TP, 4))
    assert bench.partition().rule == "partition"
    bench.fetch(row(4, KEY_0), row(5, KEY_1))
    assert bench.batches() == [[4, 5]]


def test_a_lane_that_is_stopped_below_the_barrier_holds_up_the_change() -> None:
    stops = replace(KEYED, retry=Retry(1), on_exhausted="stop")
    bench = changed(replace(ONE_LANE, retry=Retry(1)), stops)
    bench.fetch(*RECORDS)
    bench.fail(0)
    bench.wait(100)
    assert bench.lane().phase is Phase.STOPPED
    assert bench.partition().rule == "partition"
    assert bench.take(ef.ChangeRule) == []


def test_a_batch_that_fails_below_the_barrier_is_tried_again_under_the_old_rule() -> None:
    bench = changed(ONE_LANE, KEYED)
    bench.fetch(*RECORDS)
    bench.fail(1)
    bench.wait(5)
    assert bench.batches() == [[1]]
    bench.complete()
    assert bench.partition().rule == "key:2"


def test_the_barrier_is_above_the_highest_watermark_and_the_end_of_every_chain() -> None:
    old = Bench(KEYED).assign()
    old.fetch(row(0, KEY_0), row(1, KEY_1), row(7, KEY_1), row(9, KEY_0))
    old.complete(lane=1)
    old.complete(lane=1)
    old.handle(ev.Revoked((TP,)))
    bench = Bench(ONE_LANE, beside=old, name="b2").assign()
    assert bench.said("rule") == ["lanes change from key:2 to partition at 8"]


def test_another_owner_that_comes_between_stops_the_change() -> None:
    bench = changed(ONE_LANE, KEYED)
    bench.silent = {ef.ChangeRule}
    bench.fetch(*RECORDS)
    bench.complete()
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.partition().is_active
    assert bench.partition().rule == "key:2"
    assert bench.batches() == [[2], [3]]


def test_an_older_ledger_with_chains_beyond_the_barrier_begins_anew_with_another_barrier() -> None:
    old = Bench(KEYED).assign()
    old.fetch(*RECORDS, row(4, KEY_1), row(6, KEY_1))
    for _ in range(3):
        old.complete(lane=1)
    old.claim(lane=1)  # 6 runs
    further = old.ledger.save()
    old.ledger.flush()
    old.handle(ev.Revoked((TP,)))
    first = Bench(KEYED, beside=old, name="b2").assign()
    first.fetch(*RECORDS)
    first.handle(ev.Revoked((TP,)))
    bench = Bench(ONE_LANE, beside=first, name="b3").assign()
    assert bench.said("rule") == ["lanes change from key:2 to partition at 2"]
    bench.fetch(*RECORDS, row(4, KEY_1), row(6, KEY_1))
    bench.ledger.roll_back(further)
    bench.wait(1.1)
    assert bench.said("anew") == [
        "assigning anew: the ledger's chains are beyond the change of the lane rule at 2",
    ]
    assert bench.said("rule") == ["lanes change from key:2 to partition at 7"]
    bench.fetch(*RECORDS, row(4, KEY_1), row(6, KEY_1))
    order: list[int] = []
    finish(bench, order, 10)
    assert sorted(order) == [0, 2, 6]  # 1, 3 and 4 were finished
    bench.handle(ev.EndOfLog(TP, 7))
    assert bench.partition().rule == "partition"


def test_a_change_is_asked_for_once() -> None:
    bench = changed(ONE_LANE, KEYED)
    bench.silent = {ef.ChangeRule}
    bench.fetch(*RECORDS)
    bench.complete()
    bench.handle(ev.EndOfLog(TP, 4))
    bench.fetch(row(4, KEY_0))
    assert len(bench.take(ef.ChangeRule)) == 1


def test_a_change_that_was_taken_but_not_heard_begins_anew_with_the_new_rule() -> None:
    bench = changed(ONE_LANE, KEYED)
    bench.silent = {ef.ChangeRule}
    bench.fetch(*RECORDS)
    bench.complete()
    (effect,) = bench.kept
    assert isinstance(effect, ef.ChangeRule)
    bench.ledger.change_rule(TP, effect.owner, effect.rule, effect.base)
    bench.silent = set()
    bench.handle(ev.EffectFailed(effect, "silent"))
    bench.wait(1)
    assert bench.said("anew") == ["assigning anew: the ledger's lane rule is key:2, this owner's partition"]
    bench.fetch(*RECORDS[2:])
    assert bench.batches() == [[2], [3]]


def test_a_reading_from_before_the_change_is_not_taken_for_a_rolled_back_ledger() -> None:
    bench = changed(ONE_LANE, KEYED)
    bench.silent = {ef.ReadLanes}
    bench.fetch(*RECORDS)
    bench.wait(2)
    bench.complete()
    bench.silent = set()
    owner = bench.partition().owner
    bench.carry_out_kept()
    assert bench.partition().owner == owner


@pytest.mark.parametrize(("before", "after"), [(ONE_LANE, KEYED), (KEYED, ONE_LANE), (KEYED, replace(KEYED, lanes=3))])
def test_every_record_is_dispatched_once_and_in_order_across_a_change(
    before: PipelineRules, after: PipelineRules
) -> None:
    records = [row(offset, (KEY_0, KEY_1, b"c", None)[offset % 4]) for offset in range(20)]
    bench = Bench(before).assign()
    bench.fetch(*records)
    order: list[int] = []
    finish(bench, order, 3)
    bench.handle(ev.Revoked((TP,)))
    bench = Bench(after, beside=bench, name="b2").assign()
    start = bench.take(ef.StartFetching)[-1].offset
    bench.fetch(*records[start:])
    bench.handle(ev.EndOfLog(TP, 20))
    finish(bench, order, 100)
    assert sorted(order) == list(range(20))
    for key in range(4):
        mine = [offset for offset in order if offset % 4 == key]
        assert mine == sorted(mine)
    assert bench.committed() == 20


def finish(bench: Bench, order: list[int], chains: int) -> None:
    """Up to so many chains run and succeed."""
    for _ in range(chains):
        bench.wait(1)
        lanes = [lane for lane in bench.partition().lanes.values() if lane.phase in (Phase.RUNNING, Phase.ADOPTED)]
        if not lanes:
            return
        index = lanes[0].index
        rows = bench.ledger.payload(bench.ledger._lane(TP, index).payload or b"").rows
        order.extend(r[0] for r in rows)
        bench.complete(lane=index)
