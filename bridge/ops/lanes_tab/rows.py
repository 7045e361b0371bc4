"""Lanes as the page lists them: one frozen row per lane, equal as long as there is nothing new to send.

`since_ms` is when this Flower first saw the lane in its state; `since_known` is false when it already was when Flower
began to look, so that it may be longer.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bridge.instructions import Instructions, Target
from bridge.ops.lanes_tab.advice import advice
from bridge.ops.state import Bridge, Lane, State

#: characters of an error that the list shows; the detail shows all
ERROR_SHOWN = 300


class Row(msgspec.Struct, frozen=True):
    """A lane in the list: fields of `bridge.ops.state.Lane`, times as moments (milliseconds since 1970). `pauses` are
    the targets whose pauses hold it."""

    key: str
    topic: str
    partition: int
    lane: int
    queue: str
    owner: str
    state: str
    reason: str
    since_ms: int
    since_known: bool
    advice: str
    committed: int | None
    position: int | None
    fetched: int | None
    end: int | None
    lag: int | None
    lag_seconds: float | None
    buffered: int
    attempt: int
    max_attempts: int
    retry_at_ms: int | None
    first_unfinished: int | None
    at_stake: tuple[int, ...]
    paused: str | None
    pauses: tuple[Target, ...]
    error: str | None
    chain: str | None


def target_of(lane: Lane) -> Target:
    """The lane as an operator names it."""
    return Target(lane.topic, lane.partition, lane.lane)


class Rows:
    """Makes the rows of each reading, and remembers since when each lane is in its state."""

    def __init__(self) -> None:
        self._since: dict[Target, tuple[str, int, bool]] = {}
        self._has_begun = False

    def make(self, state: State, wanted: Instructions, at_ms: int) -> dict[str, Row]:
        """The rows at `at_ms`, by key (`topic/partition/lane`)."""
        bridges = {bridge.id: bridge for bridge in state.bridges}
        since: dict[Target, tuple[str, int, bool]] = {}
        rows: dict[str, Row] = {}
        for lane in state.lanes:
            target = target_of(lane)
            before = self._since.get(target)
            same = before is not None and before[0] == lane.state
            since[target] = before if same and before else (lane.state, at_ms, self._has_begun)
            row = _row(lane, since[target], bridges, wanted)
            rows[row.key] = row
        self._since = since
        self._has_begun = self._has_begun or bool(state.bridges)
        return rows


def _row(lane: Lane, since: tuple[str, int, bool], bridges: Mapping[str, Bridge], wanted: Instructions) -> Row:
    target, written_ms = target_of(lane), bridges[lane.owner].written_ms if lane.owner in bridges else since[1]
    retry_in = lane.retry_in_seconds
    return Row(
        key=f"{lane.topic}/{lane.partition}/{lane.lane}",
        topic=lane.topic,
        partition=lane.partition,
        lane=lane.lane,
        queue=lane.queue,
        owner=lane.owner,
        state=lane.state,
        reason=lane.reason,
        since_ms=since[1],
        since_known=since[2],
        advice=advice(lane),
        committed=lane.committed,
        position=lane.position,
        fetched=lane.fetched,
        end=lane.end,
        lag=lane.lag,
        lag_seconds=lane.lag_seconds,
        buffered=lane.buffered,
        attempt=lane.attempt,
        max_attempts=lane.max_attempts,
        retry_at_ms=None if retry_in is None else round((written_ms + retry_in * 1000) / 100) * 100,
        first_unfinished=lane.first_unfinished,
        at_stake=lane.at_stake,
        paused=lane.paused,
        pauses=tuple(pause.target for pause in wanted.pauses if pause.target.covers(target)),
        error=lane.last_error and lane.last_error[:ERROR_SHOWN],
        chain=lane.in_flight.chain if lane.in_flight is not None else None,
    )
