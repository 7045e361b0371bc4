"""Liveness and readiness tell the truth, and every reason at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core.view import LaneState
from bridge.ops.health import BRAKE_NOTE, LOOP_LIMIT, HealthInput, Verdict, liveness, readiness
from bridge.ops.snapshot import Snapshot
from bridge.ops.state import State, decode_state
from tests.ops.samples import ACTIVE, IDLE, TP, document, with_lane

NOW = 1000.0
WELL = HealthInput(last_turn=NOW - 0.1, joined=True)
STUCK = replace(WELL, last_turn=NOW - LOOP_LIMIT)


def test_a_bridge_whose_loop_turns_and_whose_lanes_move_is_alive_and_ready() -> None:
    assert liveness(WELL, NOW) == Verdict(True)
    assert readiness(WELL, document(ACTIVE), NOW) == Verdict(True)


def test_a_loop_that_does_not_turn_is_neither_alive_nor_ready() -> None:
    reason = "the bridge's loop has not turned for 20 s (limit 20 s); restart the process"
    assert liveness(STUCK, NOW) == Verdict(False, (reason,))
    assert readiness(STUCK, document(ACTIVE), NOW).reasons == (reason,)


def test_a_standby_without_partitions_that_has_joined_is_ready() -> None:
    assert readiness(WELL, State(), NOW) == Verdict(True)


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        (replace(WELL, joined=False), "the consumer group has not answered yet"),
        (replace(WELL, stopping=True), "the bridge is stopping"),
        (
            replace(WELL, ledger_answers=False),
            "the ledger (Redis) does not answer; nothing is dispatched until it does",
        ),
        (replace(WELL, kafka_trouble="all brokers down"), "Kafka does not answer: all brokers down"),
    ],
)
def test_what_does_not_answer_makes_it_unready_but_leaves_it_alive(health: HealthInput, reason: str) -> None:
    assert readiness(health, State(), NOW) == Verdict(False, (reason,))
    assert liveness(health, NOW).ok


def test_what_the_bridge_cannot_reach_is_a_reason() -> None:
    state = document(ACTIVE)
    (bridge,) = state.bridges
    troubled = State(state.lanes, state.partitions, (type(bridge)(bridge.id, bridge.written_ms, 1, "cannot publish"),))
    assert readiness(WELL, troubled, NOW).reasons == ("cannot publish",)


@pytest.mark.parametrize("state", ["stalled", "stopped"])
def test_a_lane_that_does_not_move_makes_it_unready_and_is_named_with_its_reason(state: LaneState) -> None:
    verdict = readiness(WELL, with_lane(state=state, reason="no worker consumes lane-0"), NOW)
    assert verdict == Verdict(False, (f"orders[1] lane 0 is {state}: no worker consumes lane-0",))


@pytest.mark.parametrize("state", ["retrying", "paused"])
def test_a_lane_that_waits_as_it_should_is_a_note(state: LaneState) -> None:
    verdict = readiness(WELL, with_lane(state=state, reason="by somebody"), NOW)
    assert verdict == Verdict(True, (), (f"orders[1] lane 0 is {state}: by somebody",))


def test_the_outage_brake_is_a_note_before_the_lanes_that_it_holds() -> None:
    state = with_lane(state="retrying", reason="outage brake")
    verdict = readiness(replace(WELL, brake_holds=True), state, NOW)
    assert verdict == Verdict(True, (), (BRAKE_NOTE, "orders[1] lane 0 is retrying: outage brake"))


@pytest.mark.parametrize("state", ["idle", "filling", "running", "adopting"])
def test_a_lane_at_work_is_not_mentioned(state: LaneState) -> None:
    assert readiness(WELL, with_lane(state=state), NOW) == Verdict(True)


def test_all_reasons_are_told_at_once() -> None:
    health = HealthInput(NOW - 60, False, ledger_answers=False, kafka_trouble="down", stopping=True)
    assert len(readiness(health, with_lane(state="stopped"), NOW).reasons) == 6


def test_many_lanes_are_counted_instead_of_named() -> None:
    lanes = [replace(IDLE, lane=n, state="stalled") for n in range(21)]
    lanes += [replace(IDLE, lane=n, state="stopped") for n in range(21, 24)]
    reasons = readiness(WELL, document(replace(ACTIVE, lanes=tuple(lanes))), NOW).reasons
    assert len(reasons) == 21
    assert reasons[-1] == "and 1 more stalled, 3 more stopped"


# --- the snapshot


def test_a_new_snapshot_is_alive_for_a_while_and_not_ready() -> None:
    snapshot = Snapshot(started=NOW)
    assert snapshot.liveness(NOW + LOOP_LIMIT - 1).ok
    assert not snapshot.liveness(NOW + LOOP_LIMIT).ok
    assert snapshot.readiness(NOW).reasons == ("the consumer group has not answered yet",)
    assert decode_state(snapshot.lanes_json) == State()


def test_an_update_replaces_state_and_health_together_and_returns_what_is_served() -> None:
    snapshot = Snapshot(started=0.0)
    state = with_lane(state="stopped", reason="poison")
    published = snapshot.update(state, WELL)
    assert published == snapshot.lanes_json
    assert decode_state(published) == state
    assert snapshot.liveness(NOW).ok
    assert snapshot.readiness(NOW).reasons == (f"{TP} lane 0 is stopped: poison",)


def test_a_snapshot_that_is_not_updated_any_more_grows_old() -> None:
    snapshot = Snapshot(started=0.0)
    snapshot.update(State(), WELL)
    assert not snapshot.liveness(NOW + LOOP_LIMIT).ok
