"""The demo's own checks: right evidence passes, and each way of being wrong is noticed and named."""

from collections import Counter
from dataclasses import replace

import pytest

from bridge.cli.demo.checks import Offsets, PartitionReport, Scenario, judge
from bridge.cli.demo.printed import PrintedBatch, parse

SCENARIO = Scenario("test", messages=10, partitions=3)
LINE = "[2026-11-24 09:30:01,042: WARNING/ForkPoolWorker-1] " + (
    'Got batch: [("2", 4), ("5", 10)] test[2] 0..1 by size'
)
RIGHT = (
    PrintedBatch("worker0", "test", 0, 0, 2, "timeout", (("3", 6), ("6", 12), ("9", 18)), ""),
    PrintedBatch("worker1", "test", 1, 0, 1, "size", (("1", 2), ("4", 8)), ""),
    PrintedBatch("worker1", "test", 1, 2, 3, "timeout", (("7", 14), ("10", 20)), ""),
    PrintedBatch("worker0", "test", 2, 0, 2, "timeout", (("2", 4), ("5", 10), ("8", 16)), ""),
)
OFFSETS = {0: Offsets(3, 3), 1: Offsets(4, 4), 2: Offsets(3, 3)}


def _problems(*batches: PrintedBatch, offsets: dict[int, Offsets] = OFFSETS) -> str:
    reports = judge(SCENARIO, batches, offsets)
    return "; ".join(problem for report in reports for problem in report.problems)


def test_a_line_of_a_workers_log_is_read_as_the_batch_that_it_speaks_of() -> None:
    batch = parse("worker0", LINE)
    assert batch == PrintedBatch("worker0", "test", 2, 0, 1, "size", (("2", 4), ("5", 10)), LINE.partition("] ")[2])


def test_other_lines_are_no_batches() -> None:
    assert parse("worker0", "[2026-11-24 09:30:01,042: INFO/MainProcess] Task tasks.celery.show[x] received") is None


def test_the_numbers_of_the_guide_go_to_the_partition_number_mod_three() -> None:
    assert [SCENARIO.partition_of(number) for number in (1, 2, 3)] == [1, 2, 0]
    assert SCENARIO.expected(0) == [("3", 6), ("6", 12), ("9", 18)]
    assert SCENARIO.expected(1) == [("1", 2), ("4", 8), ("7", 14), ("10", 20)]


def test_right_evidence_passes_and_is_what_the_table_shows() -> None:
    reports = judge(SCENARIO, RIGHT, OFFSETS)
    assert reports[1] == PartitionReport(
        partition=1,
        records=4,
        in_order=True,
        triggers=Counter({"size": 1, "timeout": 1}),
        workers=("worker1",),
        offsets=Offsets(4, 4),
    )
    assert _problems(*RIGHT) == ""


def test_an_empty_partition_is_right_when_its_end_is_committed() -> None:
    report = judge(
        Scenario("test", 1, 2), [replace(RIGHT[1], pairs=(("1", 2),), last=0)], {0: Offsets(0, 0), 1: Offsets(1, 1)}
    )
    assert [each.problems for each in report] == [[], []]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (
            replace(RIGHT[0], pairs=(("3", 6), ("6", 13), ("9", 18))),
            "test[0]: 1 results are not the double, first ('6', 13)",
        ),
        (replace(RIGHT[0], pairs=(("3", 6), ("6", 12))), 'test[0]: 1 records not handled, first "9"'),
        (
            replace(RIGHT[0], pairs=(("3", 6), ("6", 12), ("9", 18), ("9", 18))),
            'test[0]: 1 records handled too often, first "9"',
        ),
        (
            replace(RIGHT[0], pairs=(("6", 12), ("3", 6), ("9", 18))),
            "test[0]: its records were not handled once each in the order",
        ),
        (replace(RIGHT[0], first=1, last=3), "test[0]: its records were not handled once each in the order"),
    ],
)
def test_a_wrong_result_a_lost_a_repeated_and_a_misplaced_record_are_named(wrong: PrintedBatch, named: str) -> None:
    assert named in _problems(wrong, *RIGHT[1:])


def test_two_batches_in_the_wrong_order_are_noticed() -> None:
    assert "test[1]: its records were not handled once each in the order" in _problems(
        RIGHT[0], RIGHT[2], RIGHT[1], RIGHT[3]
    )


def test_a_lane_that_ran_on_two_workers_is_noticed() -> None:
    moved = replace(RIGHT[2], worker="worker0")
    assert (
        _problems(RIGHT[0], RIGHT[1], moved, RIGHT[3])
        == "test[1]: its batches ran on several workers: worker0, worker1"
    )


@pytest.mark.parametrize(
    ("offsets", "named"),
    [
        (Offsets(3, 4), "test[1]: committed is 3, the log ends at 4"),
        (Offsets(None, 4), "test[1]: committed is None, the log ends at 4"),
        (Offsets(5, 5), "test[1]: the log ends at 5, but 4 records were produced"),
    ],
)
def test_offsets_that_do_not_agree_are_named(offsets: Offsets, named: str) -> None:
    assert _problems(*RIGHT, offsets={**OFFSETS, 1: offsets}) == named
