"""claim, advance, complete, fault, settle: what may happen to a link, and what is refused."""

from dataclasses import replace

import pytest

from bridge.entries import Claim, Failure, Outcome, Owner, Rejection
from tests.ledger.story import FAILED, OK, PARTIAL, REVOKED, TP, Story

LOST = Outcome("failed", 5, Failure(5, kind="worker_lost"))


# --- claim -----------------------------------------------------------------------------------------------------------


def test_a_claim_names_worker_and_delivery(story: Story) -> None:
    story.dispatched()

    assert story.ledger.claim(story.handle(), "host.1", "n")[:2] == (b"records of first", "")
    assert (story.lane().claim, story.lane().seen.claim) == (Claim("host.1", "n"), "host.1 n")


def test_the_same_delivery_may_claim_again(story: Story) -> None:
    story.claimed()

    assert story.ledger.claim(story.handle(), "w", "n")[:2] == (b"records of first", "")


def test_a_second_delivery_of_a_claimed_link_is_refused(story: Story) -> None:
    story.claimed()

    assert story.ledger.claim(story.handle(), "w", "m")[:2] == (None, "claimed")
    assert story.ledger.claim(story.handle(), "v", "n")[:2] == (None, "claimed")
    assert story.lane().claim == Claim("w", "n")


def test_a_link_that_is_not_current_is_refused(story: Story) -> None:
    assert story.ledger.claim(story.handle(), "w", "n")[:2] == (None, "not current")
    story.dispatched()

    assert story.ledger.claim(story.handle(2), "w", "n")[:2] == (None, "not current")
    assert story.ledger.claim(story.handle(chain="zeroth"), "w", "n")[:2] == (None, "not current")
    assert story.ledger.claim(replace(story.handle(), lane=1), "w", "n")[:2] == (None, "not current")
    assert story.lane().claim is None


def test_the_link_before_the_current_one_is_refused(story: Story) -> None:
    story.advanced()

    assert story.ledger.claim(story.handle(1), "w", "n")[:2] == (None, "not current")


def test_a_link_of_a_chain_with_an_outcome_is_refused_even_to_its_own_delivery(story: Story) -> None:
    story.completed()

    assert story.ledger.claim(story.handle(), "w", "n")[:2] == (None, "outcome")
    assert story.ledger.claim(story.handle(), "w", "m")[:2] == (None, "outcome")


# --- advance ---------------------------------------------------------------------------------------------------------


def test_the_next_link_works_on_what_this_one_left(story: Story) -> None:
    story.claimed()

    assert story.ledger.advance(story.handle(), "n", b"cut")

    assert (story.lane().link, story.lane().claim, story.lane().outcome) == (2, None, None)
    assert story.ledger.claim(story.handle(2), "v", "m")[:2] == (b"cut", "")


def test_the_next_link_works_on_the_same_records_when_none_are_given(story: Story) -> None:
    story.claimed()

    assert story.ledger.advance(story.handle(), "n", None)

    assert story.ledger.claim(story.handle(2), "v", "m")[:2] == (b"records of first", "")


def test_a_claim_is_told_how_long_the_slowest_link_before_it_ran(story: Story) -> None:
    story.claimed()
    for link, took_s in ((1, 0.25), (2, 0.000125)):
        assert story.ledger.advance(story.handle(link), "n", None, took_s)
        assert story.ledger.claim(story.handle(link + 1), "w", "n").slowest_s == 0.25
        assert story.ledger.claim(story.handle(link + 1), "w", "n").slowest_s == 0.25


def test_a_new_chain_knows_nothing_of_how_long_the_last_one_took(story: Story) -> None:
    story.claimed()
    story.ledger.advance(story.handle(), "n", None, 0.25)
    story.ledger.claim(story.handle(2), "w", "n")
    story.ledger.complete(story.handle(2), "w", "n", OK)
    assert story.ledger.dispatch([story.command("second", expect=story.lane().seen)]) == ["ok"]
    assert story.ledger.claim(story.handle(chain="second"), "w", "n").slowest_s == 0.0


