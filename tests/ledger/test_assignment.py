"""assign, restore, clear, change_rule, keep: who owns a partition, and what an owner may do to it as a whole."""

import time
from dataclasses import replace

import pytest

from bridge.entries import LaneEntry, Owner
from tests.ledger.story import FAILED, PARTIAL, TP, Story

HOURS_AHEAD = int(time.time()) + 10_000


def test_an_owners_number_is_above_the_servers_seconds(story: Story) -> None:
    owner = story.own("me").owner

    assert owner.bridge == "me"
    assert owner.number > time.time() - 60


def test_an_owners_number_is_above_the_one_before_even_in_the_same_second(story: Story) -> None:
    numbers = [story.own(f"bridge {n}").owner.number for n in range(5)]

    assert numbers == sorted(set(numbers))


def test_an_owners_number_is_above_the_one_in_the_committed_metadata(story: Story) -> None:
    assert story.ledger.assign(TP, "me", HOURS_AHEAD).owner == (HOURS_AHEAD + 1, "me")
    assert story.ledger.assign(TP, "you", 0).owner == (HOURS_AHEAD + 2, "you")


def test_a_partition_that_the_ledger_does_not_know_has_an_empty_entry(story: Story) -> None:
    entry = story.entry()

    assert (entry.owner, entry.base, entry.rule, entry.topic_id, entry.lanes) == ((0, ""), None, "", "", {})


def test_assign_returns_all_lanes_and_changes_nothing_else(story: Story) -> None:
    story.completed(PARTIAL)
    story.ledger.restore(TP, story.owner, {1: 7}, rule="key:2", topic_id="id", base=6)
    before = story.entry()

    after = story.ledger.assign(TP, "other", 0)

    assert after == replace(before, owner=after.owner, now_ms=after.now_ms)
    assert after.owner.number > before.owner.number


def test_the_entry_tells_the_servers_clock(story: Story) -> None:
    assert abs(story.own().entry().now_ms / 1000 - time.time()) < 60


def test_restore_raises_watermarks_and_base_and_never_lowers_them(story: Story) -> None:
    story.own()

    assert story.ledger.restore(TP, story.owner, {0: 9, 1: 1000}, rule="key:2", topic_id="id", base=9)
    assert story.ledger.restore(TP, story.owner, {0: 10, 1: 999}, rule="key:2", topic_id="id", base=8)

    entry = story.entry()
    assert (entry.base, entry.rule, entry.topic_id) == (9, "key:2", "id")
    assert entry.lanes == {0: LaneEntry(0, watermark=10), 1: LaneEntry(1, watermark=1000)}


def test_restore_names_rule_and_topic_only_where_there_are_none(story: Story) -> None:
    story.own()
    story.ledger.restore(TP, story.owner, {}, rule="partition", topic_id="", base=0)
    story.ledger.restore(TP, story.owner, {}, rule="key:8", topic_id="id", base=0)
    story.ledger.restore(TP, story.owner, {}, rule="key:8", topic_id="other", base=0)

    assert (story.entry().rule, story.entry().topic_id) == ("partition", "id")


def test_restore_leaves_out_what_is_not_known(story: Story) -> None:
    story.own()

    assert story.ledger.restore(TP, story.owner, {0: -1}, rule="partition", topic_id="id", base=-1)

    assert (story.entry().base, story.entry().lanes) == (None, {})


@pytest.mark.parametrize("offset", [2**53 + 1, 2**62 + 1, 2**63 - 1])
def test_offsets_beyond_what_a_lua_number_holds_stay_exact(story: Story, offset: int) -> None:
    story.own()
    story.ledger.restore(TP, story.owner, {0: offset - 1, 1: offset}, rule="key:2", topic_id="id", base=offset - 1)
    story.ledger.restore(TP, story.owner, {0: offset, 1: offset - 1}, rule="key:2", topic_id="id", base=offset)

    entry = story.entry()
    assert (entry.base, entry.lanes[0].watermark, entry.lanes[1].watermark) == (offset, offset, offset)


def test_clear_forgets_what_the_lanes_did_and_keeps_the_owner(story: Story) -> None:
    story.claimed()
    story.ledger.restore(TP, story.owner, {1: 7}, rule="key:2", topic_id="id", base=6)

    assert story.ledger.clear(TP, story.owner, [story.handle().link_id])

    entry = story.entry()
    assert (entry.owner, entry.base, entry.rule, entry.topic_id, entry.lanes) == (story.owner, None, "", "", {})
    assert story.ledger.claim(story.handle(), "w", "n").refused == "not current"


def test_clear_is_refused_while_a_link_is_claimed_that_was_not_waited_for(story: Story) -> None:
    story.claimed()
    assert not story.ledger.clear(TP, story.owner, ())
    assert not story.ledger.clear(TP, story.owner, [story.handle(link=2).link_id])
    assert story.entry().lanes[0].claim is not None
    story.ledger.complete(story.handle(), "w", "n", FAILED)
    assert story.ledger.clear(TP, story.owner, ())


def test_a_changed_rule_drops_the_lanes_and_raises_the_base(story: Story) -> None:
    story.completed(FAILED)
    story.ledger.restore(TP, story.owner, {0: 5}, rule="partition", topic_id="id", base=5)

    assert story.ledger.change_rule(TP, story.owner, "key:8", 12)

    entry = story.entry()
    assert (entry.rule, entry.base, entry.topic_id, entry.lanes) == ("key:8", 12, "id", {})
    assert story.ledger.claim(story.handle(), "w", "n").refused == "not current"


def test_a_rule_changed_twice_leaves_what_the_new_lanes_did(story: Story) -> None:
    story.own()
    story.ledger.change_rule(TP, story.owner, "key:8", 5)
    story.ledger.dispatch([story.command()])

    assert story.ledger.change_rule(TP, story.owner, "key:8", 5)

    assert story.lane().chain == "first"


@pytest.mark.parametrize("step", ["restore", "clear", "change_rule", "keep"])
def test_an_owner_that_lost_the_partition_may_not(story: Story, step: str) -> None:
    story.dispatched()
    zombie, own = story.owner, story.taken_over()
    before = story.entry()

    assert not _step(story, step, zombie)
    assert not _step(story, step, Owner(own.number, "me"))
    assert not _step(story, step, Owner(zombie.number, "other"))

    assert replace(story.entry(), now_ms=0) == replace(before, now_ms=0)


@pytest.mark.parametrize("step", ["restore", "clear", "change_rule", "keep"])
def test_an_owners_step_on_a_ledger_that_was_emptied_is_refused(story: Story, step: str) -> None:
    assert not _step(story, step, Owner(5, "me"))
    assert story.entry().owner == (0, "")


@pytest.mark.parametrize("step", ["restore", "clear", "change_rule", "keep"])
def test_an_owners_step_whose_answer_was_lost_is_answered_the_same_again(story: Story, step: str) -> None:
    story.completed(PARTIAL)
    assert _step(story, step, story.owner)
    before = story.entry()

    assert _step(story, step, story.owner)

    assert replace(story.entry(), now_ms=0) == replace(before, now_ms=0)


def _step(story: Story, step: str, owner: Owner) -> bool:
    if step == "restore":
        return story.ledger.restore(TP, owner, {0: 50}, rule="key:8", topic_id="id", base=50)
    if step == "clear":
        return story.ledger.clear(TP, owner, ())
    if step == "change_rule":
        return story.ledger.change_rule(TP, owner, "key:8", 50)
    return story.ledger.keep(TP, owner)
