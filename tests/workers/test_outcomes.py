"""What a link reports, from what its task did."""

import pytest

from bridge.entries import Failure, Rejection
from bridge.ledger.payload import Carried
from bridge.workers.outcomes import TRACEBACKS, Place, Stop, conclude

LAST = Place(link=2, task="store", is_last=True, last=19)
FIRST = Place(link=1, task="parse", is_last=False, last=19)
OFFSETS = range(10, 20)


def failed(offset: int, delay: float | None = None) -> Stop:
    return Stop(ValueError("x"), Failure(offset), delay)


def reject(*offsets: int) -> list[Rejection]:
    return [Rejection(offset, "odd") for offset in offsets]


def test_all_done_in_the_last_link_is_ok_past_the_range() -> None:
    outcome = conclude(OFFSETS, LAST, Carried(), None, []).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.next_offset, outcome.failure, outcome.rejected) == ("ok", 20, None, ())


def test_the_range_may_end_above_the_last_record() -> None:
    outcome = conclude([10, 12], Place(1, "t", True, last=30), Carried(), None, []).outcome
    assert outcome is not None
    assert outcome.next_offset == 31


def test_a_link_that_is_not_the_last_passes_everything_on() -> None:
    conclusion = conclude(OFFSETS, FIRST, Carried(), None, [])
    assert conclusion.outcome is None
    assert list(conclusion.keep) == list(range(10))


def test_a_failure_behind_finished_records_cuts_the_batch_before_it() -> None:
    conclusion = conclude(OFFSETS, FIRST, Carried(), failed(13, delay=2.0), [])
    assert conclusion.outcome is None
    assert list(conclusion.keep) == [0, 1, 2]
    assert conclusion.carried == Carried(Failure(13), (), 2.0)


def test_a_failure_at_the_first_record_ends_the_chain_with_nothing_finished() -> None:
    outcome = conclude(OFFSETS, FIRST, Carried(), failed(10), []).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.next_offset) == ("failed", 10)


def test_a_failure_in_the_last_link_is_partial_when_records_before_it_are_finished() -> None:
    outcome = conclude(OFFSETS, LAST, Carried(), failed(13, delay=3.0), []).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.next_offset, outcome.failure, outcome.delay) == ("partial", 13, Failure(13), 3.0)


def test_rejected_records_do_not_go_on_and_are_carried() -> None:
    conclusion = conclude(OFFSETS, FIRST, Carried(), None, reject(11, 19))
    assert list(conclusion.keep) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert [each.offset for each in conclusion.carried.rejected] == [11, 19]


def test_rejections_in_the_last_link_are_partial_and_reach_past_the_range() -> None:
    outcome = conclude(OFFSETS, LAST, Carried(), None, reject(11)).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.next_offset, outcome.watermark) == ("partial", 20, 11)


def test_rejections_at_or_above_a_failure_are_dropped_because_those_records_run_again() -> None:
    conclusion = conclude(OFFSETS, LAST, Carried(), failed(13), reject(12, 13, 15))
    assert conclusion.outcome is not None
    assert [each.offset for each in conclusion.outcome.rejected] == [12]


def test_nothing_left_to_pass_on_ends_the_chain_in_the_middle() -> None:
    outcome = conclude([10, 11], Place(1, "t", False, last=11), Carried(), None, reject(10, 11)).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.next_offset) == ("partial", 12)
    assert [each.offset for each in outcome.rejected] == [10, 11]


def test_what_earlier_links_met_is_reported_with_what_this_one_met() -> None:
    carried = Carried(Failure(16), tuple(reject(12)), 4.0)
    outcome = conclude([10, 11, 13, 14, 15], LAST, carried, None, reject(14)).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.next_offset, outcome.failure, outcome.delay) == ("partial", 16, Failure(16), 4.0)
    assert [each.offset for each in outcome.rejected] == [12, 14]


def test_an_earlier_failure_in_a_later_link_replaces_the_carried_one() -> None:
    carried = Carried(Failure(16), tuple(reject(12)), 4.0)
    outcome = conclude([10, 11, 13, 14, 15], LAST, carried, failed(11), []).outcome
    assert outcome is not None
    assert (outcome.next_offset, outcome.failure, outcome.delay, outcome.rejected) == (11, Failure(11), None, ())


def test_a_failure_with_only_rejected_records_before_it_is_partial() -> None:
    outcome = conclude([11, 12], LAST, Carried(None, tuple(reject(10))), failed(11), []).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.next_offset, outcome.watermark) == ("partial", 11, 10)


@pytest.mark.parametrize("offset", [9, 20, 25])
def test_a_rejection_of_a_record_that_the_link_did_not_get_is_no_rejection(offset: int) -> None:
    outcome = conclude(OFFSETS, LAST, Carried(), None, reject(offset)).outcome
    assert outcome is not None
    assert outcome.kind == "ok"


# --- bounds -----------------------------------------------------------------------------------------------------------


def at_length(offsets: range) -> list[Rejection]:
    return [Rejection(offset, "r" * 1000, traceback="t" * 2000) for offset in offsets]


def test_the_first_rejected_records_of_all_links_carry_a_traceback() -> None:
    earlier, here = at_length(range(30, 60)), at_length(range(30))
    conclusion = conclude(range(30), Place(2, "t", True, 59), Carried(None, tuple(earlier)), None, here)
    assert conclusion.outcome is not None
    with_traceback = [each.offset for each in conclusion.outcome.rejected if each.traceback]
    assert with_traceback == list(range(TRACEBACKS))


def test_what_is_carried_to_the_next_link_is_bounded_too() -> None:
    carried = conclude(range(100), Place(1, "t", False, 99), Carried(), None, at_length(range(99))).carried
    assert [each.offset for each in carried.rejected if each.traceback] == list(range(TRACEBACKS))


@pytest.mark.parametrize(("count", "longest"), [(100, 1000), (1000, 262), (20_000, 100)])
def test_the_more_records_are_rejected_the_shorter_their_reasons(count: int, longest: int) -> None:
    outcome = conclude(range(count), Place(1, "t", True, count), Carried(), None, at_length(range(count))).outcome
    assert outcome is not None
    assert {len(each.reason) for each in outcome.rejected} == {longest}
