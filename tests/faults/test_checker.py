"""The checker finds each kind of violation: a good history, and for every rule one that breaks just this rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.checker import Expected, overlapping, violations
from tests.faults.history import Run
from tests.faults.letters import Letter, committed_early, wrong_letters


def _run(offsets: range | tuple[int, ...], begin: float, *, link: str = "link1", chain: str = "a") -> Run:
    return Run(link, "t", 0, 0, chain, tuple(offsets), begin, begin + 0.5, 1, "w", "lane-0")


GOOD = [_run(range(3), 0.0), _run(range(3, 6), 1.0, chain="b"), _run(range(6, 9), 2.0, chain="c")]
EXPECTED = Expected({("t", 0): range(9)}, ("link1",), {("t", 0): 9}, {("t", 0): 9})


def test_a_good_history_has_no_violation() -> None:
    assert violations(GOOD, EXPECTED) == []


def test_gaps_in_the_offsets_are_no_violation() -> None:
    runs = [_run((0, 2), 0.0), _run((5, 8), 1.0)]
    assert violations(runs, replace(EXPECTED, offsets={("t", 0): (0, 2, 5, 8)})) == []


BAD = {
    "P1 lost": [GOOD[0], GOOD[2]],
    "P1 lost by a run that failed": [GOOD[0], replace(GOOD[1], end=None, error="boom"), GOOD[2]],
    "P4 repeated": [*GOOD, replace(GOOD[1], begin=3.0, end=3.5)],
    "P2 order": [GOOD[0], replace(GOOD[2], begin=1.0, end=1.5), replace(GOOD[1], begin=2.0, end=2.5)],
    "P2 order inside a batch": [GOOD[0], replace(GOOD[1], offsets=(4, 3, 5)), GOOD[2]],
    "P3 overlap": [GOOD[0], replace(GOOD[1], begin=0.4, end=0.9), GOOD[2]],
}


@pytest.mark.parametrize("rule", BAD)
def test_a_history_that_breaks_a_rule_is_found(rule: str) -> None:
    found = violations(BAD[rule], EXPECTED)
    assert any(text.startswith(" ".join(rule.split()[:2])) for text in found), found


def test_a_killed_or_a_shorter_run_does_not_hide_the_longer_one_before_it() -> None:
    long = replace(GOOD[1], end=5.0)
    for between in (replace(GOOD[2], begin=1.2, end=None), replace(GOOD[2], begin=1.2, end=1.3)):
        later = replace(GOOD[2], begin=4.0, end=4.5)
        assert overlapping([GOOD[0], long, between, later]) == [(long, between), (long, later)]


def test_a_link_that_begins_before_the_one_before_it_has_ended_is_found() -> None:
    runs = [_run(range(3), 0.0), _run(range(3), 0.2, link="link2")]
    expected = Expected({("t", 0): range(3)}, ("link1", "link2"), {("t", 0): 3}, {("t", 0): 3}, overlaps=1)
    assert [text[:8] for text in violations(runs, expected)] == ["P2 links"]


def test_a_commit_behind_the_end_is_found() -> None:
    assert violations(GOOD, replace(EXPECTED, committed={("t", 0): 8})) == ["committed 8 is not the end 9 of t[0]"]


def test_a_commit_of_a_record_that_was_never_handled_is_found() -> None:
    found = violations(GOOD[:2], EXPECTED)
    assert "P1 committed 9 of t[0], but 6 was never handled" in found


def test_a_commit_past_a_record_that_failed_for_good_is_found() -> None:
    stopped = replace(EXPECTED, stopped={("t", 0): 6}, committed={("t", 0): 7})
    assert "P6 committed 7 is past the failed record 6 of t[0]" in violations(GOOD[:2], stopped)
    assert violations(GOOD[:2], replace(stopped, committed={("t", 0): 6})) == []


def test_the_last_run_of_a_killed_process_counts_when_it_was_acknowledged() -> None:
    assert violations([*GOOD[:2], replace(GOOD[2], pid=7)], replace(EXPECTED, killed={7})) == []


def test_the_last_run_of_a_killed_process_may_run_again_and_no_other() -> None:
    again = [replace(GOOD[2], pid=7), replace(GOOD[2], begin=3.0, end=3.5)]
    assert violations([*GOOD[:2], *again], replace(EXPECTED, killed={7})) == []
    earlier = [replace(GOOD[1], pid=7), replace(GOOD[2], pid=7), replace(GOOD[1], begin=3.0, end=3.5)]
    found = violations([GOOD[0], *earlier], replace(EXPECTED, killed={7}))
    assert any(text.startswith("P4") for text in found)


# --- records that are given up ----------------------------------------------------------------------------------------

#: record 4 failed behind 3, was given up, and 5 went on in a chain of its own
GIVEN_UP = [
    GOOD[0],
    replace(GOOD[1], end=None, error="named", failed_at=1.5, done=(3,)),
    _run((5,), 1.8, chain="c"),
    replace(GOOD[2], begin=2.5, end=2.9, chain="d"),
]
WITHOUT_IT = replace(EXPECTED, offsets={("t", 0): (0, 1, 2, 3, 5, 6, 7, 8)})
LETTER = Letter(("t", 0, 4), "exhausted", b"four")
WANTED, VALUES = {("t", 0, 4): "exhausted"}, {("t", 0, 4): b"four"}


def test_what_a_run_got_through_before_it_failed_is_handled() -> None:
    assert violations(GIVEN_UP, WITHOUT_IT) == []


def test_a_record_that_was_given_up_does_not_count_as_handled() -> None:
    assert any(text.startswith("P1 lost: t[0] link1: 1 records, first 4") for text in violations(GIVEN_UP, EXPECTED))


def test_a_run_beside_one_that_failed_later_is_found() -> None:
    beside = [replace(run, begin=1.2) if run.chain == "c" else run for run in GIVEN_UP]
    assert any(text.startswith("P3 overlap") for text in violations(beside, WITHOUT_IT))


def test_the_wanted_dead_letters_are_no_violation() -> None:
    assert wrong_letters([LETTER], WANTED, VALUES) == []
    assert wrong_letters([LETTER, LETTER], WANTED, VALUES, copies=1) == []


BAD_LETTERS = {
    "P1": [],
    "P6": [LETTER, replace(LETTER, place=("t", 0, 5))],
    "('t', 0, 4) is 2 times in the dead letter topic": [LETTER, LETTER],
    "('t', 0, 4) is timeout instead of exhausted": [replace(LETTER, disposition="timeout")],
    "P7": [replace(LETTER, value=b"five")],
}


@pytest.mark.parametrize("rule", BAD_LETTERS)
def test_dead_letters_that_break_a_rule_are_found(rule: str) -> None:
    assert any(text.startswith(rule) for text in wrong_letters(BAD_LETTERS[rule], WANTED, VALUES))


def test_dead_letters_out_of_order_are_found() -> None:
    second = replace(LETTER, place=("t", 0, 8))
    wanted = {letter.place: "exhausted" for letter in (LETTER, second)}
    assert wrong_letters([LETTER, second, LETTER], wanted, {}, copies=1) == []
    assert wrong_letters([second, LETTER], wanted, {}) == ["P2 dead letters of ('t', 0): (8, 4)"]


def test_offsets_may_pass_a_dead_letter_and_a_record_that_was_skipped() -> None:
    assert committed_early({("t", 0): 9}, GIVEN_UP, [LETTER], "link1") == []
    assert committed_early({("t", 0): 9}, GIVEN_UP, [], "link1", skipped=[("t", 0, 4)]) == []


def test_an_offset_that_passes_a_record_before_its_dead_letter_is_there_is_found() -> None:
    assert committed_early({("t", 0): 4}, GIVEN_UP, [], "link1") == []
    found = committed_early({("t", 0): 5}, GIVEN_UP, [], "link1")
    assert found == ["P6 committed 5 of t[0], but 4 was neither handled nor dead-lettered"]
