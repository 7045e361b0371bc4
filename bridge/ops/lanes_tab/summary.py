"""The head of the page: is the group well, and if not, which sentence says it best."""

from __future__ import annotations

from collections import Counter

import msgspec

from bridge.core.view import LaneState
from bridge.ops.state import WORST_FIRST, Lane, State

#: states that need a person
BROKEN: frozenset[LaneState] = frozenset({"stopped", "stalled"})


class Summary(msgspec.Struct, frozen=True):
    """`health` is good, attention or broken; `headline` says why. `rate` is in records a second, null until it can be
    known; `oldest_seconds` is the age of the oldest unfinished record, null where no lane knows."""

    health: str
    headline: str
    troubles: tuple[str, ...]
    lag: int
    rate: float | None
    oldest_seconds: float | None
    oldest_lane: str
    bridges: int
    partitions: int
    lanes: int
    states: dict[LaneState, int]


def summarize(state: State, group: str, rate: float | None) -> Summary:
    """The head of this state."""
    counts = Counter(lane.state for lane in state.lanes)
    troubles = tuple(f"bridge {bridge.id}: {bridge.trouble}" for bridge in state.bridges if bridge.trouble)
    health, headline = _judge(state, group, counts, troubles)
    oldest = max(state.lanes, key=lambda lane: lane.lag_seconds or 0.0, default=None)
    known = [lane.lag_seconds for lane in state.lanes if lane.lag_seconds is not None]
    return Summary(
        health=health,
        headline=headline,
        troubles=troubles,
        lag=sum(partition.lag or 0 for partition in state.partitions),
        rate=rate,
        oldest_seconds=max(known, default=None),
        oldest_lane=_name(oldest) if oldest is not None and oldest.lag_seconds else "",
        bridges=len(state.bridges),
        partitions=len(state.partitions),
        lanes=len(state.lanes),
        states={name: counts[name] for name in WORST_FIRST if counts[name]},
    )


def _judge(state: State, group: str, counts: Counter[LaneState], troubles: tuple[str, ...]) -> tuple[str, str]:
    if not state.bridges:
        return "broken", f"No bridge of group {group} is running. Start one: lanebridge run"
    if broken := sum(counts[name] for name in BROKEN):
        parts = [f"{counts[name]} {name}" for name in WORST_FIRST if name in BROKEN and counts[name]]
        return "broken", f"{_lanes(broken)} {'stands' if broken == 1 else 'stand'} still: {', '.join(parts)}"
    if troubles:
        return "broken", "A bridge cannot reach what it needs"
    return _judge_moving(state, counts)


def _judge_moving(state: State, counts: Counter[LaneState]) -> tuple[str, str]:
    if counts["paused"]:
        return "attention", f"{_lanes(counts['paused'])} paused by a person, all others move"
    if counts["retrying"]:
        return "attention", f"{_lanes(counts['retrying'])} tried again after an error, all others move"
    return ("good", "All lanes move") if state.lanes else ("attention", "The bridges have no partitions yet")


def _lanes(number: int) -> str:
    return f"{number} lane{'' if number == 1 else 's'}"


def _name(lane: Lane) -> str:
    return f"{lane.topic}/{lane.partition}/{lane.lane}"
