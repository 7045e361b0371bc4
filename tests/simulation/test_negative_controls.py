"""The simulation can fail: each defect put into the core or the ledger is found within a few seeds.

The mutations live here alone. A check that nothing turns red checks nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.core import events as ev
from bridge.core.dispatching import Dispatching
from bridge.core.disposing import Disposing
from bridge.core.lane import TABLE, Lane, Phase, Signal
from bridge.core.partition import Partition, Stage
from bridge.entries import Outcome, Seen
from tests.simulation.ledger import ClaimsAnyLink, ClaimsTwice, Ledger, NeverCompares
from tests.simulation.truth import Violation
from tests.simulation.world import simulate

SEEDS = 60


def first_red(mix: str, promises: tuple[str, ...], ledger: Callable[[Callable[[], int]], Ledger] = Ledger) -> int:
    """The first seed that breaks one of these promises. Raises AssertionError when none does."""
    for seed in range(SEEDS):
        try:
            simulate(mix, seed, ledger)
        except Violation as violation:
            if str(violation).startswith(promises):
                return seed
    raise AssertionError(f"{SEEDS} seeds of '{mix}' and none broke {promises}")


def test_committing_the_highest_instead_of_the_contiguous_position_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def highest(partition: Partition) -> None:
        marks = [lane.watermark for lane in partition.lanes.values()]
        partition.position = max([partition.position, *marks])
        partition.config.wants_commit(partition.tp)

    monkeypatch.setattr(Partition, "advance", highest)
    first_red("keys", ("P1",))


def test_committing_what_was_fetched_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(partition: Partition) -> None:
        if partition.expected is not None:
            partition.position = partition.expected
            partition.config.wants_commit(partition.tp)

    monkeypatch.setattr(Partition, "advance", fetched)
    first_red("calm", ("P1",))


def test_dispatching_the_next_batch_before_the_last_is_finished_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatched = Dispatching.dispatched

    def dispatched_and_done_with(dispatching: Dispatching, event: ev.Dispatched, now: float) -> None:
        dispatched(dispatching, event, now)
        partition = dispatching._core.partitions.get(event.tp)
        lane = partition.lanes.get(event.lane) if partition is not None else None
        if partition is not None and lane is not None and lane.phase is Phase.RUNNING:
            del dispatching._core.chains[event.chain]
            lane.phase, lane.flight = Phase.FREE, None
            dispatching._core.settle_down(partition, (lane,), now)

    monkeypatch.setattr(Dispatching, "dispatched", dispatched_and_done_with)
    first_red("calm", ("P1", "P2"))


def test_retrying_behind_the_next_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is put aside for later, the lane goes on."""
    monkeypatch.setitem(TABLE, (Phase.RUNNING, Signal.FAIL), Phase.FREE)
    first_red("workers", ("P1", "P2", "t["))


def test_no_confirming_commit_at_assignment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def confirm_nothing(partition: Partition) -> None:
        partition.stage = Stage.CONFIRMING
        assert partition.start is not None
        partition.commit_confirmed(partition.start.offset)

    monkeypatch.setattr(Partition, "_confirm", confirm_nothing)
    first_red("flush", ("P1", "P4", "P9"))


def test_dispatching_without_comparing_is_found() -> None:
    first_red("noise", ("P2", "P3", "P4"), NeverCompares)


def test_a_claim_that_does_not_ask_for_the_current_chain_is_found() -> None:
    first_red("noise", ("P3",), ClaimsAnyLink)


def test_a_claim_that_two_may_hold_is_found() -> None:
    first_red("noise", ("P3",), ClaimsTwice)


def test_forgetting_what_the_lane_was_seen_as_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused dispatch is sent again without looking at what is there."""
    monkeypatch.setattr(Lane, "unsure", property(lambda lane: False, lambda lane, value: None), raising=False)
    first_red("rollback", ("P", "b"))


def test_a_lane_that_nobody_wakes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatching, "set_timer", lambda dispatching, lane, at: None)
    first_red("calm", ("P5",))


def test_a_dead_letter_that_the_broker_is_not_waited_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    dispose = Disposing._dispose

    def settle_at_once(disposing: Disposing, partition: Partition, lane: Lane, outcome: Outcome, now: float) -> None:
        dispose(disposing, partition, lane, outcome, now)
        if lane.writing is not None and lane.writing.letters:
            disposing._settle(partition, lane, now)

    monkeypatch.setattr(Disposing, "_dispose", settle_at_once)
    first_red("gaps in the answers", ("P1",))


def test_a_timeout_that_counts_as_a_success_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    take_outcome = Lane.take_outcome

    def forgive(lane: Lane, seen: Seen, outcome: Outcome) -> bool:
        assert lane.flight is not None
        if outcome.failure is not None and outcome.failure.kind == "timeout":
            outcome = Outcome("ok", lane.flight.part_last + 1)
        return take_outcome(lane, seen, outcome)

    monkeypatch.setattr(Lane, "take_outcome", forgive)
    first_red("hang", ("P1", "P2"))


def test_dropping_what_follows_a_failed_record_in_its_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    dispose = Disposing._dispose

    def dispose_of_all(disposing: Disposing, partition: Partition, lane: Lane, outcome: Outcome, now: float) -> None:
        dispose(disposing, partition, lane, outcome, now)
        if lane.writing is not None and lane.flight is not None:
            lane.writing = replace(lane.writing, upto=lane.flight.last + 1)

    monkeypatch.setattr(Disposing, "_dispose", dispose_of_all)
    first_red("gaps in the answers", ("P1",))
