"""dispatch: compare and set over exactly what the owner has seen."""

from dataclasses import replace

import pytest

from bridge.entries import NOTHING_SEEN, Counters, Decided, Failure, Outcome, Owner, Seen
from tests.ledger.story import FAILED, OK, PARTIAL, TP, Story


def test_a_dispatched_chain_is_at_its_first_link_unclaimed_and_without_outcome(story: Story) -> None:
    story.own()
    counters = Counters(at=5, failures=2, timeouts=1)

    assert story.ledger.dispatch([story.command(counters=counters, base=4)]) == ["ok"]

    lane = story.lane()
    assert (lane.chain, lane.first, lane.last, lane.link, lane.links) == ("first", 5, 9, 1, 2)
    assert (lane.claim, lane.outcome, lane.counters, lane.seen) == (None, None, counters, Seen("first", 1, "", b""))
    assert (lane.publish_after_ms, lane.superseded, story.entry().base) == (0, "", 4)
    assert story.ledger.claim(story.handle(), "w", "n")[:2] == (b"records of first", "")


def test_several_lanes_are_answered_one_by_one(story: Story) -> None:
    story.dispatched()
    commands = [
        story.command("a", lane=1),
        story.command("b", lane=0),
        story.command("c", lane=2, owner=Owner(1, "you")),
        story.command("d", lane=3),
    ]

    assert story.ledger.dispatch(commands) == ["ok", "changed", "not owner", "ok"]
    assert {lane: entry.chain for lane, entry in story.entry().lanes.items()} == {0: "first", 1: "a", 3: "d"}


def test_nothing_is_dispatched_without_a_command(story: Story) -> None:
    assert story.ledger.dispatch([]) == []


def test_a_lane_with_only_a_watermark_is_a_lane_that_never_had_a_chain(story: Story) -> None:
    story.own()
    story.ledger.restore(TP, story.owner, {0: 5}, rule="partition", topic_id="id", base=5)

    assert story.ledger.dispatch([story.command()]) == ["ok"]
    assert story.lane().watermark == 5


def test_a_dispatch_under_another_lane_rule_than_the_ledgers_is_refused(story: Story) -> None:
    story.own()
    assert story.ledger.dispatch([story.command(rule="partition")]) == ["not owner"]  # nothing was restored yet
    story.ledger.restore(TP, story.owner, {}, rule="key:2", topic_id="id", base=5)
    assert story.ledger.dispatch([story.command(rule="partition")]) == ["not owner"]
    assert story.ledger.dispatch([story.command(rule="key:2")]) == ["ok"]
    assert story.ledger.dispatch([story.command(rule="key:2")]) == ["ok"]


def test_the_base_is_never_lowered(story: Story) -> None:
    story.own()
    story.ledger.restore(TP, story.owner, {}, rule="partition", topic_id="id", base=8)
    story.ledger.dispatch([story.command(base=7)])

    assert story.entry().base == 8


def test_a_finished_chain_is_replaced_and_leaves_its_watermark(story: Story) -> None:
    story.completed(OK)

    assert story.ledger.dispatch([story.command("second", first=10, last=12, expect=story.lane().seen)]) == ["ok"]

    lane = story.lane()
    assert (lane.chain, lane.first, lane.watermark) == ("second", 10, 10)
    assert lane.seen == Seen("second", 1, "", b"")
    assert story.ledger.claim(story.handle(chain="second"), "w", "m")[:2] == (b"records of second", "")
    assert story.ledger.claim(story.handle(), "w", "n").refused == "not current"


@pytest.mark.parametrize("stage", ["dispatched", "claimed", "advanced"])
def test_a_chain_in_flight_is_superseded_if_it_still_is_as_it_was_seen(story: Story, stage: str) -> None:
    getattr(story, stage)()

    assert story.ledger.dispatch([story.command("second", expect=story.lane().seen)]) == ["ok"]

    assert story.ledger.claim(story.handle(), "w", "n").refused == "not current"
    assert story.ledger.claim(story.handle(2), "w", "n").refused == "not current"
    assert not story.ledger.advance(story.handle(), "n", None)
    assert not story.ledger.complete(story.handle(), "w", "n", OK)
    assert story.lane().seen == Seen("second", 1, "", b"")


@pytest.mark.parametrize("stage", ["dispatched", "claimed", "advanced", "completed"])
@pytest.mark.parametrize(
    "other",
    [
        {"chain": "zeroth"},
        {"chain": "", "link": 0, "claim": "", "outcome": b""},
        {"link": 3},
        {"claim": "w m"},
        {"claim": "v n"},
        {"outcome": b"another"},
    ],
)
def test_a_lane_that_differs_from_what_was_seen_is_changed(story: Story, stage: str, other: dict[str, object]) -> None:
    getattr(story, stage)()
    before = story.entry()
    expect = before.lanes[0].seen._replace(**other)  # type: ignore[arg-type]

    assert story.ledger.dispatch([story.command("second", expect=expect)]) == ["changed"]

    assert story.entry().lanes == before.lanes


