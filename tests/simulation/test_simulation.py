"""Random histories of the whole system: whatever goes wrong, the promises hold and everything is finished in the end.

A few seeds of every mix stand here for those who change something; many more, or one with its trace: ./run simulate.
"""

from __future__ import annotations

import pytest

from tests.simulation.mixes import MIXES, REGRESSIONS
from tests.simulation.world import World, simulate

SEEDS = 3


@pytest.mark.parametrize("mix", MIXES)
def test_no_promise_is_broken(mix: str) -> None:
    for seed in range(SEEDS):
        simulate(mix, seed)


@pytest.mark.parametrize(("mix", "seed"), [(mix, seed) for mix, seeds in REGRESSIONS.items() for seed in seeds])
def test_a_seed_that_was_red_once_is_green(mix: str, seed: int) -> None:
    simulate(mix, seed)


def test_one_seed_is_one_history() -> None:
    histories = []
    for _ in range(2):
        history: list[str] = []
        World(7, MIXES["everything"], trace=history).run()
        histories.append(history)
    assert histories[0] == histories[1]
    assert len(histories[0]) > 500


def test_lanes_of_one_partition_run_side_by_side() -> None:
    assert max(simulate("keys", seed).truth.max_running for seed in range(10)) >= 3


def test_lanes_with_a_backlog_send_trains() -> None:
    found = [simulate("trains", seed).trains for seed in range(10)]
    assert sum(trains.count for trains in found) > 50
    assert max(trains.longest for trains in found) == 6


def test_a_poisoned_record_stops_its_lane_and_nothing_behind_it_is_committed() -> None:
    stopped = 0
    for seed in range(20):
        world = simulate("poison", seed)
        for tp, offset in world.poison:
            assert world.kafka.committed[tp][0] <= offset or offset not in world.kafka.logs[tp].offsets
        stopped += sum(report.action == "stopped" for _, report in world.reports)
    assert stopped > 10
