"""A lane's queue is a pure function, the same for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.records import lane_queue

topics = st.text(min_size=1, max_size=40)
partitions = st.integers(0, 10_000)
queues = st.integers(1, 4096)


@pytest.mark.parametrize(
    ("topic", "partition", "lane", "lane_queues", "queue"),
    [
        ("test", 0, 0, 16, "lane-3"),
        ("test", 1, 0, 16, "lane-4"),
        ("test", 2, 0, 16, "lane-5"),
        ("orders", 0, 0, 16, "lane-13"),
        ("orders", 0, 7, 16, "lane-4"),
        ("orders", 11, 0, 5, "lane-0"),
        ("größe", 0, 0, 4096, "lane-2793"),
        ("orders", 3, 2, 1, "lane-0"),
    ],
)
def test_these_lanes_have_these_queues_for_ever(
    topic: str, partition: int, lane: int, lane_queues: int, queue: str
) -> None:
    """Another hash would send lanes to other queues in a rolling deploy: links of one lane on two queues."""
    assert lane_queue(topic, partition, lane, lane_queues) == queue


@given(topics, partitions, st.integers(0, 1024), queues)
def test_it_is_one_of_the_lane_queues(topic: str, partition: int, lane: int, lane_queues: int) -> None:
    name, _, number = lane_queue(topic, partition, lane, lane_queues).partition("-")
    assert name == "lane"
    assert 0 <= int(number) < lane_queues


@given(topics, partitions, queues)
def test_neighbours_share_no_queue_while_there_are_enough(topic: str, partition: int, lane_queues: int) -> None:
    by_partition = {lane_queue(topic, partition + n, 0, lane_queues) for n in range(min(lane_queues, 32))}
    by_lane = {lane_queue(topic, partition, n, lane_queues) for n in range(min(lane_queues, 32))}
    assert len(by_partition) == len(by_lane) == min(lane_queues, 32)


def test_topics_of_one_partition_spread_over_the_queues() -> None:
    used = {lane_queue(f"topic-{n}", 0, 0, 16) for n in range(200)}
    assert len(used) == 16