@pytest.mark.parametrize("payload", [None, b"cut"])
def test_the_delivery_that_has_just_advanced_is_told_so_again(story: Story, payload: bytes | None) -> None:
    story.claimed()
    story.ledger.advance(story.handle(), "n", payload)
    before = story.entry()

    assert story.ledger.advance(story.handle(), "n", payload)

    assert replace(story.entry(), now_ms=0) == replace(before, now_ms=0)
    assert story.ledger.claim(story.handle(2), "v", "m").payload == (payload or b"records of first")


def test_it_is_told_so_again_also_when_the_next_link_is_claimed_or_done(story: Story) -> None:
    story.advanced()
    story.ledger.claim(story.handle(2), "v", "m")
    assert story.ledger.advance(story.handle(), "n", b"cut")
    assert story.ledger.claim(story.handle(2), "v", "m")[:2] == (b"cut", "")

    story.ledger.complete(story.handle(2), "v", "m", OK)
    assert story.ledger.advance(story.handle(), "n", b"cut")
    assert story.lane().outcome == OK


@pytest.mark.parametrize("payload", [None, b"stolen"])
def test_only_the_claims_own_delivery_advances(story: Story, payload: bytes | None) -> None:
    story.dispatched()
    assert not story.ledger.advance(story.handle(), "n", payload)
    story.ledger.claim(story.handle(), "w", "n")

    assert not story.ledger.advance(story.handle(), "m", payload)
    assert not story.ledger.advance(story.handle(), "", payload)
    assert not story.ledger.advance(story.handle(2), "n", payload)
    assert not story.ledger.advance(story.handle(chain="zeroth"), "n", payload)
    assert (story.lane().link, story.lane().claim) == (1, Claim("w", "n"))
    assert story.ledger.claim(story.handle(), "w", "n").payload == b"records of first"


def test_a_delivery_that_did_not_advance_the_link_does_not_touch_the_next_ones_records(story: Story) -> None:
    story.advanced()

    assert not story.ledger.advance(story.handle(), "m", b"stolen")
    assert story.ledger.claim(story.handle(2), "v", "m")[:2] == (b"cut", "")


def test_a_chain_with_an_outcome_does_not_advance(story: Story) -> None:
    story.completed()

    assert not story.ledger.advance(story.handle(), "n", b"cut")
    assert story.lane().link == 1


# --- complete --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "watermark"), [(OK, 10), (PARTIAL, 6), (FAILED, 5)])
def test_an_outcome_raises_the_watermark_to_the_first_rejected_or_unfinished_record(
    story: Story, outcome: Outcome, watermark: int
) -> None:
    story.completed(outcome)

    lane = story.lane()
    assert (lane.outcome, lane.watermark, lane.claim, lane.in_flight) == (outcome, watermark, Claim("w", "n"), False)


def test_an_outcome_does_not_lower_the_watermark(story: Story) -> None:
    story.claimed()
    story.ledger.restore(TP, story.owner, {0: 20}, rule="partition", topic_id="id", base=5)

    assert story.ledger.complete(story.handle(), "w", "n", OK)
    assert story.lane().watermark == 20


def test_the_last_link_completes_too(story: Story) -> None:
    story.advanced()
    story.ledger.claim(story.handle(2), "v", "m")

    assert story.ledger.complete(story.handle(2), "v", "m", OK)
    assert story.lane().outcome == OK


def test_a_completed_delivery_is_told_so_again(story: Story) -> None:
    story.completed(PARTIAL)
    assert story.ledger.complete(story.handle(), "w", "n", PARTIAL)
    assert story.ledger.settle(TP, story.owner, 0, "first", 8, 5)

    assert story.ledger.complete(story.handle(), "w", "n", PARTIAL)
    assert story.lane().outcome == replace(PARTIAL, rejected=())


def test_the_first_outcome_stands(story: Story) -> None:
    story.completed(FAILED)

    assert not story.ledger.complete(story.handle(), "w", "n", OK)
    assert (story.lane().outcome, story.lane().watermark) == (FAILED, 5)


def test_only_the_claims_own_delivery_completes(story: Story) -> None:
    story.dispatched()
    assert not story.ledger.complete(story.handle(), "w", "n", OK)
    story.ledger.claim(story.handle(), "w", "n")

    assert not story.ledger.complete(story.handle(), "w", "m", OK)
    assert not story.ledger.complete(story.handle(), "v", "n", OK)
    assert not story.ledger.complete(story.handle(2), "w", "n", OK)
    assert not story.ledger.complete(story.handle(chain="zeroth"), "w", "n", OK)
    assert (story.lane().outcome, story.lane().watermark) == (None, -1)


