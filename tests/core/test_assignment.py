"""How an assignment begins: Kafka is the truth, the ledger makes it exact; the broker's yes comes first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.commits import read_metadata, write_metadata
from bridge.core.partition import Stage
from bridge.entries import Owner
from tests.core.bench import KEY_0, KEY_1, OTHER, RULES, TP, Bench, row

KEYED = replace(RULES, order_by="key", lanes=2, batch_size=1)


def with_ledger(base: int = 10, mark: int = 12, *, rule: str = "partition", topic_id: str = "id-1") -> Bench:
    """A bench whose ledger holds the work of an earlier owner."""
    bench = Bench()
    owner = bench.ledger.assign(TP, "old", 0).owner
    bench.ledger.restore(TP, owner, {0: mark}, rule=rule, topic_id=topic_id, base=base)
    return bench


def started_at(bench: Bench) -> int:
    (start,) = bench.take(ef.StartFetching)
    assert bench.partition().is_active
    return start.offset


# --- the order of steps -----------------------------------------------------------------------------------------------


def test_an_assignment_asks_draws_a_number_asks_again_commits_and_tells_the_ledger() -> None:
    bench = Bench().assign()
    steps = [type(effect).__name__ for effect in bench.effects if not isinstance(effect, ef.Report | ef.ReadLanes)]
    assert steps == ["AskKafka", "AssignOwner", "AskKafka", "Commit", "Restore", "StartFetching"]


def test_the_start_position_is_committed_with_the_owner_number_even_when_it_is_not_new() -> None:
    bench = Bench()
    bench.broker.committed[TP] = (7, write_metadata(3, "id-1"))
    bench.assign()
    offset, text = bench.broker.committed[TP]
    metadata = read_metadata(text)
    assert offset == 7
    assert metadata is not None
    assert metadata.owner == bench.partition().owner.number > 3


def test_nothing_is_dispatched_or_fetched_before_the_broker_says_yes() -> None:
    bench = Bench()
    bench.answer = ev.CommitAnswer.AGAIN
    bench.assign()
    bench.wait(30)
    assert bench.partition().stage is Stage.CONFIRMING
    assert bench.take(ef.StartFetching) == []


def test_a_start_position_that_is_not_confirmed_is_committed_again_with_a_growing_pause() -> None:
    bench = Bench()
    bench.answer = ev.CommitAnswer.AGAIN
    bench.assign()
    assert [bench.seconds_until(ef.Commit) for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    bench.answer = ev.CommitAnswer.OK
    bench.wait(5)
    assert started_at(bench) == 0


def test_a_confirmation_of_an_earlier_commit_of_the_same_offset_does_not_count() -> None:
    bench = Bench().assign()
    bench.silent = {ef.Commit}
    bench.fetch(0, 1, 2)
    bench.complete()
    (old,) = bench.kept
    bench.ledger.flush()
    bench.silent = {ef.Commit, ef.ReadLanes}
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    bench.wait(2)
    assert bench.partition().stage is Stage.CONFIRMING
    bench.carry_out(old)  # commits 3, which is also the start position now, but with the old number
    assert bench.partition().stage is Stage.CONFIRMING
    assert bench.partition().owner.number > read_metadata(bench.broker.committed[TP][1]).owner  # type: ignore[union-attr]


def test_only_the_live_assignment_gets_the_answers() -> None:
    bench = Bench()
    bench.silent = {ef.AskKafka}
    bench.assign()
    bench.assign()
    first, second = bench.kept
    bench.silent = set()
    bench.carry_out(first)
    assert bench.partition().stage is Stage.ASKING
    bench.carry_out(second)
    assert bench.partition().is_active


@pytest.mark.parametrize("lost_in", [ef.AskKafka, ef.AssignOwner, ef.Commit, ef.Restore])
def test_a_partition_revoked_during_its_assignment_is_forgotten(lost_in: type) -> None:
    bench = Bench()
    bench.silent = {lost_in}
    bench.assign()
    bench.take(ef.Commit)
    bench.handle(ev.Revoked((TP,)))
    assert bench.take(ef.Commit) == []  # nothing was confirmed, nothing is committed
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.core.partitions == {}


def test_a_higher_owner_number_in_kafka_than_ours_is_outbid() -> None:
    bench = Bench()
    bench.silent = {ef.AskKafka}
    bench.assign()
    bench.carry_out(bench.kept.pop())  # the first answer: no metadata
    bench.broker.committed[TP] = (4, write_metadata(10**6, "id-1"))
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.partition().owner.number == 10**6 + 1
    assert started_at(bench) == 4


def test_the_ledger_that_refuses_to_restore_is_asked_for_a_number_again() -> None:
    bench = Bench()
    bench.silent = {ef.Restore}
    bench.assign()
    thief = bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert bench.partition().is_active
    assert bench.partition().owner.number > thief.owner.number


# --- where it starts: one test for each row of the precedence ---------------------------------------------------------


def test_without_a_committed_offset_the_policy_decides() -> None:
    for policy, offset in (("earliest", 5), ("latest", 90)):
        bench = Bench(start_from=policy)
        bench.broker.start, bench.broker.end = 5, 90
        bench.assign()
        assert started_at(bench) == offset
        assert bench.committed() == offset


def test_the_policy_error_ends_the_bridge() -> None:
    bench = Bench(start_from="error").assign()
    (end,) = bench.take(ef.GiveUp)
    assert "t[0] has no committed offset and start_from='error'" in end.text


def test_a_committed_offset_is_where_it_starts() -> None:
    bench = Bench()
    bench.broker.committed[TP] = (7, write_metadata(1, "id-1"))
    assert started_at(bench.assign()) == 7


def test_with_one_lane_its_watermark_in_the_ledger_is_exact() -> None:
    bench = with_ledger(base=10, mark=12)
    bench.broker.committed[TP] = (8, write_metadata(1, "id-1"))
    assert started_at(bench.assign()) == 12


def test_with_several_lanes_only_the_base_counts() -> None:
    bench = with_ledger(base=10, mark=12, rule="key:2")
    bench.core = Bench(KEYED).core
    bench.broker.committed[TP] = (8, write_metadata(1, "id-1"))
    assert started_at(bench.assign()) == 10


def test_an_expired_offset_is_taken_from_the_ledger() -> None:
    bench = with_ledger(base=10, mark=12)
    assert started_at(bench.assign()) == 12


def test_an_expired_offset_whose_base_is_not_in_the_log_follows_the_policy() -> None:
    bench = with_ledger(base=10, mark=12)
    bench.broker.start = 50
    assert started_at(bench.assign()) == 50


def test_an_offset_without_our_metadata_clears_the_ledger() -> None:
    bench = with_ledger(base=10, mark=12)
    bench.broker.committed[TP] = (3, "")
    assert started_at(bench.assign()) == 3
    assert bench.said("clear") == ["the ledger is cleared: the group's offset was set by somebody else"]
    assert bench.ledger.read([TP])[TP].lanes == {}


def test_another_topic_id_in_the_ledger_clears_it() -> None:
    bench = with_ledger(base=10, mark=12, topic_id="id-0")
    bench.broker.committed[TP] = (8, write_metadata(1, "id-0"))
    assert started_at(bench.assign()) == 0
    assert bench.said("clear") == ["the ledger is cleared: the topic was created again"]


def test_an_offset_of_another_topic_id_does_not_count() -> None:
    bench = Bench()
    bench.broker.committed[TP] = (8, write_metadata(1, "id-0"))
    assert started_at(bench.assign()) == 0


def test_a_watermark_above_the_end_of_the_log_clears_the_ledger() -> None:
    bench = with_ledger(base=10, mark=2000)
    bench.broker.committed[TP] = (10, write_metadata(1, "id-1"))
    assert started_at(bench.assign()) == 10
    assert bench.said("clear") == ["the ledger is cleared: the ledger is ahead of the log's end"]


def test_a_base_above_the_end_of_the_log_clears_the_ledger() -> None:
    bench = with_ledger(base=2000, mark=-1)
    bench.broker.committed[TP] = (10, write_metadata(1, "id-1"))
    assert started_at(bench.assign()) == 10


def test_a_committed_offset_beyond_the_end_reads_from_the_end() -> None:
    bench = Bench()
    bench.broker.committed[TP] = (1500, write_metadata(1, "id-1"))
    assert started_at(bench.assign()) == 1000
    assert bench.said("start") == ["the committed offset 1500 is beyond the log's end 1000; reading from the end"]


def test_a_committed_offset_below_the_log_names_what_was_lost() -> None:
    bench = Bench()
    bench.broker.start = 20
    bench.broker.committed[TP] = (15, write_metadata(1, "id-1"))
    assert started_at(bench.assign()) == 20
    assert bench.said("start") == ["offsets 15..19 (5) were deleted from the log before they were read"]


def test_a_lower_owner_number_in_kafka_is_fine() -> None:
    bench = with_ledger(base=10, mark=12)
    bench.broker.committed[TP] = (8, write_metadata(1, "id-1"))
    bench.assign()
    assert len(bench.take(ef.AssignOwner)) == 1


# --- clearing ---------------------------------------------------------------------------------------------------------


def running_then_reset(bench: Bench) -> Bench:
    """Another bridge on a ledger with a claimed chain; an operator has set the group's offset."""
    bench.assign()
    bench.fetch(0, 1, 2)
    bench.claim()
    bench.broker.committed[TP] = (0, "")
    return Bench(beside=bench, name="b2")


