"""The one state model: exact fields, unknown values, several bridges."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bridge.entries import Owner
from bridge.ops.state import State, UnreadableState, decode_state, encode_state, merge
from bridge.records import TopicPartition
from tests.ops.samples import ACTIVE, IDLE, RUNNING, TP, WALL_MS, document, with_lane

#: fixed by the public interface, in this order
LANE_FIELDS = (
    *("topic", "partition", "lane", "queue", "owner", "state", "reason"),
    *("committed", "position", "fetched", "end", "lag", "lag_seconds"),
    *("buffered", "attempt", "in_flight", "last_error"),
)


def as_json(state: State) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode_state(state))
    return found


def test_a_lane_begins_with_the_fields_of_the_public_interface() -> None:
    (lane,) = as_json(document(ACTIVE))["lanes"]
    assert tuple(lane)[: len(LANE_FIELDS)] == LANE_FIELDS
    assert {name: lane[name] for name in LANE_FIELDS} == {
        "topic": "orders",
        "partition": 1,
        "lane": 0,
        "queue": "lane-0",
        "owner": "bridge-a",
        "state": "running",
        "reason": RUNNING.reason,
        "committed": 80,
        "position": 85,
        "fetched": 90,
        "end": 100,
        "lag": 20,
        "lag_seconds": 1.5,
        "buffered": 4,
        "attempt": 2,
        "in_flight": {"chain": "g.orders-1.80-89.7-1", "link": 1, "worker": "host.1", "age_seconds": 2.0},
        "last_error": "ValueError: boom",
    }


def test_a_lane_without_a_chain_has_null_in_flight_and_null_last_error() -> None:
    (lane,) = as_json(with_lane())["lanes"]
    assert lane["in_flight"] is None
    assert lane["last_error"] is None
    assert (lane["attempt"], lane["buffered"], lane["lag_seconds"]) == (0, 0, 0.0)


def test_a_link_that_no_worker_has_taken_has_a_null_worker() -> None:
    assert RUNNING.in_flight is not None
    (lane,) = as_json(with_lane(in_flight=replace(RUNNING.in_flight, worker="")))["lanes"]
    assert lane["in_flight"]["worker"] is None


def test_what_is_not_known_yet_is_null() -> None:
    young = replace(ACTIVE, committed=None, position=None, fetched=None)
    (lane,) = as_json(document(young, ends={}))["lanes"]
    assert [lane[name] for name in ("committed", "position", "fetched", "end", "lag")] == [None] * 5


def test_the_lag_is_null_while_the_end_is_unknown() -> None:
    (lane,) = as_json(document(ACTIVE, ends={}))["lanes"]
    assert (lane["committed"], lane["end"], lane["lag"]) == (80, None, None)


def test_records_fetched_beyond_the_last_known_end_move_the_end() -> None:
    (lane,) = as_json(document(ACTIVE, ends={TP: 85}))["lanes"]
    assert (lane["end"], lane["lag"]) == (90, 10)


def test_the_age_is_null_when_the_oldest_record_has_no_timestamp() -> None:
    (buffered,) = as_json(with_lane(buffered=2))["lanes"]
    (in_flight,) = as_json(with_lane(in_flight=RUNNING.in_flight))["lanes"]
    assert (buffered["lag_seconds"], in_flight["lag_seconds"]) == (None, None)


def test_a_timestamp_in_the_future_is_no_negative_age() -> None:
    (lane,) = as_json(with_lane(buffered=1, oldest_timestamp_ms=WALL_MS + 9000))["lanes"]
    assert lane["lag_seconds"] == 0.0


def test_the_document_names_its_bridge_and_what_each_partition_holds() -> None:
    found = as_json(document(replace(ACTIVE, blocked=True, is_full=True)))
    (bridge,) = found["bridges"]
    totals = bridge.pop("totals")
    assert bridge == {"id": "bridge-a", "written_ms": WALL_MS, "partitions": 1, "trouble": ""}
    assert totals["finished"] == 0
    assert found["format"] == 1
    (partition,) = found["partitions"]
    assert partition == {
        "topic": "orders",
        "partition": 1,
        "owner": "bridge-a",
        "owner_number": 7,
        "stage": "active",
        "blocked": True,
        "committed": 80,
        "position": 85,
        "fetched": 90,
        "end": 100,
        "lag": 20,
        "held_bytes": 1234,
        "full": True,
    }


def test_what_is_encoded_is_decoded_unchanged() -> None:
    state = document(ACTIVE, replace(ACTIVE, tp=TopicPartition("hostile <b>\n", 2), lanes=(IDLE,)))
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize("blob", [b"", b"not json", b'{"format": 1, "lanes": [{"topic": 3}]}'])
def test_what_is_no_state_is_refused(blob: bytes) -> None:
    with pytest.raises(UnreadableState, match="run one version of lanebridge in the whole group"):
        decode_state(blob)


def test_an_unknown_format_is_refused_by_number() -> None:
    with pytest.raises(UnreadableState, match=r"format 2, this version knows 1"):
        decode_state(b'{"format": 2, "lanes": [], "partitions": [], "bridges": []}')


# --- several bridges


def test_merging_nothing_gives_an_empty_document() -> None:
    assert as_json(merge([])) == {"lanes": [], "partitions": [], "bridges": [], "format": 1}


def test_all_bridges_of_a_group_make_one_sorted_document() -> None:
    two, ten = (replace(ACTIVE, tp=TopicPartition("orders", number)) for number in (2, 10))
    merged = merge([document(ten, bridge="bridge-b"), document(two, ACTIVE, bridge="bridge-a")])
    assert [(lane.partition, lane.owner) for lane in merged.lanes] == [
        (1, "bridge-a"),
        (2, "bridge-a"),
        (10, "bridge-b"),
    ]
    assert [partition.partition for partition in merged.partitions] == [1, 2, 10]
    assert [(bridge.id, bridge.partitions) for bridge in merged.bridges] == [("bridge-a", 2), ("bridge-b", 1)]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_bridges_with_one_partition_the_higher_owner_number_has_it(turned: bool) -> None:
    old = document(replace(ACTIVE, lanes=(RUNNING, replace(IDLE, lane=1))), wall_ms=WALL_MS + 5000)
    new = document(replace(ACTIVE, owner=Owner(8, "bridge-b"), lanes=(IDLE,)), bridge="bridge-b")
    merged = merge([new, old] if turned else [old, new])
    assert [(lane.lane, lane.owner) for lane in merged.lanes] == [(0, "bridge-b")]
    assert [partition.owner_number for partition in merged.partitions] == [8]
    assert len(merged.bridges) == 2


@pytest.mark.parametrize("turned", [False, True])
def test_of_equal_owner_numbers_the_bridge_that_wrote_last_has_it(turned: bool) -> None:
    old = document(ACTIVE, wall_ms=WALL_MS)
    new = document(ACTIVE, bridge="bridge-b", wall_ms=WALL_MS + 1)
    merged = merge([new, old] if turned else [old, new])
    assert [lane.owner for lane in merged.lanes] == ["bridge-b"]