@pytest.mark.parametrize(("stage", "next_stage"), [("dispatched", "claim"), ("claimed", "advance"), ("claimed", "ok")])
def test_a_step_between_reading_and_dispatch_is_noticed(story: Story, stage: str, next_stage: str) -> None:
    getattr(story, stage)()
    seen = story.lane().seen
    if next_stage == "claim":
        story.ledger.claim(story.handle(), "w", "n")
    elif next_stage == "advance":
        story.ledger.advance(story.handle(), "n", None)
    else:
        story.ledger.complete(story.handle(), "w", "n", OK)

    assert story.ledger.dispatch([story.command("second", expect=seen)]) == ["changed"]
    assert story.lane().chain == "first"


def test_a_lane_whose_chain_is_gone_is_changed(story: Story) -> None:
    story.dispatched()
    seen = story.lane().seen
    story.ledger.clear(TP, story.owner, ())

    assert story.ledger.dispatch([story.command("second", expect=seen)]) == ["changed"]
    assert story.entry().lanes == {}


def test_rejected_records_must_be_settled_first(story: Story) -> None:
    story.completed(PARTIAL)
    seen = story.lane().seen

    assert story.ledger.dispatch([story.command("second", expect=seen)]) == ["changed"]
    assert story.ledger.settle(TP, story.owner, 0, "first", 8, 5)
    assert story.lane().seen == seen
    assert story.ledger.dispatch([story.command("second", expect=seen)]) == ["ok"]


def test_an_owner_that_lost_the_partition_dispatches_nothing(story: Story) -> None:
    story.completed()
    zombie, own = story.owner, story.taken_over()
    expect = story.lane().seen

    for owner in (zombie, Owner(own.number, "me"), Owner(zombie.number, "other")):
        assert story.ledger.dispatch([story.command("second", owner=owner, expect=expect)]) == ["not owner"]

    assert story.lane().chain == "first"
    assert story.ledger.dispatch([story.command("second", owner=own, expect=expect)]) == ["ok"]


def test_nobody_dispatches_into_a_ledger_that_was_emptied(story: Story) -> None:
    assert story.ledger.dispatch([story.command(owner=Owner(5, "me"))]) == ["not owner"]
    assert story.entry().lanes == {}


@pytest.mark.parametrize("stage", ["dispatched", "claimed", "advanced", "completed"])
def test_a_dispatch_whose_answer_was_lost_is_ok_again_and_changes_nothing(story: Story, stage: str) -> None:
    getattr(story, stage)()
    before = story.entry()

    assert story.ledger.dispatch([story.command(counters=Counters(at=1), base=9)]) == ["ok"]

    assert replace(story.entry(), now_ms=0) == replace(before, now_ms=0)


@pytest.mark.parametrize("stage", ["dispatched", "claimed"])
def test_a_repeated_dispatch_leaves_the_records(story: Story, stage: str) -> None:
    getattr(story, stage)()
    zombie, own = story.owner, story.taken_over()

    assert story.ledger.dispatch([story.command(owner=own), story.command(owner=zombie)]) == ["ok", "not owner"]

    assert story.ledger.claim(story.handle(), "w", "n")[:2] == (b"records of first", "")


def test_a_repeated_dispatch_does_not_bring_back_the_first_links_records(story: Story) -> None:
    story.advanced()
    story.ledger.dispatch([story.command()])

    assert story.ledger.claim(story.handle(2), "w", "m")[:2] == (b"cut", "")


def test_a_dispatch_that_waits_says_until_when_and_for_which_link(story: Story) -> None:
    story.advanced()

    story.ledger.dispatch([story.command("second", expect=story.lane().seen, publish_after_s=5.0)])

    lane = story.lane()
    assert lane.superseded == "first-2"
    assert 0 < lane.publish_after_ms - story.entry().now_ms <= 5000


def test_a_dispatch_that_waits_behind_a_chain_that_timed_out_names_the_link_that_may_still_run(story: Story) -> None:
    story.completed(FAILED)

    story.ledger.dispatch([story.command("second", expect=story.lane().seen, publish_after_s=5.0)])

    assert (story.lane().superseded, story.lane().publish_after_ms > 0) == ("first-1", True)


def test_the_next_dispatch_waits_for_nothing_any_more(story: Story) -> None:
    story.claimed()
    story.ledger.dispatch([story.command("second", expect=story.lane().seen, publish_after_s=5.0)])
    story.ledger.dispatch([story.command("third", expect=story.lane().seen)])

    assert (story.lane().superseded, story.lane().publish_after_ms) == ("", 0)


def test_two_chains_for_one_lane_in_one_call_are_one_chain(story: Story) -> None:
    story.own()

    assert story.ledger.dispatch([story.command("first"), story.command("second")]) == ["ok", "changed"]
    assert story.lane().seen == NOTHING_SEEN._replace(chain="first", link=1)


# --- a chain that is asked about an outcome --------------------------------------------------------------------------


