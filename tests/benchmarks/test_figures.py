"""What follows from looking at a run from outside, and what a run that goes wrong is found out by."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import clock
from benchmarks.case import WrongRun
from benchmarks.clock import Look, Parts, figures, watch
from benchmarks.seen import Seen


def _look(at: float, committed: int, *, seen: int | None = None, others: float = 0.0) -> Look:
    """At this second, with 0.4 cores taken by the bridge, 0.3 by workers, 0.1 by Redis, 0.1 by Kafka."""
    spent = {name: share * at for name, share in (("bridge", 0.4), ("workers", 0.3), ("redis", 0.1), ("kafka", 0.1))}
    machine = sum(spent.values()) + others * at
    return Look(at, committed, committed if seen is None else seen, {**spent, "machine": machine}, int(at) * 2**20)


def _steady(records: int = 1000) -> list[Look]:
    """Nothing for two seconds, then a hundred records in each."""
    return [_look(at, max(0, min(records, (at - 2) * 100)), others=0.2) for at in range(13)]


def test_the_rate_is_that_from_ten_to_ninety_percent_committed() -> None:
    found = figures([_look(0, 0), _look(1, 0), _look(2, 100), _look(6, 900), _look(16, 1000)], 1000)
    assert found["rate"] == pytest.approx(200)
    assert found["all_in"] == pytest.approx(1000 / 15)


def test_processor_time_is_counted_from_the_first_record_to_the_last_commit() -> None:
    found = figures(_steady(), 1000)
    assert found["bridge_us"] == pytest.approx(0.4 * 10 / 1000 * 1e6)
    assert found["cpu_ms"] == pytest.approx(0.8 * 10 / 1000 * 1e6)  # without Kafka's


def test_what_happens_before_the_first_commit_counts() -> None:
    found = figures([_look(0, 0), _look(1, 0), _look(2, 0, seen=500), _look(3, 1000)], 1000)
    assert found["bridge_us"] == pytest.approx(0.4 * 2 / 1000 * 1e6)


def test_others_are_what_the_machine_did_beyond_our_processes() -> None:
    assert figures(_steady(), 1000)["others"] == pytest.approx(0.2)


def test_the_tail_begins_when_the_last_record_was_not_yet_seen() -> None:
    looks = [_look(0, 0), _look(1, 500), _look(2, 900, seen=999), _look(3, 900, seen=1000), _look(5, 1000)]
    assert figures(looks, 1000)["tail_s"] == pytest.approx(3)


def test_a_run_that_is_over_between_two_looks_has_a_rate_all_the_same() -> None:
    assert figures([_look(0, 0), _look(2, 1000)], 1000)["rate"] == pytest.approx(500)


@pytest.fixture
def parts() -> Parts:
    """This process as the bridge."""
    return Parts({"bridge": [os.getpid()]})


def test_a_run_that_stands_still_is_wrong(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_PATIENCE_S", 0.0)
    with pytest.raises(WrongRun, match="10 of 20 records are committed"):
        watch(parts, lambda: 10, lambda: 10, 20, 0.001)


def test_looking_ends_when_everything_is_committed(parts: Parts) -> None:
    steps = iter([0, 5, 20])
    assert [look.committed for look in watch(parts, lambda: next(steps), lambda: 0, 20, 0.001)] == [0, 5, 20]


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    """Nothing was seen yet."""
    return Seen.create(tmp_path / "seen")


@pytest.mark.parametrize(
    ("first", "last", "count"), [(0, 9, 10), (11, 19, 9), (10, 19, 9)], ids=["again", "gap", "hole"]
)
def test_what_is_not_next_raises_and_is_marked(seen: Seen, first: int, last: int, count: int) -> None:
    seen.take(3, 0, 9, 10)
    with pytest.raises(ValueError, match="10 was next"):
        seen.take(3, first, last, count)
    assert seen.next_offsets(4) == [0, 0, 0, -1]


def test_all_processes_of_a_run_and_each_of_its_links_are_seen_in_one_file(tmp_path: Path) -> None:
    one = Seen.create(tmp_path / "seen")
    other = Seen(tmp_path / "seen")
    one.take(0, 0, 4, 5)
    other.take(0, 5, 7, 3)
    other.take(0, 0, 1, 2, link=1)
    assert (one.next_offsets(2), one.next_offsets(2, link=1)) == ([8, 0], [2, 0])


@pytest.mark.parametrize(
    "places",
    [[], [(1, 0)], [(1, 0), (1, 1), (0, 0)], [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]],
    ids=["none", "one", "two runs", "mixed"],
)
def test_records_of_several_partitions_may_come_together(seen: Seen, places: Sequence[tuple[int, int]]) -> None:
    seen.take_all(len(places), lambda index: places[index])
    assert seen.next_offsets(2) == [sum(partition == number for partition, _ in places) for number in (0, 1)]


def test_a_record_that_is_missing_among_others_is_found(seen: Seen) -> None:
    places = [(0, 0), (1, 0), (0, 2), (1, 1)]
    with pytest.raises(ValueError, match="of partition 0, 1 was next"):
        seen.take_all(len(places), lambda index: places[index])
