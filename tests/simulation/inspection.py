"""What must hold inside a core after every event: nothing forgotten, nothing counted twice, nobody left asleep."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from bridge.core.batching import ROW_OVERHEAD_BYTES, rows_bytes
from bridge.core.bridge import Core
from bridge.core.dispatching import READY
from bridge.core.lane import Lane, Phase
from bridge.core.partition import Partition, Stage
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.bridges import SimBridge
    from tests.simulation.world import World

WITH_CHAIN = {Phase.DISPATCHING, Phase.RUNNING, Phase.ADOPTED}


def inspect(world: World, bridge: SimBridge) -> None:
    """Look at the whole core. Raises Violation."""
    core = bridge.core
    chains = {}
    for tp, partition in core.partitions.items():
        if partition.position >= 0 and bridge.era(tp) == world.truth.eras[tp]:
            world.truth.below(tp, partition.position, f"{bridge.name} stands at")
        for lane in partition.lanes.values():
            if lane.phase in WITH_CHAIN:
                assert lane.flight is not None
                chains[lane.flight.chain] = (tp, lane.index)
            check_lane(core, partition, lane, world.now)
        if world.steps % 4 == 0:
            check_memory(partition)
        check_commit(core, partition)
    if chains != core.chains:
        raise Violation(f"{bridge.name}: chains {core.chains}, in flight {chains}")
    check_buffers(core, bridge)


def check_lane(core: Core, partition: Partition, lane: Lane, now: float) -> None:
    """A lane that may go has gone, or somebody will look at it in time."""
    flight = lane.flight
    if (lane.phase is Phase.FREE) != (flight is None):
        raise Violation(f"{lane.tp} lane {lane.index} is {lane.phase} with {flight}")
    if not partition.is_active or core.stopping or (lane.tp, lane.index) in core.dispatching._starved:
        return
    if lane.phase in READY and core.operators.pause_of(lane.tp, lane.index) is not None:
        return
    due = float("inf")
    if lane.phase is Phase.FREE:
        due = now if lane.batcher.has_closed else lane.batcher.deadline
    elif lane.phase is Phase.RETRYING and not lane.unsure:
        assert flight is not None
        assert partition.expected is not None
        due = lane.retry_at if partition.expected > flight.last else float("inf")
    elif lane.phase is Phase.DISPOSING and lane.writing is None:
        assert flight is not None
        assert partition.expected is not None
        due = max(lane.retry_at, flight.publish_after) if partition.expected > flight.last else float("inf")
    elif lane.phase in WITH_CHAIN and lane.phase is not Phase.DISPATCHING:
        assert flight is not None
        due = flight.publish_after or float("inf")
    if due < float("inf") and (due <= now or lane.timer_at > due):
        times = f"due {due}, now {now}, alarm {lane.timer_at}"
        raise Violation(f"P5: {lane.tp} lane {lane.index} ({lane.phase}) sleeps: {times}")


def check_memory(partition: Partition) -> None:
    """What is counted is what is there."""
    waiting = rows_bytes(partition.waiting) + ROW_OVERHEAD_BYTES * len(partition.waiting)
    held = waiting + sum(lane.weight for lane in partition.lanes.values())
    if partition.held_bytes != held:
        raise Violation(f"P8: {partition.tp} counts {partition.held_bytes} bytes, holds {held}")
    for lane in partition.lanes.values():
        rows = [*(lane.flight.rows if lane.flight else ()), *lane.batcher.rows()]
        if lane.weight != rows_bytes(rows) + ROW_OVERHEAD_BYTES * len(rows):
            raise Violation(f"P8: {partition.tp} lane {lane.index} weighs {lane.weight}")
        if any(a[0] >= b[0] for a, b in pairwise(rows)):
            raise Violation(f"P2: {partition.tp} lane {lane.index} holds rows out of order")


def check_commit(core: Core, partition: Partition) -> None:
    """Whoever wants to commit is known."""
    if partition.wanted_commit is not None and not core.commits.is_dirty(partition.tp):
        raise Violation(f"P5: {partition.tp} wants to commit {partition.wanted_commit.offset}, nobody knows")
    if partition.stage is Stage.CLEARING and partition.clear_at < float("inf") and partition.tp not in core._clearing:
        raise Violation(f"P5: {partition.tp} waits for ever to be cleared")


def check_buffers(core: Core, bridge: SimBridge) -> None:
    """The memory is bounded, and the consumer does what the core believes."""
    share, slack = core.buffers.share_bytes, 13 * (bridge.world.mix.value_bytes + ROW_OVERHEAD_BYTES + 10)
    for tp, partition in core.partitions.items():
        fetching = bridge.fetching.get(tp)
        if partition.expected is None or fetching is None:
            continue
        is_full = partition.held_bytes > 2 * share + slack and not partition.must_read_on
        if is_full and not (bridge.hold or fetching.paused):
            raise Violation(f"P8: {tp} holds {partition.held_bytes} bytes, its share is {share}, and goes on reading")
        if not bridge.hold and fetching.paused != core.buffers.is_full(tp):
            raise Violation(f"{tp}: paused {fetching.paused}, full {core.buffers.is_full(tp)}")
    in_flight = sum(core.in_flight._bytes.values())
    if in_flight != core.in_flight.total_bytes:
        raise Violation(f"P8: {core.in_flight.total_bytes} bytes in flight counted, {in_flight} are")