def test_a_worker_that_lost_its_link_to_a_new_attempt_completes_nothing(story: Story) -> None:
    story.claimed()
    story.ledger.dispatch([story.command("second", expect=story.lane().seen)])
    story.ledger.claim(story.handle(chain="second"), "v", "m")

    assert not story.ledger.complete(story.handle(), "w", "n", OK)
    assert (story.lane().outcome, story.lane().watermark) == (None, -1)


def test_a_chain_outlives_its_owner(story: Story) -> None:
    story.claimed()
    story.taken_over()

    assert story.ledger.complete(story.handle(), "w", "n", OK)
    assert story.lane().outcome == OK


# --- fault -----------------------------------------------------------------------------------------------------------


def test_a_link_that_nobody_claimed_is_given_up_as_unclaimed(story: Story) -> None:
    story.dispatched()

    assert story.ledger.fault(TP, 0, "first", 1, "", REVOKED)

    assert (story.lane().outcome, story.lane().claim) == (REVOKED, None)
    assert story.ledger.claim(story.handle(), "w", "n").refused == "outcome"


def test_a_link_is_given_up_as_claimed_by_the_worker_that_reports(story: Story) -> None:
    story.claimed()

    assert story.ledger.fault(TP, 0, "first", 1, "w", LOST)

    assert (story.lane().outcome, story.lane().claim) == (LOST, Claim("w", "n"))
    assert not story.ledger.complete(story.handle(), "w", "n", OK)
    assert not story.ledger.advance(story.handle(), "n", None)


def test_a_fault_needs_the_claim_to_agree(story: Story) -> None:
    story.dispatched()
    assert not story.ledger.fault(TP, 0, "first", 1, "w", LOST)
    story.ledger.claim(story.handle(), "w", "n")

    assert not story.ledger.fault(TP, 0, "first", 1, "", REVOKED)
    assert not story.ledger.fault(TP, 0, "first", 1, "v", LOST)
    assert not story.ledger.fault(TP, 0, "first", 1, "w n", LOST)
    assert story.lane().outcome is None


def test_a_fault_needs_the_current_link(story: Story) -> None:
    assert not story.ledger.fault(TP, 0, "first", 1, "", REVOKED)
    story.advanced()

    assert not story.ledger.fault(TP, 0, "first", 1, "", REVOKED)
    assert not story.ledger.fault(TP, 0, "second", 2, "", REVOKED)
    assert not story.ledger.fault(TP, 1, "first", 2, "", REVOKED)
    assert story.lane().outcome is None


def test_a_fault_comes_too_late_for_a_chain_with_an_outcome(story: Story) -> None:
    story.completed(OK)

    assert not story.ledger.fault(TP, 0, "first", 1, "w", LOST)
    assert story.lane().outcome == OK


def test_a_fault_whose_answer_was_lost_is_answered_the_same_again(story: Story) -> None:
    story.claimed()
    story.ledger.fault(TP, 0, "first", 1, "w", LOST)

    assert story.ledger.fault(TP, 0, "first", 1, "w", LOST)
    assert story.lane().outcome == LOST


# --- settle ----------------------------------------------------------------------------------------------------------


def test_settling_empties_the_rejected_list_and_raises_watermark_and_base(story: Story) -> None:
    story.completed(PARTIAL)

    assert story.ledger.settle(TP, story.owner, 0, "first", 8, 7)

    assert (story.lane().outcome, story.lane().watermark) == (replace(PARTIAL, rejected=()), 8)
    assert story.entry().base == 7


def test_the_record_behind_the_rejected_ones_is_settled_in_a_second_step(story: Story) -> None:
    story.completed(PARTIAL)
    story.ledger.settle(TP, story.owner, 0, "first", 8, 5)

    assert story.ledger.settle(TP, story.owner, 0, "first", 9, 9)
    assert (story.lane().watermark, story.entry().base) == (9, 9)


def test_settling_lowers_nothing_and_may_be_repeated(story: Story) -> None:
    story.completed(PARTIAL)
    story.ledger.settle(TP, story.owner, 0, "first", 9, 9)

    assert story.ledger.settle(TP, story.owner, 0, "first", 8, 8)
    assert (story.lane().watermark, story.entry().base) == (9, 9)


