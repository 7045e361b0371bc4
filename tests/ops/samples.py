"""Views and states as a running bridge would make them."""

from __future__ import annotations

from dataclasses import replace

from bridge.core.view import FlightView, LaneView, PartitionView
from bridge.entries import Owner
from bridge.ops.state import State, state_document
from bridge.records import TopicPartition

WALL_MS = 1_700_000_000_000
TP = TopicPartition("orders", 1)

IDLE = LaneView(0, "idle", "waiting for records from offset 90 on", 0, None, "", 0, None)
RUNNING = replace(
    IDLE,
    state="running",
    reason="link 1 of 2 (parse) has been running on host.1 for 2.0 s",
    attempt=2,
    in_flight=FlightView("g.orders-1.80-89.7-1", 1, "host.1", 2.00049),
    last_error="ValueError: boom",
    buffered=4,
    oldest_timestamp_ms=WALL_MS - 1500,
)

ACTIVE = PartitionView(
    tp=TP,
    owner=Owner(7, "bridge-a"),
    stage="active",
    committed=80,
    position=85,
    fetched=90,
    blocked=False,
    held_bytes=1234,
    is_full=False,
    lanes=(RUNNING,),
)


def document(
    *views: PartitionView,
    bridge: str = "bridge-a",
    ends: dict[TopicPartition, int] | None = None,
    wall_ms: int = WALL_MS,
) -> State:
    """The state of one bridge with these partitions."""
    known = {TP: 100} if ends is None else ends
    return state_document(
        views, bridge_id=bridge, ends=known, queue_of=lambda tp, lane: f"lane-{lane}", wall_ms=wall_ms
    )


def with_lane(**changes: object) -> State:
    """The state of a bridge with one lane, idle but for `changes`."""
    return document(replace(ACTIVE, lanes=(replace(IDLE, **changes),)))  # type: ignore[arg-type]
