"""Handoff: a new owner takes up what the old one left in the ledger, in whatever state it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.disposing import STOPPED
from bridge.core.lane import Phase
from bridge.entries import Failure, Outcome, link_id
from bridge.records import Retry
from tests.core.bench import KEY_0, KEY_1, RULES, TP, Bench, row

TWO_LINKS = replace(RULES, tasks=("parse", "store"))
KEYED = replace(RULES, order_by="key", lanes=2, batch_size=2)
STOPS = replace(RULES, retry=Retry(1), on_exhausted="stop")


def left_behind(rules: object = RULES) -> Bench:
    """An owner with one chain in flight: 0, 1, 2; and 3, 4 read behind it."""
    old = Bench(rules).assign()  # type: ignore[arg-type]
    old.fetch(0, 1, 2, 3, 4)
    return old


def successor(old: Bench, rules: object = RULES) -> Bench:
    """The bridge that gets the partition next."""
    old.handle(ev.Revoked((TP,)))
    return Bench(rules, beside=old, name="b2").assign()  # type: ignore[arg-type]


def test_on_revoke_nothing_is_waited_for_and_what_is_finished_is_committed() -> None:
    old = left_behind()
    old.silent = {ef.Commit}
    old.complete()
    old.kept.clear()
    old.handle(ev.Revoked((TP,)))
    (commit,) = old.take(ef.Commit)[-1:]
    assert commit.entries[TP].offset == 3
    assert old.core.partitions == {}
    assert old.core.chains == {}


def test_on_lost_nothing_is_committed() -> None:
    old = left_behind()
    old.silent = {ef.Commit}
    old.complete()
    old.take(ef.Commit)
    old.handle(ev.Lost((TP,)))
    assert old.take(ef.Commit) == []
    assert old.core.partitions == {}


def test_an_unclaimed_chain_is_published_again_and_waited_for() -> None:
    old = left_behind()
    bench = successor(old)
    (publish,) = bench.take(ef.PublishLink)
    assert (publish.link, publish.first, publish.last) == (1, 0, 2)
    assert publish.chain == bench.lane().flight.chain  # type: ignore[union-attr]
    assert bench.lane().phase is Phase.ADOPTED
    bench.fetch(0, 1, 2, 3, 4, 5)
    assert bench.batches() == []
    bench.complete()
    assert bench.batches() == [[3, 4, 5]]
    assert bench.committed() == 3


def test_a_claimed_chain_is_only_waited_for() -> None:
    old = left_behind()
    old.claim()
    bench = successor(old)
    assert bench.take(ef.PublishLink) == []
    bench.complete()
    assert bench.lane().phase is Phase.FREE


def test_the_second_link_is_published_when_it_is_the_current_one() -> None:
    old = left_behind(TWO_LINKS)
    old.claim()
    old.advance()
    bench = successor(old, TWO_LINKS)
    (publish,) = bench.take(ef.PublishLink)
    assert publish.link == 2


def test_a_chain_that_has_succeeded_is_history_and_its_records_are_dropped() -> None:
    old = left_behind()
    old.complete(heard=False)
    bench = successor(old)
    assert bench.take(ef.StartFetching)[-1].offset == 3
    bench.fetch(3, 4, 5)
    assert bench.batches() == [[3, 4, 5]]


def test_with_several_lanes_finished_records_are_read_again_and_dropped() -> None:
    records = row(0, KEY_0), row(1, KEY_1), row(2, KEY_1), row(3, KEY_0), row(4, KEY_1)
    old = Bench(KEYED).assign()
    old.fetch(*records)
    assert old.batches() == [[0, 3], [1, 2]]
    old.complete(lane=1)
    bench = successor(old, KEYED)
    assert bench.take(ef.StartFetching)[-1].offset == 0
    bench.fetch(*records)
    assert [r[0] for r in bench.lane(1).batcher.rows()] == [4]
    assert bench.partition().position == 0
    bench.complete(lane=0)
    assert bench.partition().position == 4


def test_a_chain_that_has_failed_is_judged_and_tried_again_after_its_records_were_read() -> None:
    old = left_behind()
    old.complete(Outcome("partial", 1, Failure(1, "failed", True)), heard=False)
    bench = successor(old)
    assert bench.lane().phase is Phase.RETRYING
    bench.wait(60)
    assert bench.batches() == []  # 1 and 2 have not been read again
    bench.fetch(1)
    bench.wait(60)
    assert bench.batches() == []
    bench.fetch(2)
    assert bench.batches() == [[1, 2]]
    assert bench.lane().flight.attempt == 2  # type: ignore[union-attr]


def test_attempts_go_on_counting_across_owners() -> None:
    bench = left_behind()
    for number in range(2):
        bench.fail(0)
        bench = successor(bench)
        bench.fetch(0, 1, 2)
        bench.wait(60)
        assert bench.lane().flight.attempt == number + 2  # type: ignore[union-attr]
    bench.fail(0)
    assert bench.dead_letters() == [(0, "exhausted")]


def test_a_stopped_lane_stays_stopped_across_owners() -> None:
    old = left_behind(STOPS)
    old.fail(1)
    assert old.lane().phase is Phase.STOPPED
    bench = successor(old, STOPS)
    bench.fetch(1, 2, 3)
    bench.wait(600)
    assert bench.lane().phase is Phase.STOPPED
    assert bench.said("stopped") == [f"offset 1 in store, out of attempts (1): ValueError: no; {STOPPED}"]
    assert bench.batches() == []
    assert bench.committed() == 1


def test_a_chain_with_rejected_records_stops_the_lane_at_the_first_of_them_where_that_is_the_policy() -> None:
    old = left_behind(STOPS)
    old.reject(1)
    bench = successor(old, STOPS)
    bench.fetch(1, 2)
    bench.wait(5)
    assert bench.lane().phase is Phase.STOPPED
    assert bench.lane().reason == "record 1 was rejected by store: bad"
    assert bench.partition().position == 1


def test_the_rejected_records_of_an_adopted_chain_are_dead_lettered_when_they_were_read_again() -> None:
    old = left_behind()
    old.silent = {ef.WriteDeadLetters}
    old.reject(0, 2)
    bench = successor(old)
    bench.fetch(0, 1)
    bench.wait(10)
    assert bench.dead_letters() == []
    bench.fetch(2, 3, 4)
    assert bench.dead_letters() == [(0, "rejected"), (2, "rejected")]
    assert bench.committed() == 3
    bench.wait(1)
    assert bench.batches() == [[3, 4]]


def test_a_superseded_chain_is_not_published_before_its_time() -> None:
    old = timed_out()
    first, second = old.take(ef.Dispatch)
    assert second.publish_after_s == 5.0
    bench = successor(old)
    assert bench.take(ef.PublishLink) == []
    assert [effect.links for effect in bench.take(ef.TerminateLinks)] == [(link_id(first.chain.id, 1),)]
    bench.wait(4.9)
    assert bench.take(ef.PublishLink) == []
    bench.wait(0.2)
    assert len(bench.take(ef.PublishLink)) == 1


def test_an_emptied_redis_does_not_know_which_link_a_chain_waits_for_and_it_waits_all_the_same() -> None:
    old = timed_out()
    old.ledger.flush()
    old.wait(1)
    assert old.ledger.read([TP])[TP].lanes[0].superseded == ""
    bench = successor(old)
    assert bench.take(ef.TerminateLinks) == []
    bench.wait(3)
    assert bench.take(ef.PublishLink) == []
    bench.wait(2)
    assert len(bench.take(ef.PublishLink)) == 1


def timed_out() -> Bench:
    """An owner whose link ran for too long and was superseded just now."""
    old = left_behind()
    old.claim()
    old.beats = ()
    old.wait(2)
    chain = old.lane().flight.chain  # type: ignore[union-attr]
    failure = Failure(0, "timeout", exception="LinkTimeout")
    old.ledger.fault(TP, 0, chain, 1, "w1", Outcome("failed", 0, failure))
    for event in old.notices():
        old.handle(event)
    return old


def test_a_new_owner_of_a_link_that_timed_out_repeats_the_revoke() -> None:
    old = left_behind()
    old.claim()
    chain = old.lane().flight.chain  # type: ignore[union-attr]
    failure = Failure(0, "timeout", exception="LinkTimeout")
    old.ledger.fault(TP, 0, chain, 1, "w1", Outcome("failed", 0, failure))
    bench = successor(old)
    (terminate,) = bench.take(ef.TerminateLinks)
    assert terminate.links == (link_id(chain, 1),)


def test_a_new_owner_of_a_chain_that_waits_for_a_superseded_link_repeats_the_revoke() -> None:
    old = left_behind()
    bench = successor(old)
    entry = old.ledger.read([TP])[TP]
    old_lane = entry.lanes[0]
    waits = replace(old_lane, publish_after_ms=entry.now_ms + 3000, superseded="old-1")
    bench.core.dispatching.take_up(
        bench.partition(), bench.lane(), replace(waits, chain="new"), entry.now_ms, bench.now
    )
    bench.handle(ev.Tick())
    assert [effect.links for effect in bench.take(ef.TerminateLinks)] == [("old-1",)]
    bench.take(ef.PublishLink)
    bench.handle(ev.ErrorHeard("old-1", "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert [effect.chain for effect in bench.take(ef.PublishLink)] == ["new"]


def test_a_clock_that_was_set_back_does_not_make_a_new_owner_wait_for_hours() -> None:
    old = left_behind()
    bench = successor(old)
    entry = old.ledger.read([TP])[TP]
    waits = replace(entry.lanes[0], chain="new", publish_after_ms=entry.now_ms + 7_203_000, superseded="old-1")
    bench.core.dispatching.take_up(bench.partition(), bench.lane(), waits, entry.now_ms, bench.now)
    bench.silent = {ef.ReadLanes}
    bench.handle(ev.Tick())
    bench.take(ef.PublishLink)
    bench.wait(5.1)
    assert [effect.chain for effect in bench.take(ef.PublishLink)] == ["new"]


def test_a_chain_below_the_position_that_nobody_has_claimed_is_replaced() -> None:
    old = left_behind()
    old.broker.start = 10  # its records were deleted
    bench = successor(old)
    assert bench.lane().phase is Phase.FREE
    bench.fetch(10, 11, 12)
    assert bench.batches() == [[10, 11, 12]]


def test_a_chain_below_the_position_that_a_worker_runs_is_waited_for() -> None:
    old = left_behind()
    old.claim()
    old.broker.start = 10
    bench = successor(old)
    bench.fetch(10, 11, 12)
    assert bench.batches() == []
    bench.fail(1)  # whatever it says of records that are gone: nothing of it is tried again
    assert bench.batches() == [[10, 11, 12]]


def test_a_chain_that_ends_during_the_assignment_is_found_by_the_next_reading() -> None:
    old = left_behind()
    old.claim()
    old.handle(ev.Revoked((TP,)))
    bench = Bench(beside=old, name="b2")
    bench.silent = {ef.Restore}
    bench.assign()
    bench.complete()  # heard, but the lane is not there yet
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.lane().phase is Phase.FREE
    assert bench.partition().position == 0  # 0, 1 and 2 have to be read again to know that nothing lies between
    bench.fetch(0, 1, 2)
    assert bench.committed() == 3


def test_a_late_acknowledgement_of_a_superseded_chain_changes_nothing() -> None:
    bench = left_behind()
    bench.claim()
    first = bench.ledger.read([TP])[TP].lanes[0]
    chain = first.chain
    bench.ledger.fault(TP, 0, chain, 1, "w1", Outcome("failed", 0, Failure(0, "worker_lost")))
    for event in bench.notices():
        bench.handle(event)
    second = bench.lane().flight
    assert second is not None
    assert second.chain != chain
    bench.handle(ev.OutcomeHeard(TP, 0, first.seen, Outcome("ok", 3)))
    assert bench.lane().flight is second
    assert bench.partition().position == 0


def test_an_outcome_of_a_lane_or_partition_that_is_not_there_changes_nothing() -> None:
    bench = left_behind()
    seen = bench.ledger.read([TP])[TP].lanes[0].seen
    bench.handle(ev.OutcomeHeard(TP, 7, seen, Outcome("ok", 3)))
    bench.handle(ev.OutcomeHeard(TP._replace(partition=9), 0, seen, Outcome("ok", 3)))
    assert bench.lane().phase is Phase.RUNNING


# --- a process that stood still ---------------------------------------------------------------------------------------


def test_a_bridge_that_stood_still_dispatches_nothing_before_kafka_has_confirmed_it_again() -> None:
    bench = left_behind()
    bench.complete(heard=False)
    bench.take(ef.Dispatch)
    bench.answer = ev.CommitAnswer.AGAIN  # it was counted out
    bench.now += 30
    bench.handle(ev.Tick())
    bench.wait(20)
    assert bench.take(ef.Dispatch) == []
    assert bench.said("reassign")[0] == "assigning again: this process stood still for 30 s"
    bench.answer = ev.CommitAnswer.OK
    bench.wait(6)
    assert bench.batches() == [[3, 4]]


def test_a_partition_that_is_being_assigned_when_the_bridge_stands_still_goes_on_with_that() -> None:
    bench = Bench()
    bench.silent = {ef.AssignOwner}
    bench.assign()
    bench.now += 30
    bench.handle(ev.Tick())
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.partition().is_active


# --- the ledger is lost while the owner lives -------------------------------------------------------------------------


def test_redis_emptied_while_chains_are_in_flight_is_noticed_and_they_go_again() -> None:
    bench = left_behind()
    bench.claim()
    before = bench.partition().owner.number
    bench.ledger.flush()
    bench.wait(1.1)
    assert bench.partition().owner.number > before
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    assert bench.take(ef.StartFetching)[1:] == []  # the lanes and their rows are kept
    assert bench.lane().flight.attempt == 1  # type: ignore[union-attr]


def test_redis_emptied_while_nothing_is_in_flight_is_noticed_by_the_next_dispatch() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.ledger.flush()
    bench.fetch(3, 4, 5)
    assert bench.lane().phase is Phase.RUNNING
    assert bench.batches() == [[0, 1, 2], [3, 4, 5], [3, 4, 5]]
    restored = bench.take(ef.Restore)[-1]
    assert (restored.base, restored.watermarks) == (3, {0: 3})


def test_what_the_owner_knows_of_each_lane_is_told_to_an_empty_ledger() -> None:
    bench = Bench(KEYED).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_1), row(2, KEY_1), row(3, KEY_0))
    bench.complete(lane=1)
    bench.ledger.flush()
    bench.wait(1.1)
    assert bench.take(ef.Restore)[-1].watermarks == {0: 0, 1: 3}


def test_a_reading_from_before_the_reassignment_does_not_start_another() -> None:
    bench = left_behind()
    bench.wait(1.1)
    bench.silent = {ef.ReadLanes}
    bench.wait(1.1)
    (stale,) = bench.kept
    serial = stale.partitions[0][1]  # type: ignore[union-attr]
    bench.silent = set()
    old_entry = bench.ledger.read([TP])
    bench.ledger.flush()
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    owner = bench.partition().owner
    bench.handle(ev.LanesRead(stale.number, {TP: (serial, old_entry[TP])}, (), 0.0))  # type: ignore[union-attr]
    assert bench.partition().owner == owner


def test_redis_emptied_while_a_failed_batch_waits_keeps_its_pause() -> None:
    bench = left_behind()
    bench.fail(0)
    bench.ledger.flush()
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    bench.wait(3.9)
    assert len(bench.batches()) == 1
    bench.wait(0.2)
    assert bench.batches() == [[0, 1, 2]]


def test_redis_emptied_does_not_wake_a_stopped_lane() -> None:
    bench = left_behind(STOPS)
    bench.fail(0)
    bench.ledger.flush()
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    bench.wait(60)
    assert bench.lane().phase is Phase.STOPPED


def test_redis_rolled_back_to_an_older_chain_that_a_worker_runs_is_waited_for() -> None:
    bench = left_behind()
    bench.claim()
    saved = bench.ledger.save()
    bench.complete()
    bench.wait(1)
    assert bench.batches() == [[0, 1, 2], [3, 4]]
    bench.ledger.roll_back(saved)
    bench.wait(1.1)
    assert bench.lane().phase is Phase.ADOPTED
    assert bench.batches() == []
    bench.complete()
    bench.wait(1)
    assert bench.batches() == [[3, 4]]


def test_redis_rolled_back_to_an_unclaimed_older_chain_replaces_it() -> None:
    bench = left_behind()
    saved = bench.ledger.save()
    bench.complete()
    bench.wait(1)
    bench.batches()
    bench.ledger.roll_back(saved)
    bench.wait(1.1)
    assert bench.batches() == [[3, 4]]
    assert bench.partition().position == 3


def test_redis_rolled_back_to_before_the_lane_rule_was_written_is_assigned_again() -> None:
    bench = left_behind()
    bench.ledger._state.partitions[TP].rule = ""
    bench.wait(1.1)
    assert bench.ledger.rule(TP) == "partition"
    assert "rule is missing (Redis rolled back)" in bench.said("reassign")[0]


def test_redis_rolled_back_to_another_lane_rule_begins_anew() -> None:
    bench = left_behind()
    bench.ledger._state.partitions[TP].rule = "key:4"
    bench.wait(1.1)
    assert bench.said("anew") == ["assigning anew: the ledger's lane rule is key:4, this owner's partition"]
    assert bench.partition().is_active


def test_a_chain_that_an_older_redis_let_run_again_has_the_outcome_it_had_last() -> None:
    bench = left_behind()
    bench.claim()
    saved = bench.ledger.save()
    bench.fail(0)
    bench.ledger.roll_back(saved)
    bench.complete()  # heard, while the lane waits for the next attempt
    assert bench.lane().phase is Phase.RETRYING
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.lane().phase is Phase.FREE
    assert bench.committed() == 3
    bench.wait(10)
    assert bench.batches() == [[0, 1, 2], [3, 4]]


def test_a_stopped_lane_takes_up_a_chain_that_an_older_ledger_shows() -> None:
    bench = left_behind(replace(STOPS, retry=Retry(2, delay=0.0)))
    bench.claim()
    saved = bench.ledger.save()
    bench.fail(0)
    bench.fail(0)
    assert bench.lane().phase is Phase.STOPPED
    bench.ledger.roll_back(saved)
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.lane().phase is Phase.ADOPTED


@pytest.mark.parametrize("claimed", [True, False])
def test_the_same_chain_is_kept_when_the_owner_is_assigned_again(claimed: bool) -> None:
    bench = left_behind()
    if claimed:
        bench.claim()
    chain = bench.lane().flight.chain  # type: ignore[union-attr]
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.lane().phase is Phase.RUNNING
    assert bench.lane().flight.chain == chain  # type: ignore[union-attr]
    assert len(bench.take(ef.PublishLink)) == (0 if claimed else 1)


def test_a_failed_batch_goes_on_waiting_when_the_owner_is_assigned_again() -> None:
    bench = left_behind()
    bench.fail(0)
    bench.wait(2)
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.lane().phase is Phase.RETRYING
    assert bench.seconds_until(ef.Dispatch) == 2.0
    assert bench.lane().phase is Phase.RUNNING
    assert bench.lane().flight.attempt == 2  # type: ignore[union-attr]


def test_an_outcome_that_was_missed_during_a_reassignment_is_taken() -> None:
    bench = left_behind()
    bench.complete(heard=False)
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.partition().position == 3


def test_an_outcome_heard_during_a_reassignment_is_not_forgotten_for_an_older_reading() -> None:
    bench = left_behind()
    bench.claim()
    bench.silent = {ef.Restore}
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    bench.fail(0)  # after the ledger was read
    assert bench.lane().phase is Phase.RETRYING
    bench.silent = set()
    bench.carry_out_kept()
    bench.wait(4.1)
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    assert bench.lane().phase is Phase.RUNNING


# --- records that the log does not hold any more ----------------------------------------------------------------------


@pytest.mark.parametrize("message", ["tried again", "given up"])
def test_a_lane_whose_last_record_was_compacted_away_goes_on_with_the_next_record_of_any_lane(message: str) -> None:
    rules = replace(KEYED, retry=Retry(1)) if message == "given up" else KEYED
    old = Bench(rules).assign()
    old.fetch(row(0, KEY_0), row(1, KEY_1), row(2, KEY_1), row(3, KEY_0))
    old.silent = {ef.WriteDeadLetters}
    old.fail(0, lane=0)
    bench = successor(old, rules)
    bench.fetch(row(0, KEY_0), row(1, KEY_1))
    bench.wait(10)
    assert bench.batches() == []
    bench.fetch(row(5, KEY_1))  # 3 was compacted away
    bench.wait(0)
    if message == "given up":
        assert bench.dead_letters() == [(0, "exhausted")]
        assert bench.lane(0).watermark == 4
    else:
        assert bench.batches() == [[0]]
