"""When positions are committed: coalesced, one at a time, dirty until the broker has said yes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.commits import Metadata, read_metadata, write_metadata
from tests.core.bench import OTHER, RULES, TP, Bench

ONE = replace(RULES, batch_size=1)


def busy(**config: object) -> Bench:
    bench = Bench(ONE, **config).assign(TP, OTHER)  # type: ignore[arg-type]
    bench.fetch(0, 1, 2, 3)
    bench.fetch(0, 1, 2, 3, tp=OTHER)
    bench.take(ef.Commit)
    return bench


def committed(bench: Bench) -> list[dict[int, int]]:
    return [{tp.partition: entry.offset for tp, entry in commit.entries.items()} for commit in bench.take(ef.Commit)]


def test_at_most_one_commit_is_in_flight_and_the_next_carries_all_partitions_latest_positions() -> None:
    bench = busy()
    bench.silent = {ef.Commit}
    bench.complete()
    bench.complete()
    bench.complete(tp=OTHER)
    bench.complete()
    assert committed(bench) == [{0: 1}]
    bench.silent = set()
    bench.carry_out_kept()
    assert committed(bench) == [{0: 3, 1: 1}]


def test_nothing_new_is_not_committed() -> None:
    bench = busy()
    bench.wait(100)
    assert committed(bench) == []


def test_commits_keep_their_interval() -> None:
    bench = busy(commit_interval=5.0)
    bench.wait(5)
    bench.complete()
    assert committed(bench) == [{0: 1}]
    bench.complete()
    bench.complete(tp=OTHER)
    bench.wait(4.9)
    assert committed(bench) == []
    bench.wait(0.2)
    assert committed(bench) == [{0: 2, 1: 1}]


def test_the_confirmation_of_an_assignment_does_not_wait_for_the_interval() -> None:
    bench = Bench(ONE, commit_interval=60.0)
    bench.answer = ev.CommitAnswer.AGAIN
    bench.assign(TP)
    bench.answer = ev.CommitAnswer.OK
    bench.wait(0.3)
    bench.assign(OTHER)
    assert bench.partition(TP).is_active
    assert bench.partition(OTHER).is_active


def test_a_refused_commit_stays_dirty_and_backs_off() -> None:
    bench = busy()
    bench.answer = ev.CommitAnswer.AGAIN
    bench.complete()
    assert bench.said("commit") == ["commit of 1 not confirmed: no; the commit is submitted again"]
    pauses = [bench.seconds_until(ef.Commit) for _ in range(7)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    bench.answer = ev.CommitAnswer.OK
    bench.wait(5)
    assert bench.committed() == 1
    bench.complete()
    assert bench.committed() == 2  # at once: the back-off is over


def test_a_commit_that_could_not_be_submitted_is_submitted_again() -> None:
    bench = busy()
    bench.failing = {ef.Commit}
    bench.complete()
    bench.wait(1)
    assert len(committed(bench)) >= 3
    bench.failing = set()
    bench.wait(5)
    assert bench.committed() == 1


def test_a_commit_without_any_answer_is_given_up_in_the_end() -> None:
    bench = busy()
    bench.silent = {ef.Commit}
    bench.complete()
    bench.wait(89)
    assert len(committed(bench)) == 1
    bench.silent = set()
    bench.wait(2)
    assert bench.committed() == 1


def test_the_answer_to_the_last_commit_of_a_revoked_partition_does_not_let_another_overtake() -> None:
    bench = busy()
    bench.silent = {ef.Commit}
    bench.complete()
    bench.complete(tp=OTHER)
    assert committed(bench) == [{0: 1}]
    bench.handle(ev.Revoked((OTHER,)))
    assert committed(bench) == [{1: 1}]
    last = bench.kept.pop()
    bench.complete()
    bench.carry_out(last)
    assert committed(bench) == []  # the first is still under way
    bench.silent = set()
    bench.carry_out_kept()
    assert committed(bench) == [{0: 2}]


def test_an_answer_to_an_offset_that_was_not_submitted_last_is_not_the_answer() -> None:
    bench = busy()
    bench.silent = {ef.Commit}
    bench.complete()
    serial = bench.partition().serial
    bench.handle(ev.CommitAnswered({TP: (serial, 0, ev.CommitAnswer.OK, "")}))
    bench.handle(ev.CommitAnswered({}))
    bench.complete()
    assert committed(bench) == [{0: 1}]
    assert bench.partition().confirmed == 0


def test_a_late_answer_never_lowers_what_is_confirmed() -> None:
    bench = busy()
    bench.complete()
    bench.complete()
    serial = bench.partition().serial
    bench.handle(ev.CommitAnswered({TP: (serial, 1, ev.CommitAnswer.OK, "")}))
    assert bench.partition().confirmed == 2


def test_a_member_that_is_fenced_forgets_the_partition_and_ends() -> None:
    bench = busy()
    bench.answer = ev.CommitAnswer.FENCED
    bench.complete()
    (end,) = bench.take(ef.GiveUp)
    assert end.text == "the group has fenced this member: no"
    assert TP not in bench.core.partitions
    bench.wait(100)
    assert committed(bench) == [{0: 1}]


def test_an_answer_for_a_partition_that_is_gone_is_dropped() -> None:
    bench = busy()
    bench.silent = {ef.Commit}
    bench.complete()
    (commit,) = bench.kept
    bench.handle(ev.Lost((TP,)))
    bench.silent = set()
    bench.carry_out(commit)
    assert TP not in bench.core.partitions


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("lanebridge/1 owner=12 topic=AbC-1", Metadata(12, "AbC-1")),
        ("lanebridge/1 owner=12 topic=", Metadata(12, "")),
        ("", None),
        ("lanebridge/1 owner=x topic=a", None),
        ("lanebridge/2 owner=1 topic=a", None),
        ("something else", None),
    ],
)
def test_only_our_own_metadata_is_understood(text: str, read: Metadata | None) -> None:
    assert read_metadata(text) == read
    if read is not None:
        assert write_metadata(*read) == text
