"""The life of a chain: handed to the ledger, accepted or refused, published perhaps, acknowledged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.lane import Phase
from bridge.core.repeats import Repeats, Service
from bridge.entries import Failure, Outcome, Seen
from tests.core.bench import KEY_0, KEY_1, OTHER, RULES, TP, Bench, row

KEYED = replace(RULES, order_by="key", lanes=2, batch_size=2)


def dispatched() -> Bench:
    bench = Bench().assign()
    bench.fetch(0, 1, 2)
    return bench


def test_a_dispatch_says_what_it_replaces_and_where_the_owner_stands() -> None:
    bench = dispatched()
    bench.complete()
    bench.fetch(3, 4, 5)
    first, second = bench.take(ef.Dispatch)
    assert first.expect == Seen()
    assert (second.expect.chain, second.expect.link) == (first.chain.id, 1)
    assert second.expect.outcome
    assert (first.base, second.base) == (0, 3)
    assert second.chain.token > first.chain.token


def test_a_dispatch_refused_because_another_owner_has_the_partition_assigns_again() -> None:
    bench = Bench().assign()
    bench.ledger.assign(TP, "zombie", 0)
    bench.fetch(0, 1, 2)
    assert bench.partition().is_active
    assert bench.batches() == [[0, 1, 2], [0, 1, 2]]
    assert bench.lane().phase is Phase.RUNNING
    assert bench.said("reassign") == ["assigning again: the ledger says that another owner has the partition"]


def test_a_dispatch_refused_because_the_lane_has_changed_takes_up_what_is_there() -> None:
    bench = dispatched()
    bench.claim()
    saved = bench.ledger.save()
    bench.complete()
    bench.ledger.roll_back(saved)  # the chain 0..2 runs again
    bench.fetch(3, 4, 5)
    assert bench.lane().phase is Phase.ADOPTED
    bench.complete()
    assert bench.batches()[-1] == [3, 4, 5]
    assert bench.lane().phase is Phase.RUNNING


def test_nothing_of_a_changed_lane_is_dispatched_before_it_was_read() -> None:
    bench = dispatched()
    saved = bench.ledger.save()
    bench.complete()
    bench.ledger.roll_back(saved)
    bench.silent = {ef.ReadLanes}
    bench.fetch(3, 4, 5)
    bench.batches()
    bench.wait(10)
    assert bench.batches() == []
    bench.silent = set()
    bench.carry_out_kept()
    bench.wait(20)
    assert bench.lane().phase in {Phase.RUNNING, Phase.ADOPTED}


def test_a_dispatch_that_was_taken_but_not_heard_and_then_refused_is_taken_up_as_it_is() -> None:
    bench = Bench().assign()
    bench.silent = {ef.Dispatch}
    bench.fetch(0, 1, 2)
    (effect,) = bench.kept
    assert isinstance(effect, ef.Dispatch)
    bench.ledger.dispatch_effect(effect)  # done, the answer was lost
    bench.claim()
    bench.handle(ev.EffectFailed(effect, "silent"))
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.wait(2)  # repeated, and refused: another owner
    assert bench.lane().phase is Phase.ADOPTED
    assert bench.lane().flight.chain == effect.chain.id  # type: ignore[union-attr]
    bench.complete()
    assert bench.committed() == 3
    assert len(bench.batches()) == 2  # the chain and its repetition, the records went once


def test_a_dispatch_that_has_even_reported_before_it_was_refused_is_not_run_again() -> None:
    bench = Bench().assign()
    bench.silent = {ef.Dispatch}
    bench.fetch(0, 1, 2)
    (effect,) = bench.kept
    assert isinstance(effect, ef.Dispatch)
    bench.ledger.dispatch_effect(effect)
    bench.complete(heard=False)
    bench.handle(ev.EffectFailed(effect, "silent"))
    bench.ledger.assign(TP, "zombie", 0)
    bench.silent = set()
    bench.wait(2)
    assert bench.lane().phase is Phase.FREE
    assert bench.committed() == 3


def test_an_outcome_may_be_heard_before_the_dispatch_is_answered() -> None:
    bench = Bench().assign()
    bench.silent = {ef.Dispatch}
    bench.fetch(0, 1, 2)
    (effect,) = bench.kept
    assert isinstance(effect, ef.Dispatch)
    bench.ledger.dispatch_effect(effect)
    bench.complete()
    assert bench.committed() == 3
    bench.silent = set()
    bench.fetch(3, 4, 5)
    running = bench.lane().flight
    bench.carry_out(effect)  # the late answer, and a late repetition: "changed" by now
    assert bench.lane().flight is running
    assert bench.lane().phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("failure", "phase"),
    [
        (Failure(0), Phase.RETRYING),
        (Failure(0, retryable=False), Phase.DISPATCHING),  # the batch is split
        (Failure(0, retryable=False, named=True), Phase.DISPOSING),
    ],
)
def test_a_failure_may_be_heard_before_the_dispatch_is_answered(failure: Failure, phase: Phase) -> None:
    bench = Bench().assign()
    bench.silent = {ef.Dispatch, ef.WriteDeadLetters}
    bench.fetch(0, 1, 2)
    (effect,) = bench.kept
    assert isinstance(effect, ef.Dispatch)
    bench.ledger.dispatch_effect(effect)
    bench.complete(Outcome("failed", 0, failure))
    assert bench.lane().phase is phase
    bench.handle(ev.Dispatched(TP, effect.serial, 0, effect.chain.id, ev.DispatchAnswer.OK))
    assert bench.lane().phase is phase


@pytest.mark.parametrize("arrived", [True, False])
def test_a_dispatch_under_way_during_a_reassignment_is_found_again_or_goes_again(arrived: bool) -> None:
    bench = Bench().assign()
    bench.silent = {ef.Dispatch}
    bench.fetch(0, 1, 2)
    (effect,) = bench.kept
    assert isinstance(effect, ef.Dispatch)
    if arrived:
        bench.ledger.dispatch_effect(effect)
    bench.silent = set()
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.lane().phase is Phase.RUNNING
    same = bench.lane().flight.chain == effect.chain.id  # type: ignore[union-attr]
    assert same is arrived
    running = bench.lane().flight
    bench.carry_out(effect)  # late: its owner number is no longer valid, its answer nobody's
    assert bench.lane().flight is running


def test_a_dispatch_under_way_during_a_reassignment_gives_way_to_the_chain_that_is_there() -> None:
    bench = dispatched()
    bench.claim()
    saved = bench.ledger.save()
    bench.fail(0)
    bench.silent = {ef.Dispatch}
    bench.wait(5)
    assert bench.lane().phase is Phase.DISPATCHING
    bench.ledger.roll_back(saved)
    bench.silent = set()
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    assert bench.lane().phase is Phase.ADOPTED
    bench.complete()
    assert bench.committed() == 3


def test_answers_to_another_chain_than_the_one_on_its_way_change_nothing() -> None:
    bench = Bench().assign()
    bench.silent = {ef.Dispatch}
    bench.fetch(0, 1, 2)
    serial = bench.partition().serial
    for lane, chain in ((0, "another"), (5, "another")):
        bench.handle(ev.Dispatched(TP, serial, lane, chain, ev.DispatchAnswer.OK))
    assert bench.lane().phase is Phase.DISPATCHING


# --- publishing -------------------------------------------------------------------------------------------------------


def test_a_link_that_may_not_have_reached_its_queue_is_published_again_until_it_surely_has() -> None:
    bench = dispatched()
    chain = bench.lane().flight.chain  # type: ignore[union-attr]
    serial = bench.partition().serial
    bench.handle(ev.Published(TP, serial, 0, chain, 1, False))
    assert bench.core.repeats.trouble == "the Celery broker cannot be reached"
    bench.silent = {ef.PublishLink}
    bench.wait(0.2)
    (again,) = bench.kept
    assert (again.chain, again.link, again.first, again.last) == (chain, 1, 0, 2)  # type: ignore[union-attr]
    bench.handle(ev.Published(TP, serial, 0, chain, 1, True))
    assert bench.core.repeats.trouble == ""


def test_a_link_is_not_published_again_when_its_chain_has_reported() -> None:
    bench = dispatched()
    chain = bench.lane().flight.chain  # type: ignore[union-attr]
    bench.handle(ev.Published(TP, bench.partition().serial, 0, chain, 1, False))
    bench.complete()
    bench.take(ef.PublishLink)
    bench.wait(60)
    assert bench.take(ef.PublishLink) == []
    bench.handle(ev.Published(TP, bench.partition().serial, 0, chain, 1, False))
    assert bench.take(ef.PublishLink) == []


def test_an_unsure_publish_from_before_a_reassignment_is_repeated_all_the_same() -> None:
    bench = dispatched()
    chain, serial = bench.lane().flight.chain, bench.partition().serial  # type: ignore[union-attr]
    bench.partition().reassign("a test")
    bench.handle(ev.Tick())
    bench.take(ef.PublishLink)
    bench.handle(ev.Published(TP, serial, 0, chain, 1, False))
    bench.wait(0.5)
    assert len(bench.take(ef.PublishLink)) == 1


# --- effects that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ef.AskKafka, ef.AssignOwner, ef.Commit, ef.Restore, ef.Dispatch])
def test_an_effect_that_fails_is_repeated_until_it_is_answered(kind: type) -> None:
    bench = Bench()
    bench.failing = {kind}
    bench.assign()
    bench.fetch(0, 1, 2)
    bench.wait(20)
    assert len(bench.take(kind)) > 5
    bench.failing = set()
    bench.wait(10)
    bench.fetch(*(() if kind is ef.Dispatch else (0, 1, 2)))
    bench.complete()
    assert bench.committed() == 3


def test_the_pause_between_repetitions_grows_and_is_bounded() -> None:
    bench = Bench()
    bench.failing = {ef.AskKafka}
    bench.assign()
    pauses = [bench.seconds_until(ef.AskKafka) for _ in range(7)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert bench.said("unreachable") == ["out of reach; trying again until it answers"]


def test_a_reading_that_fails_is_the_next_ones_business() -> None:
    bench = dispatched()
    bench.failing = {ef.ReadLanes}
    bench.take(ef.ReadLanes)
    bench.wait(10)
    assert 8 <= len(bench.take(ef.ReadLanes)) <= 11
    bench.failing = set()
    bench.complete(heard=False)
    bench.wait(2)
    assert bench.committed() == 3


def test_a_reading_without_any_answer_is_given_up() -> None:
    bench = dispatched()
    bench.silent = {ef.ReadLanes}
    bench.wait(3)
    bench.take(ef.ReadLanes)
    bench.wait(16)
    assert len(bench.take(ef.ReadLanes)) == 1


def test_a_fault_that_could_not_be_set_is_repeated_while_the_chain_is_in_flight() -> None:
    bench = dispatched()
    bench.claim()
    chain = bench.lane().flight.chain  # type: ignore[union-attr]
    bench.failing = {ef.SetFault}
    bench.handle(ev.ErrorHeard(f"{chain}-1", "FAILURE", "WorkerLostError", "killed", "w1"))
    bench.wait(3)
    assert len(bench.take(ef.SetFault)) > 2
    bench.failing = set()
    bench.wait(3)
    assert bench.lane().flight.chain != chain  # type: ignore[union-attr]
    bench.take(ef.SetFault)
    bench.wait(9)
    assert bench.take(ef.SetFault) == []


def test_a_terminate_that_could_not_be_sent_is_repeated_as_long_as_somebody_waits_for_it() -> None:
    bench = dispatched()
    bench.claim()
    chain = bench.lane().flight.chain  # type: ignore[union-attr]
    bench.failing = {ef.TerminateLinks}
    failure = Failure(0, "timeout", exception="LinkTimeout")
    bench.ledger.fault(TP, 0, chain, 1, "w1", Outcome("failed", 0, failure))
    for event in bench.notices():
        bench.handle(event)
    bench.wait(4)
    assert len(bench.take(ef.TerminateLinks)) > 3
    bench.wait(4)
    bench.take(ef.TerminateLinks)
    bench.wait(4)
    assert bench.take(ef.TerminateLinks) == []


def test_a_rule_change_without_answer_is_assigned_again() -> None:
    old = Bench().assign()
    old.handle(ev.Lost((TP,)))
    bench = Bench(KEYED, beside=old, name="b2")
    bench.failing = {ef.ChangeRule}
    bench.assign()
    bench.wait(3)
    assert bench.partition().rule == "partition"
    bench.failing = set()
    bench.wait(3)
    assert bench.partition().rule == "key:2"
    assert bench.partition().is_active


def test_effects_of_a_partition_that_is_gone_are_not_repeated() -> None:
    bench = Bench()
    bench.failing = {ef.AskKafka}
    bench.assign()
    bench.handle(ev.Revoked((TP,)))
    bench.failing = set()
    bench.effects.clear()
    bench.wait(10)
    assert bench.take(ef.AskKafka) == []


def test_an_outage_leaves_no_pile_of_effects_behind() -> None:
    repeats = Repeats()
    reports: list[ef.Effect] = []
    for _ in range(100):
        repeats.failed(ef.PublishLink(TP, 1, 0, "c", 1, 0, 2), "away", 10.0, reports.append)
        repeats.failed(ef.PublishLink(OTHER, 1, 0, "c", 1, 0, 2), "away", 10.0, reports.append)
    assert len(reports) == 1
    assert len(repeats.due(100.0)) == 2
    assert repeats.wake_at == float("inf")


def test_one_service_that_answers_does_not_speak_for_another() -> None:
    repeats = Repeats()
    repeats.failed(ef.AskKafka(TP, 1), "Kafka is away", 10.0, lambda effect: None)
    repeats.failed(ef.PublishLink(TP, 1, 0, "c", 1, 0, 2), "Redis is away", 10.0, lambda effect: None)
    repeats.succeeded(Service.LEDGER)
    assert repeats.trouble == "Kafka is away; Redis is away"
    repeats.succeeded(Service.KAFKA)
    assert repeats.trouble == "Redis is away"


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_bridge_that_is_going_to_end_dispatches_nothing_more_and_goes_on_committing() -> None:
    bench = Bench(KEYED).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_0), row(2, KEY_1), row(3, KEY_0), row(4, KEY_0))
    bench.handle(ev.Stop())
    bench.complete(lane=0)
    bench.wait(10)
    assert bench.batches() == [[0, 1]]
    assert bench.committed() == 2


def test_lanes_that_wait_for_room_are_not_dispatched_when_the_bridge_is_going_to_end() -> None:
    bench = Bench(KEYED, in_flight_bytes=1).assign()
    bench.fetch(row(0, KEY_0), row(1, KEY_0), row(2, KEY_1), row(3, KEY_1))
    assert bench.batches() == [[0, 1]]
    bench.handle(ev.Stop())
    bench.complete(lane=0)
    assert bench.batches() == []
