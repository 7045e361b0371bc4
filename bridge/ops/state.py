"""The one state model: what every view of the system shows, computed here and nowhere else.

Each bridge makes its `State` once a second, serves it as `/api/lanes` and publishes it to Redis; `merge` makes one of
all bridges of a group. The field names are public. What is not known yet is null. Offsets are Kafka's; `committed`,
`position`, `fetched` and `end` are the next offset after what they speak of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from bridge.core.view import FlightView, LaneState, LaneView, PartitionView
from bridge.errors import LanebridgeError
from bridge.ops.totals import Totals
from bridge.records import TopicPartition

#: the number of this form of the document
STATE_FORMAT = 1

#: states in the order in which lanes are shown, those that need a person first
WORST_FIRST: tuple[LaneState, ...] = (
    "stopped",
    "stalled",
    "paused",
    "retrying",
    "adopting",
    "running",
    "filling",
    "idle",
)

_NOTHING_DONE = Totals()

QueueOf = Callable[[TopicPartition, int], str]


class UnreadableState(LanebridgeError):
    """A bridge of the group publishes its state in another form: run one version of lanebridge in the whole group."""

    def __init__(self, detail: object) -> None:
        super().__init__(f"{str(UnreadableState.__doc__).removesuffix('.')} ({detail})")


class InFlight(msgspec.Struct, frozen=True):
    """A chain on its way: `link` counts from 1, `worker` is null until one has taken the link."""

    chain: str
    link: int
    worker: str | None
    age_seconds: float


class Lane(msgspec.Struct, frozen=True):
    """One lane. `owner` is the bridge that has it. `committed` is the offset that the broker has confirmed, `position`
    the first one that is not finished, `fetched` the next to come from Kafka, `end` the end of the log, `lag` = end -
    committed: all five are the partition's. `lag_seconds` is the age of the lane's oldest unfinished record, 0 when it
    has none; `buffered` counts the records that wait behind the chain in flight; `attempt` is 0 when none was made, of
    at most `max_attempts`, and `retry_in_seconds` says when the next one goes (null: none is waited for).
    `first_unfinished` is the offset that the lane stands at, `at_stake` those that stopped its last chain (an operator
    may skip them), `paused` says by whom and since when (null: it is not), `traceback` is that of `last_error`."""

    topic: str
    partition: int
    lane: int
    queue: str
    owner: str
    state: LaneState
    reason: str
    committed: int | None
    position: int | None
    fetched: int | None
    end: int | None
    lag: int | None
    lag_seconds: float | None
    buffered: int
    attempt: int
    in_flight: InFlight | None
    last_error: str | None
    first_unfinished: int | None = None
    at_stake: tuple[int, ...] = ()
    max_attempts: int = 0
    retry_in_seconds: float | None = None
    paused: str | None = None
    traceback: str | None = None


class Partition(msgspec.Struct, frozen=True):
    """One partition. `owner_number` is the fence, the higher one is the true owner; `stage` says how far its
    assignment is; `blocked`: it stands behind a stopped lane and nothing else of it can go on; `held_bytes` is what it
    holds in memory, `full` that it fetches no more until it holds less."""

    topic: str
    partition: int
    owner: str
    owner_number: int
    stage: str
    blocked: bool
    committed: int | None
    position: int | None
    fetched: int | None
    end: int | None
    lag: int | None
    held_bytes: int
    full: bool


class Bridge(msgspec.Struct, frozen=True):
    """One bridge process: its id, when it wrote this (milliseconds since 1970), how many partitions it has, what it
    cannot reach ("" nothing), and what it has done so far."""

    id: str
    written_ms: int
    partitions: int
    trouble: str = ""
    totals: Totals = Totals()


class State(msgspec.Struct, frozen=True):
    """The whole document: of one bridge, or merged of all bridges of the group."""

    lanes: tuple[Lane, ...] = ()
    partitions: tuple[Partition, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    format: int = STATE_FORMAT


def state_document(
    views: Sequence[PartitionView],
    *,
    bridge_id: str,
    ends: Mapping[TopicPartition, int],
    queue_of: QueueOf,
    wall_ms: int,
    trouble: str = "",
    totals: Totals = _NOTHING_DONE,
) -> State:
    """The state of one bridge. `ends` are the ends of the logs as far as known, `queue_of(tp, lane)` names the lane's
    queue, `wall_ms` is the time (milliseconds since 1970), `trouble` what cannot be reached, `totals` what was done."""
    lanes: list[Lane] = []
    partitions: list[Partition] = []
    for view in views:
        partition = _partition(view, bridge_id, _end(view, ends.get(view.tp)))
        partitions.append(partition)
        lanes.extend(_lane(view.tp, lane, partition, queue_of, wall_ms) for lane in view.lanes)
    bridge = Bridge(bridge_id, wall_ms, len(partitions), trouble, totals)
    return State(tuple(lanes), tuple(partitions), (bridge,))


def _end(view: PartitionView, end: int | None) -> int | None:
    """The log ends at `fetched` at the earliest, whatever the last question to Kafka said."""
    return end if end is None or view.fetched is None else max(end, view.fetched)


def _partition(view: PartitionView, bridge_id: str, end: int | None) -> Partition:
    lag = max(0, end - view.committed) if end is not None and view.committed is not None else None
    return Partition(
        topic=view.tp.topic,
        partition=view.tp.partition,
        owner=bridge_id,
        owner_number=view.owner.number,
        stage=view.stage,
        blocked=view.blocked,
        committed=view.committed,
        position=view.position,
        fetched=view.fetched,
        end=end,
        lag=lag,
        held_bytes=view.held_bytes,
        full=view.is_full,
    )


def _lane(tp: TopicPartition, view: LaneView, partition: Partition, queue_of: QueueOf, wall_ms: int) -> Lane:
    flight = view.in_flight
    return Lane(
        topic=tp.topic,
        partition=tp.partition,
        lane=view.lane,
        queue=queue_of(tp, view.lane),
        owner=partition.owner,
        state=view.state,
        reason=view.reason,
        committed=partition.committed,
        position=partition.position,
        fetched=partition.fetched,
        end=partition.end,
        lag=partition.lag,
        lag_seconds=_lag_seconds(view, wall_ms),
        buffered=view.buffered,
        attempt=view.attempt,
        in_flight=_in_flight(flight) if flight is not None else None,
        last_error=view.last_error or None,
        first_unfinished=view.first_unfinished,
        at_stake=view.at_stake,
        max_attempts=view.max_attempts,
        retry_in_seconds=None if view.retry_in is None else round(view.retry_in, 3),
        paused=view.paused or None,
        traceback=view.traceback or None,
    )


def _in_flight(flight: FlightView) -> InFlight:
    return InFlight(flight.chain, flight.link, flight.worker or None, round(flight.age_seconds, 3))


def _lag_seconds(view: LaneView, wall_ms: int) -> float | None:
    """Null when the oldest unfinished record carries no timestamp, or has not been read again yet."""
    if view.oldest_timestamp_ms is not None:
        return round(max(0, wall_ms - view.oldest_timestamp_ms) / 1000.0, 3)
    return None if view.buffered or view.in_flight is not None else 0.0


def merge(states: Iterable[State]) -> State:
    """One state of all bridges of a group, sorted. Two bridges may both publish a partition for a moment: the one
    with the higher owner number has it (of equal numbers, the one that wrote last)."""
    documents = sorted(states, key=lambda state: max((b.written_ms for b in state.bridges), default=0))
    owners: dict[tuple[str, int], tuple[int, int, Partition]] = {}
    for index, state in enumerate(documents):
        for partition in state.partitions:
            key, found = (partition.topic, partition.partition), (partition.owner_number, index, partition)
            owners[key] = max(owners.get(key, found), found, key=lambda entry: entry[:2])
    lanes = [
        lane
        for index, state in enumerate(documents)
        for lane in state.lanes
        if owners[lane.topic, lane.partition][1] == index
    ]
    return State(
        lanes=tuple(sorted(lanes, key=lambda lane: (lane.topic, lane.partition, lane.lane))),
        partitions=tuple(owners[key][2] for key in sorted(owners)),
        bridges=tuple(sorted((b for state in documents for b in state.bridges), key=lambda b: b.id)),
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(State)


def encode_state(state: State) -> bytes:
    """As JSON."""
    return _encoder.encode(state)


def decode_state(blob: bytes) -> State:
    """From JSON. Raises UnreadableState when it is none, or of another format."""
    try:
        state = _decoder.decode(blob)
    except msgspec.DecodeError as error:
        raise UnreadableState(error) from None
    if state.format != STATE_FORMAT:
        raise UnreadableState(f"format {state.format}, this version knows {STATE_FORMAT}")
    return state