def test_before_the_ledger_is_cleared_claimed_links_are_terminated_and_waited_for() -> None:
    old = Bench()
    bench = running_then_reset(old).assign()
    (terminate,) = bench.take(ef.TerminateLinks)
    assert terminate.links == (f"{old.lane().flight.chain}-1",)  # type: ignore[union-attr]
    assert bench.take(ef.ClearLedger) == []
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "revoked", "w9"))
    assert bench.take(ef.ClearLedger) == []  # said by a worker that does not run it
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert len(bench.take(ef.ClearLedger)) == 1
    assert started_at(bench) == 0


def test_all_claimed_links_are_waited_for() -> None:
    old = Bench(KEYED).assign()
    old.fetch(row(0, KEY_0), row(1, KEY_1))
    for lane in (0, 1):
        old.claim(lane)
    old.broker.committed[TP] = (0, "")
    bench = Bench(KEYED, beside=old, name="b2").assign()
    (terminate,) = bench.take(ef.TerminateLinks)
    for number, link in enumerate(terminate.links):
        assert len(bench.take(ef.ClearLedger)) == 0, number
        bench.handle(ev.ErrorHeard(link, "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert len(bench.take(ef.ClearLedger)) == 1


def test_while_a_claimed_link_is_waited_for_the_unclaimed_ones_are_revoked_too() -> None:
    old = Bench(KEYED).assign()
    old.fetch(row(0, KEY_0), row(1, KEY_1))
    old.claim(0)
    old.broker.committed[TP] = (0, "")
    bench = Bench(KEYED, beside=old, name="b2").assign()
    (terminate,) = bench.take(ef.TerminateLinks)
    links = [f"{old.lane(lane).flight.chain}-1" for lane in (0, 1)]  # type: ignore[union-attr]
    assert terminate.links == tuple(sorted(links))
    bench.handle(ev.ErrorHeard(links[0], "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert len(bench.take(ef.ClearLedger)) == 1


def test_the_wait_for_terminated_links_is_bounded() -> None:
    bench = running_then_reset(Bench()).assign()
    bench.wait(4.9)
    assert bench.take(ef.ClearLedger) == []
    bench.wait(0.2)
    assert started_at(bench) == 0


def test_unclaimed_chains_need_no_wait_before_the_ledger_is_cleared() -> None:
    old = Bench().assign()
    old.fetch(0, 1, 2)
    old.broker.committed[TP] = (0, "")
    bench = Bench(beside=old, name="b2").assign()
    assert started_at(bench) == 0
    assert bench.take(ef.TerminateLinks) == []


def test_a_link_that_is_claimed_just_before_the_ledger_is_cleared_is_terminated_and_waited_for_too() -> None:
    old = Bench().assign()
    old.fetch(0, 1, 2)
    old.broker.committed[TP] = (0, "")
    bench = Bench(beside=old, name="b2")
    bench.silent = {ef.ClearLedger}
    bench.assign()
    old.claim()
    bench.silent = set()
    bench.carry_out_kept()
    (terminate,) = bench.take(ef.TerminateLinks)
    assert terminate.links == (f"{old.lane().flight.chain}-1",)  # type: ignore[union-attr]
    assert bench.ledger.read([TP])[TP].lanes[0].chain
    bench.handle(ev.ErrorHeard(terminate.links[0], "REVOKED", "TaskRevokedError", "terminated", "w1"))
    assert started_at(bench) == 0


def test_a_clearing_that_another_owner_overtakes_begins_again() -> None:
    bench = with_ledger()
    bench.broker.committed[TP] = (3, "")
    bench.silent = {ef.ClearLedger}
    bench.assign()
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.carry_out_kept()
    assert started_at(bench) == 3


def test_a_clearing_without_answer_is_done_with_a_new_number_so_that_the_old_one_may_come_late() -> None:
    bench = with_ledger()
    bench.broker.committed[TP] = (3, "")
    bench.silent = {ef.ClearLedger}
    bench.assign()
    (late,) = bench.kept
    bench.silent = set()
    bench.handle(ev.EffectFailed(late, "silent"))
    bench.wait(0.2)
    assert started_at(bench) == 3
    bench.fetch(3, 4, 5)
    bench.carry_out(late)
    assert bench.ledger.read([TP])[TP].lanes[0].in_flight


# --- beginning anew ---------------------------------------------------------------------------------------------------


def test_a_topic_created_again_while_running_begins_anew() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.take(ef.StartFetching)
    bench.broker.topic_id = "id-2"
    bench.handle(ev.OffsetMissing(TP))
    assert bench.said("anew") == ["assigning anew: the topic was created again"]
    assert started_at(bench) == 0
    assert bench.lane().watermark == 0
    assert bench.committed() == 0


def test_a_topic_created_again_with_as_many_records_begins_anew_when_its_id_is_seen() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.take(ef.StartFetching)
    bench.broker.topic_id = "id-2"
    bench.handle(ev.TopicsSeen({TP.topic: "id-2"}))
    assert bench.said("anew") == ["assigning anew: the topic was created again"]
    assert started_at(bench) == 0


def test_the_same_topic_id_or_none_changes_nothing() -> None:
    bench = Bench().assign()
    bench.handle(ev.TopicsSeen({TP.topic: "id-1"}))
    bench.handle(ev.TopicsSeen({"another": "id-2"}))
    assert bench.said("anew") == []


def test_a_topic_created_again_is_noticed_when_the_partition_is_assigned_again() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.broker.topic_id = "id-2"
    bench.ledger.flush()
    bench.wait(2)
    assert bench.said("anew") == ["assigning anew: the topic was created again"]
    assert bench.partition().is_active


def test_an_operators_reset_makes_void_what_is_known() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.fetch(3, 4, 5)
    bench.take(ef.StartFetching)
    bench.broker.committed[TP] = (1, "")
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert started_at(bench) == 1


def test_another_owner_that_has_gone_on_makes_void_what_is_known() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.take(ef.StartFetching)
    bench.broker.committed[TP] = (20, write_metadata(1, "id-1"))
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.said("anew") == ["assigning anew: another owner has gone on"]
    assert started_at(bench) == 20


def test_an_offset_below_the_expected_one_begins_anew_and_not_behind_its_own_commits() -> None:
    bench = Bench().assign()
    bench.silent = {ef.Commit}
    bench.fetch(0, 1, 2)
    bench.complete()
    assert len(bench.kept) == 1  # the commit of 3 is under way
    bench.silent = set()
    bench.fetch(1)
    assert bench.said("anew") == ["assigning anew: offset 1 came, 3 was expected"]
    bench.carry_out_kept()
    bench.wait(100)
    assert bench.take(ef.StartFetching)[-1].offset == 3
    assert bench.committed() == 3


def test_a_gap_of_records_deleted_before_they_were_read_is_named_and_passed() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.take(ef.StartFetching)
    bench.broker.start = 10
    bench.handle(ev.OffsetMissing(TP))
    assert bench.said("deleted") == ["offsets 3..9 (7) were deleted before they were read"]
    assert [start.offset for start in bench.take(ef.StartFetching)] == [10]
    bench.fetch(10, 11, 12)
    bench.complete()
    assert bench.committed() == 13


def test_a_log_that_became_shorter_is_read_from_its_end_and_begins_anew_there() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.take(ef.StartFetching)
    bench.broker.end = 2
    bench.handle(ev.OffsetMissing(TP))
    assert bench.said("truncated") == ["the log ends at 2, 3 was expected"]
    assert [start.offset for start in bench.take(ef.StartFetching)] == [2]
    bench.fetch(2)
    assert bench.said("anew") == ["assigning anew: offset 2 came, 3 was expected"]
    assert started_at(bench) == 2


def test_an_offset_that_is_there_after_all_is_read_on_from() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.take(ef.StartFetching)
    bench.take(ef.Report)
    bench.handle(ev.OffsetMissing(TP))
    assert [start.offset for start in bench.take(ef.StartFetching)] == [3]
    assert bench.take(ef.Report) == []


def test_a_missing_offset_is_asked_about_once() -> None:
    bench = Bench().assign()
    bench.take(ef.AskKafka)
    bench.silent = {ef.AskKafka}
    bench.handle(ev.OffsetMissing(TP))
    bench.handle(ev.OffsetMissing(TP))
    assert len(bench.take(ef.AskKafka)) == 1


def test_a_missing_offset_during_a_reassignment_is_asked_about_afterwards() -> None:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    bench.complete()
    bench.take(ef.StartFetching)
    bench.silent = {ef.Restore}
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    bench.broker.start = 10
    bench.handle(ev.OffsetMissing(TP))
    bench.silent = set()
    bench.carry_out_kept()
    assert [start.offset for start in bench.take(ef.StartFetching)] == [10]


# --- what is not ours -------------------------------------------------------------------------------------------------


def test_events_of_partitions_that_are_not_ours_change_nothing() -> None:
    bench = Bench().assign()
    bench.effects.clear()
    owner = Owner(1, "b")
    for event in (
        ev.Fetched(OTHER, [row(0)]),
        ev.Fetched(TP, []),
        ev.EndOfLog(OTHER, 5),
        ev.OffsetMissing(OTHER),
        ev.Revoked((OTHER,)),
        ev.Lost((OTHER,)),
        bench.facts(OTHER, 1),
        ev.OwnerAssigned(OTHER, 1, bench.ledger.read([OTHER])[OTHER]),
        ev.Cleared(OTHER, 1, True),
        ev.Restored(OTHER, 1, True),
        ev.RuleChanged(OTHER, 1, True),
        ev.Dispatched(OTHER, 1, 0, "c", ev.DispatchAnswer.OK),
        ev.Published(OTHER, 1, 0, "c", 1, False),
        ev.CommitAnswered({OTHER: (1, 5, ev.CommitAnswer.OK, "")}),
    ):
        bench.handle(event)
    assert bench.effects == []
    assert bench.partition().owner != owner


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    bench = Bench().assign()
    serial = bench.partition().serial
    entry = bench.ledger.read([TP])[TP]
    bench.effects.clear()
    for event in (
        bench.facts(TP, serial),
        ev.OwnerAssigned(TP, serial, replace(entry, owner=Owner(1, "x"))),
        ev.Cleared(TP, serial, True),
        ev.Restored(TP, serial, True),
    ):
        bench.handle(event)
    assert bench.effects == []
    assert bench.partition().is_active


def test_records_that_come_before_the_partition_has_started_are_dropped() -> None:
    bench = Bench()
    bench.silent = {ef.Restore}
    bench.assign()
    bench.fetch(0, 1, 2)
    bench.handle(ev.EndOfLog(TP, 3))
    assert bench.partition().expected is None
    bench.partition().advance()
    assert bench.partition().position == -1