def test_a_chain_that_is_asked_about_rejected_records_passes_and_names_them(story: Story) -> None:
    story.completed(PARTIAL)

    assert story.ledger.dispatch([story.asking("hook")]) == ["ok"]

    lane = story.lane()
    assert (lane.chain, lane.judged, lane.outcome, lane.watermark) == ("hook", PARTIAL, None, 6)


def test_a_chain_that_is_asked_about_the_failed_record_passes_too(story: Story) -> None:
    story.completed(FAILED)

    assert story.ledger.dispatch([story.asking("hook")]) == ["ok"]
    assert story.lane().judged == FAILED


def test_rejected_records_keep_a_chain_out_that_is_asked_only_about_the_failed_one(story: Story) -> None:
    story.completed(PARTIAL)
    only_failed = replace(PARTIAL, rejected=())

    assert story.ledger.dispatch([story.asking("hook", judged=only_failed)]) == ["changed"]
    assert story.lane().outcome == PARTIAL


@pytest.mark.parametrize("stage", ["in flight", "given up"])
def test_rejected_records_that_a_chain_was_asked_about_are_unsettled_until_they_are_settled(
    story: Story, stage: str
) -> None:
    story.completed(PARTIAL)
    story.ledger.dispatch([story.asking("hook")])
    if stage == "given up":
        assert story.ledger.fault(TP, 0, "hook", 1, "", Outcome("failed", 6, Failure(6, kind="revoked")))

    assert story.ledger.dispatch([story.command("second", expect=story.lane().seen)]) == ["changed"]
    assert story.lane().judged == PARTIAL
    assert story.ledger.dispatch([story.asking("again", judged=PARTIAL)]) == ["ok"]
    assert (story.lane().chain, story.lane().judged) == ("again", PARTIAL)


def test_what_was_decided_is_the_outcome_of_the_chain_that_was_asked(story: Story) -> None:
    story.completed(PARTIAL)
    story.ledger.dispatch([story.asking("hook")])
    decided = replace(PARTIAL, decided=(Decided(6, "skip"), Decided(7, "dead_letter")))
    story.ledger.claim(story.handle(chain="hook"), "v", "m")

    assert story.ledger.complete(story.handle(chain="hook"), "v", "m", decided)

    assert (story.lane().outcome, story.lane().watermark) == (decided, 6)
    assert story.ledger.dispatch([story.command("second", expect=story.lane().seen)]) == ["changed"]
    assert story.ledger.settle(TP, story.owner, 0, "hook", 8, 8)
    lane = story.lane()
    assert (lane.outcome, lane.judged) == (replace(decided, rejected=()), PARTIAL)
    assert story.ledger.dispatch([story.command("second", expect=lane.seen)]) == ["ok"]


def test_an_ordinary_dispatch_forgets_what_the_chain_before_it_was_asked_about(story: Story) -> None:
    story.completed(FAILED)
    story.ledger.dispatch([story.asking("hook")])

    assert story.ledger.dispatch([story.command("second", expect=story.lane().seen)]) == ["ok"]
    assert story.lane().judged is None


def test_a_question_whose_answer_was_lost_is_ok_again_and_changes_nothing(story: Story) -> None:
    story.completed(PARTIAL)
    command = story.asking("hook")
    story.ledger.dispatch([command])
    before = story.entry()

    assert story.ledger.dispatch([command]) == ["ok"]
    assert replace(story.entry(), now_ms=0) == replace(before, now_ms=0)
    assert story.ledger.claim(story.handle(chain="hook"), "v", "m").payload == b"records of hook"


def test_a_question_put_into_a_ledger_that_was_emptied_is_unsettled_too(story: Story) -> None:
    story.own()

    assert story.ledger.dispatch([story.command("hook", judged=PARTIAL)]) == ["ok"]
    assert story.lane().judged == PARTIAL
    assert story.ledger.dispatch([story.command("second", expect=story.lane().seen)]) == ["changed"]


def test_a_question_passes_only_if_the_lane_is_as_the_owner_has_seen_it(story: Story) -> None:
    story.completed(PARTIAL)
    zombie = story.owner

    assert story.ledger.dispatch([story.asking("hook", expect=NOTHING_SEEN)]) == ["changed"]
    story.owner = story.taken_over()
    assert story.ledger.dispatch([story.asking("hook", owner=zombie)]) == ["not owner"]
    assert story.lane().outcome == PARTIAL


@pytest.mark.parametrize("step", ["clear", "change_rule"])
def test_what_a_chain_is_asked_about_is_dropped_with_its_lane(story: Story, step: str) -> None:
    story.completed(PARTIAL)
    story.ledger.dispatch([story.asking("hook")])

    if step == "clear":
        assert story.ledger.clear(TP, story.owner, ())
    else:
        assert story.ledger.change_rule(TP, story.owner, "key:8", 5)

    assert story.entry().lanes == {}
    assert story.ledger.dispatch([story.command("second")]) == ["ok"]
    assert story.lane().judged is None