def test_a_failed_record_is_settled_where_nothing_was_rejected_and_that_may_be_repeated(story: Story) -> None:
    story.completed(FAILED)

    for _ in range(2):  # the second time the answer was lost
        assert story.ledger.settle(TP, story.owner, 0, "first", 6, 6)
    assert (story.lane().outcome, story.lane().watermark, story.entry().base) == (FAILED, 6, 6)


def test_a_settling_that_comes_after_the_next_dispatch_is_refused(story: Story) -> None:
    story.completed(FAILED)
    story.ledger.settle(TP, story.owner, 0, "first", 6, 6)
    story.ledger.dispatch([story.command("second", expect=story.lane().seen)])

    assert not story.ledger.settle(TP, story.owner, 0, "first", 6, 6)
    assert story.lane().chain == "second"


def test_an_owner_that_lost_the_partition_settles_nothing(story: Story) -> None:
    story.completed(PARTIAL)
    zombie, own = story.owner, story.taken_over()

    for owner in (zombie, Owner(own.number, "me"), Owner(zombie.number, "other")):
        assert not story.ledger.settle(TP, owner, 0, "first", 8, 8)

    assert (story.lane().outcome, story.lane().watermark) == (PARTIAL, 6)
    assert story.ledger.settle(TP, own, 0, "first", 8, 8)


def test_only_an_outcome_of_the_lanes_own_chain_is_settled(story: Story) -> None:
    story.own()
    assert not story.ledger.settle(TP, story.owner, 0, "first", 8, 8)
    story.ledger.dispatch([story.command()])

    assert not story.ledger.settle(TP, story.owner, 0, "first", 8, 8)
    story.ledger.claim(story.handle(), "w", "n")
    story.ledger.complete(story.handle(), "w", "n", PARTIAL)
    assert not story.ledger.settle(TP, story.owner, 0, "zeroth", 8, 8)
    assert story.lane().watermark == 6


def test_a_rejection_alone_is_unsettled_too(story: Story) -> None:
    rejected_last = Outcome("partial", 10, None, (Rejection(9, "bad"),))
    story.completed(rejected_last)

    assert (story.lane().outcome, story.lane().watermark) == (rejected_last, 9)
    assert story.ledger.settle(TP, story.owner, 0, "first", 10, 10)
    assert story.lane().watermark == 10


# --- dispose ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [PARTIAL, FAILED])
def test_dead_letters_of_an_outcome_may_be_there_from_dispose_until_settle(story: Story, outcome: Outcome) -> None:
    story.completed(outcome)
    before = story.lane()
    assert not before.disposing

    for _ in range(2):  # the second time the answer was lost
        assert story.ledger.dispose(TP, story.owner, 0, "first")
    assert story.lane() == replace(before, disposing=True)

    story.ledger.settle(TP, story.owner, 0, "first", 8, 8)
    assert not story.lane().disposing


def test_the_next_dispatch_has_no_dead_letters_yet(story: Story) -> None:
    story.completed(FAILED)
    story.ledger.dispose(TP, story.owner, 0, "first")

    assert story.ledger.dispatch([story.command("second", expect=story.lane().seen)]) == ["ok"]
    assert not story.lane().disposing


def test_only_the_owner_disposes_and_only_of_an_outcome_of_the_lanes_own_chain(story: Story) -> None:
    story.own()
    assert not story.ledger.dispose(TP, story.owner, 0, "first")
    story.claimed()
    assert not story.ledger.dispose(TP, story.owner, 0, "first")
    story.ledger.complete(story.handle(), "w", "n", FAILED)
    assert not story.ledger.dispose(TP, story.owner, 0, "zeroth")

    zombie, own = story.owner, story.taken_over()
    for owner in (zombie, Owner(own.number, "me"), Owner(zombie.number, "other")):
        assert not story.ledger.dispose(TP, owner, 0, "first")
    assert not story.lane().disposing
    assert story.ledger.dispose(TP, own, 0, "first")


def test_nothing_is_disposed_of_in_a_ledger_that_was_emptied(story: Story) -> None:
    assert not story.ledger.dispose(TP, Owner(5, "me"), 0, "first")
    assert story.entry().lanes == {}
