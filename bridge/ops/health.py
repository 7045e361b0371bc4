"""Whether this bridge lives and moves, in truth: what `/healthz` and `/readyz` answer. Pure functions.

Alive: its loop has turned lately; if not, restart the process. Ready: it has joined its group (also as a standby
without partitions), Kafka and the ledger answer, and no lane of it is stalled or stopped. Lanes that retry, are
paused by a person, or wait for a busy worker are named as notes and do not make it unready: nothing is broken there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec

from bridge.ops.state import Lane, State

#: seconds without a turn of the loop after which the process counts as dead
LOOP_LIMIT = 20.0

#: how many lanes an answer names; the rest is counted
NAMED_LANES = 20

BRAKE_NOTE = "the outage brake holds: most lanes fail, no record is given up"

BROKEN = frozenset({"stalled", "stopped"})
NOTEWORTHY = frozenset({"retrying", "paused"})


@dataclass(frozen=True, slots=True)
class HealthInput:
    """What health is judged from, beside the state. `last_turn` is when the loop turned last (seconds, the clock that
    judges later). `joined`: the group has answered an assignment once, be it empty. `kafka_trouble` says in words
    what does not answer ("" all is well). `brake_holds`: no record is given up, because most lanes fail."""

    last_turn: float
    joined: bool
    ledger_answers: bool = True
    kafka_trouble: str = ""
    brake_holds: bool = False
    stopping: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """`reasons` say why not, `notes` what else is worth knowing."""

    ok: bool
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def liveness(health: HealthInput, now: float) -> Verdict:
    """Alive at time `now`, or what to restart it for."""
    reasons = _loop_reasons(health, now)
    return Verdict(not reasons, reasons)


def readiness(health: HealthInput, state: State, now: float) -> Verdict:
    """Assigned and moving at time `now`, or every reason why not."""
    reasons = [*_loop_reasons(health, now), *_connection_reasons(health, state), *_lane_texts(state, BROKEN)]
    notes = [BRAKE_NOTE] if health.brake_holds else []
    return Verdict(not reasons, tuple(reasons), (*notes, *_lane_texts(state, NOTEWORTHY)))


def _loop_reasons(health: HealthInput, now: float) -> tuple[str, ...]:
    age = now - health.last_turn
    if age < LOOP_LIMIT:
        return ()
    return (f"the bridge's loop has not turned for {age:.0f} s (limit {LOOP_LIMIT:.0f} s); restart the process",)


def _connection_reasons(health: HealthInput, state: State) -> list[str]:
    reasons = []
    if health.stopping:
        reasons.append("the bridge is stopping")
    if not health.joined:
        reasons.append("the consumer group has not answered yet")
    if not health.ledger_answers:
        reasons.append("the ledger (Redis) does not answer; nothing is dispatched until it does")
    if health.kafka_trouble:
        reasons.append(f"Kafka does not answer: {health.kafka_trouble}")
    reasons += [bridge.trouble for bridge in state.bridges if bridge.trouble]
    return reasons


def _lane_texts(state: State, states: frozenset[str]) -> list[str]:
    found = [lane for lane in state.lanes if lane.state in states]
    texts = [_lane_text(lane) for lane in found[:NAMED_LANES]]
    if len(found) > NAMED_LANES:
        rest = Counter(lane.state for lane in found[NAMED_LANES:])
        texts.append("and " + ", ".join(f"{count} more {name}" for name, count in sorted(rest.items())))
    return texts


def _lane_text(lane: Lane) -> str:
    return f"{lane.topic}[{lane.partition}] lane {lane.lane} is {lane.state}: {lane.reason}"
