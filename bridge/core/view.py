"""What the core looks like from outside: one frozen view per partition and lane, for every page, table and metric.

`view` reads, never writes. STATE says which word a lane's phase gets; `bridge.core.words` says why, in a sentence for
a person at night. What is not known yet is None. Cheap: it is called once a second with hundreds of partitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bridge.core import words
from bridge.core.lane import Lane, Phase
from bridge.core.lanes import lane_count
from bridge.entries import Outcome, Owner
from bridge.records import TopicPartition

if TYPE_CHECKING:
    from bridge.core.bridge import Core
    from bridge.core.partition import Partition

LaneState = Literal["idle", "filling", "running", "retrying", "paused", "stalled", "stopped", "adopting"]

#: seconds after which an assignment, or a dispatch that the ledger has not answered, counts as stalled
STUCK_AFTER = 15.0

#: how many offsets at stake, and characters of a traceback, a view carries
NAMED_OFFSETS, TRACEBACK_END = 20, 2000

#: the word for a phase; a FREE lane that holds records is `filling`, and whatever does not move is `stalled`
STATE: dict[Phase, LaneState] = {
    Phase.FREE: "idle",
    Phase.DISPATCHING: "running",
    Phase.RUNNING: "running",
    Phase.ADOPTED: "adopting",
    Phase.RETRYING: "retrying",
    Phase.DISPOSING: "retrying",
    Phase.STOPPED: "stopped",
}

#: a lane in one of these states may still move by itself
MOVING: frozenset[LaneState] = frozenset({"running", "retrying", "adopting", "filling", "stalled"})

#: a lane in one of these waits for a person
STANDING: frozenset[LaneState] = frozenset({"stopped", "paused"})

#: the phases in which a chain is on its way
_UNDER_WAY = frozenset({Phase.DISPATCHING, Phase.RUNNING, Phase.ADOPTED})


@dataclass(frozen=True, slots=True)
class FlightView:
    """A chain on its way. `link` counts from 1, `worker` is "" until one has taken the link, `age_seconds` counts
    from its dispatch (or from when this bridge took it up)."""

    chain: str
    link: int
    worker: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane. `attempt` is the attempt in flight or the last one (0: none), `buffered` counts the records that wait
    behind it, `oldest_timestamp_ms` is that of the first unfinished record (None: none is held, or it has none).
    `first_unfinished` is that record's offset, `at_stake` are the offsets that stopped the last chain and that an
    operator may skip, `retry_in` the seconds until the next attempt (None: none is waited for), `max_attempts` how many
    there may be, `paused` by whom and since when ("" not), `traceback` that of `last_error`."""

    lane: int
    state: LaneState
    reason: str
    attempt: int
    in_flight: FlightView | None
    last_error: str
    buffered: int
    oldest_timestamp_ms: int | None
    first_unfinished: int | None = None
    at_stake: tuple[int, ...] = ()
    retry_in: float | None = None
    max_attempts: int = 0
    paused: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One partition that this bridge has. `committed` is what the broker has confirmed, `position` what may be
    committed, `fetched` the next offset to come, None when not known yet. `blocked`: it stands behind a stopped or
    paused lane, and no other lane of it has anything left that it could do."""

    tp: TopicPartition
    owner: Owner
    stage: str
    committed: int | None
    position: int | None
    fetched: int | None
    blocked: bool
    held_bytes: int
    is_full: bool
    lanes: tuple[LaneView, ...]


def view(core: Core, now: float) -> tuple[PartitionView, ...]:
    """Every partition of this bridge at time `now` (seconds, the core's clock), in order of topic and number."""
    return tuple(_partition_view(core, core.partitions[tp], now) for tp in sorted(core.partitions))


def _partition_view(core: Core, partition: Partition, now: float) -> PartitionView:
    is_full = core.buffers.is_full(partition.tp)
    if partition.lanes:
        lanes = tuple(_lane_view(core, partition, lane, now) for lane in partition.lanes.values())
    else:
        lanes = _lanes_to_come(core, partition, now)
    return PartitionView(
        tp=partition.tp,
        owner=partition.owner,
        stage=partition.stage.value,
        committed=_known(partition.confirmed),
        position=_known(partition.position),
        fetched=partition.expected,
        blocked=partition.is_active and _is_blocked(lanes, all_read=partition.flushes or is_full),
        held_bytes=partition.held_bytes,
        is_full=is_full,
        lanes=lanes,
    )


def _known(offset: int) -> int | None:
    return offset if offset >= 0 else None


def _is_blocked(lanes: tuple[LaneView, ...], *, all_read: bool) -> bool:
    """`all_read`: no record can come for another lane before the standing ones move."""
    states = {lane.state for lane in lanes}
    stands = states & STANDING
    return bool(stands) and not states & MOVING and (all_read or states == stands)


def _lanes_to_come(core: Core, partition: Partition, now: float) -> tuple[LaneView, ...]:
    """Before the first start a partition has no lanes: the ones it is going to have."""
    state: LaneState = "stalled" if _is_stuck(partition, now) else "adopting"
    reason = words.assigning(core, partition, now)
    return tuple(LaneView(index, state, reason, 0, None, "", 0, None) for index in range(lane_count(partition.rule)))


def _lane_view(core: Core, partition: Partition, lane: Lane, now: float) -> LaneView:
    flight = lane.flight
    timestamp = lane.oldest_timestamp_ms
    pause = core.operators.pause_of(lane.tp, lane.index)
    in_flight = None
    if flight is not None and lane.phase in _UNDER_WAY:
        worker = flight.claim.worker if flight.claim is not None else ""
        in_flight = FlightView(flight.chain, flight.link, worker, max(0.0, now - flight.dispatched_at))
    return LaneView(
        lane=lane.index,
        state=_state(core, partition, lane, now),
        reason=words.reason(core, partition, lane, now),
        attempt=flight.attempt if flight is not None else 0,
        in_flight=in_flight,
        last_error=lane.last_error,
        buffered=lane.buffered,
        oldest_timestamp_ms=timestamp if timestamp is not None and timestamp >= 0 else None,
        first_unfinished=lane.first_unfinished,
        at_stake=lane.at_stake[:NAMED_OFFSETS],
        retry_in=max(0.0, lane.retry_at - now) if lane.phase is Phase.RETRYING else None,
        max_attempts=lane.rules.retry.max_attempts,
        paused=str(pause) if pause is not None else "",
        traceback=_traceback(lane.outcome) if lane.outcome is not None and lane.at_stake else "",
    )


def _traceback(outcome: Outcome) -> str:
    fault = outcome.rejected[0] if outcome.rejected else outcome.failure
    return fault.traceback[-TRACEBACK_END:] if fault is not None else ""


def _state(core: Core, partition: Partition, lane: Lane, now: float) -> LaneState:
    if lane.phase is Phase.STOPPED:
        return "stopped"
    if not partition.is_active:
        return "stalled" if _is_stuck(partition, now) else "adopting"
    if lane.phase not in _UNDER_WAY and core.operators.pause_of(lane.tp, lane.index) is not None:
        return "paused"
    if lane.stalled or (lane.phase is Phase.DISPATCHING and _is_unanswered(core, lane, now)):
        return "stalled"
    if lane.phase is Phase.FREE and lane.buffered:
        return "filling"
    return STATE[lane.phase]


def _is_stuck(partition: Partition, now: float) -> bool:
    return now - partition.since >= STUCK_AFTER


def _is_unanswered(core: Core, lane: Lane, now: float) -> bool:
    return lane.flight is not None and now - lane.flight.dispatched_at >= STUCK_AFTER
