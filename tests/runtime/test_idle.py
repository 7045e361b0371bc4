"""When the work is done, and when only what is stuck is left."""

from __future__ import annotations

import pytest

from bridge.entries import NOBODY, Owner
from bridge.ops.state import Lane, Partition, State
from bridge.records import TopicPartition
from bridge.runtime.idle import PAUSED, STOPPED, stuck_code


def _state(state: str, *, blocked: bool) -> State:
    lane = Lane("t", 0, 0, "lane-0", "b", state, "", 1, 1, 1, 1, 0, 0.0, 0, 1, None, None)  # type: ignore[arg-type]
    return State((lane,), (Partition("t", 0, "b", 1, "active", blocked, 1, 1, 1, 1, 0, 0, False),))


OWNER = Owner(1, "b")
T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


@pytest.mark.parametrize(("state", "code"), [("stopped", STOPPED), ("paused", PAUSED)])
def test_partitions_that_stand_behind_a_stopped_or_paused_lane_end_the_run(state: str, code: int) -> None:
    assert stuck_code({T0: OWNER}, _state(state, blocked=True)) == code


def test_a_partition_that_still_moves_does_not_end_the_run() -> None:
    assert stuck_code({T0: OWNER}, _state("running", blocked=False)) is None


def test_a_partition_that_nobody_reports_does_not_end_the_run() -> None:
    assert stuck_code({T0: OWNER, T1: OWNER}, _state("stopped", blocked=True)) is None


@pytest.mark.parametrize("owner", [Owner(2, "b"), Owner(1, "later"), NOBODY])
def test_what_an_earlier_owner_said_does_not_end_the_run(owner: Owner) -> None:
    assert stuck_code({T0: owner}, _state("stopped", blocked=True)) is None
