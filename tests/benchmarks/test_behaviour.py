"""What the cases of latency, keys and behaviour make of what was noted and heard, and which wrong runs they find."""

from collections.abc import Sequence
from itertools import pairwise
from struct import pack

import pytest

from benchmarks import behaviour, latency
from benchmarks.behaviour import MILLION, TAIL_RECORDS, Look
from benchmarks.case import WrongRun
from benchmarks.commit_log import read_key
from benchmarks.goals import Goal
from benchmarks.keys import Load, check, lanes_apart
from bridge.core.lanes import lane_of


def _text(text: str) -> bytes:
    return pack(">h", len(text)) + text.encode()


def test_the_key_of_a_commit_names_group_topic_and_partition() -> None:
    assert read_key(pack(">h", 1) + _text("a group") + _text("orders") + pack(">i", 7)) == ("a group", "orders", 7)


@pytest.mark.parametrize("key", [b"", pack(">h", 2) + _text("a group")])
def test_other_keys_of_the_log_of_commits_are_passed_over(key: bytes) -> None:
    assert read_key(key) is None


def test_a_record_is_committed_with_the_first_commit_above_it() -> None:
    times = latency.committed_at([(10, 0, 2), (20, 1, 1), (30, 0, 5), (40, 0, 4)])
    assert times == {(0, 0): 10, (0, 1): 10, (1, 0): 20, (0, 2): 30, (0, 3): 30, (0, 4): 30}


def test_a_spread_names_the_worst_of_all() -> None:
    found = latency.spread("start", [float(each) for each in range(1, 101)])
    assert found == {"start_p50_ms": 51.0, "start_p95_ms": 96.0, "start_p99_ms": 100.0, "start_max_ms": 100.0}


@pytest.mark.parametrize("keys", [1, 2, 5, 10, 20])
def test_keys_that_are_apart_have_a_lane_each(keys: int) -> None:
    lanes = lanes_apart(keys)
    assert len({lane_of(b"%d" % key, lanes) for key in range(keys)}) == keys


#: partition, key, which one of the key's records, when it began, when it ended
Note = tuple[int, int, int, int, int]
_LOAD = Load(partitions=1, records=4, keys=2, sleep_s=(0.0, 0.0))
_GOOD: Sequence[Note] = [(0, 0, 0, 10, 15), (0, 1, 0, 11, 19), (0, 0, 1, 15, 20), (0, 1, 1, 20, 25)]


def test_keys_in_order_beside_each_other_are_right() -> None:
    check(_LOAD, [_GOOD])


@pytest.mark.parametrize(
    "notes",
    [
        pytest.param(_GOOD[:3], id="a record is missing at the end"),
        pytest.param([*_GOOD, (0, 1, 1, 30, 35)], id="a record ran twice"),
        pytest.param([_GOOD[2], _GOOD[1], _GOOD[0], _GOOD[3]], id="two records of a key changed places"),
        pytest.param([*_GOOD[:3], (0, 1, 1, 18, 25)], id="two records of a key ran at once"),
    ],
)
def test_keys_out_of_their_turn_are_found_out(notes: Sequence[Note]) -> None:
    with pytest.raises(WrongRun):
        check(_LOAD, [notes])


def test_a_load_deals_all_keys_and_numbers_the_records_of_each() -> None:
    load = Load(partitions=2, records=6, keys=3, sleep_s=(0.0, 0.0))
    records = list(load.records_of(1))
    assert sorted((key, int.from_bytes(value, "big")) for _, key, value in records) == [
        (b"%d" % key, number) for key in range(3) for number in range(2)
    ]
    assert {partition for partition, _, _ in records} == {1}


def test_all_is_committed_with_the_last_partition() -> None:
    heard = [(10 + number, number, TAIL_RECORDS) for number in range(behaviour.PARTITIONS)]
    assert behaviour.all_committed_at(heard) == 10 + behaviour.PARTITIONS - 1
    with pytest.raises(WrongRun, match=r"partitions \[11\]"):
        behaviour.all_committed_at(heard[:-1])


def test_each_million_has_its_own_rate_and_cost() -> None:
    looks = [Look(0.0, [0], 1.0, 0.0), Look(1.0, [0], 1.0, 1.0), Look(3.0, [MILLION], 2.0, 3.0)]
    looks.append(Look(7.0, [2 * MILLION], 3.0, 4.0))
    found = behaviour.by_million(looks)
    assert found["rate_1"] == pytest.approx(MILLION / 2)
    assert found["rate_2"] == pytest.approx(MILLION / 4)
    assert found["last_of_first"] == pytest.approx(0.5)
    assert found["cpu_ms_1"] == pytest.approx(2.0)
    assert found["cpu_ms_2"] == pytest.approx(1.0)


def test_the_memory_is_kept_by_quarters_and_the_most_of_all() -> None:
    looks = [Look(float(number), [number * MILLION // 8], 100.0 + number, 0.0) for number in range(9)]
    looks.append(Look(9.0, [MILLION], 90.0, 0.0))
    found = behaviour.memory(looks)
    assert found == {
        "rss_mib": 108.0,
        "rss_mib_0.25": 102.0,
        "rss_mib_0.50": 104.0,
        "rss_mib_0.75": 106.0,
        "rss_mib_1.00": 108.0,
    }


def test_a_goal_is_a_bound_on_one_side_or_on_both() -> None:
    goals = [Goal("a", "b", at_least=2), Goal("a", "b", at_most=2), Goal("a", "b", 1, 2)]
    assert [[goal.is_reached(value) for value in (1.5, 2, 2.5)] for goal in goals] == [
        [False, True, True],
        [True, True, False],
        [True, True, False],
    ]
    assert [str(goal) for goal in goals] == ["at least 2", "at most 2", "at least 1, at most 2"]


def test_every_goal_is_about_a_case_there_is() -> None:
    from benchmarks.suite import all_cases, all_goals

    ids = [case.id for case in all_cases()]
    assert {goal.case for goal in all_goals()} <= set(ids)
    assert all(one != other for one, other in pairwise(sorted(ids)))
