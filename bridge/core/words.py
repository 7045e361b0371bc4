"""Why a lane stands where it stands: one sentence for a person at night.

Each sentence says what the lane waits for, since when, and what happens next. WORDS has one function per phase; an
assignment under way and an unreachable service come before everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.core.lane import Lane, Phase
from bridge.instructions import Pause

if TYPE_CHECKING:
    from bridge.core.bridge import Core
    from bridge.core.partition import Partition

#: what has begun is ended, also when the lane is paused
BEGUN = frozenset({Phase.DISPATCHING, Phase.RUNNING, Phase.ADOPTED, Phase.STOPPED})

Words = Callable[["Core", "Partition", Lane, float], str]


def reason(core: Core, partition: Partition, lane: Lane, now: float) -> str:
    """The sentence for this lane at time `now`."""
    if lane.phase is not Phase.STOPPED and not partition.is_active:
        return assigning(core, partition, now)
    text = WORDS[lane.phase](core, partition, lane, now)
    pause = core.operators.pause_of(lane.tp, lane.index)
    return text if pause is None else _paused(lane, pause, text)


def assigning(core: Core, partition: Partition, now: float) -> str:
    """An assignment under way: nothing is dispatched before it is through."""
    text = f"taking over the partition for {span(now - partition.since)}: {partition.stage.value}"
    return text + _trouble(core)


def span(seconds: float) -> str:
    """A duration, short: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def size(bytes_: int) -> str:
    """A size, short: `900 B`, `12 KiB`, `48.0 MiB`."""
    if bytes_ < 1024:
        return f"{bytes_} B"
    return f"{bytes_ / 1024:.0f} KiB" if bytes_ < 1024 * 1024 else f"{bytes_ / (1024 * 1024):.1f} MiB"


def _paused(lane: Lane, pause: Pause, text: str) -> str:
    """Paused lanes end what they have begun; `text` says what that is, or what they stand at."""
    if lane.phase in BEGUN:
        return f"{text}; {pause}: nothing follows"
    go_on = f"it goes on with: lanebridge resume {pause.target}"
    held = lane.buffered + (len(lane.flight.rows) if lane.flight is not None else 0)
    return f"{pause}; {_records(held)} wait; {go_on}{f'; before: {text}' if lane.reason else ''}"


# --- one function per phase -------------------------------------------------------------------------------------------


def _free(core: Core, partition: Partition, lane: Lane, now: float) -> str:
    if not lane.buffered:
        return _idle(core, partition, lane)
    if core.stopping:
        return f"the bridge is stopping; {_records(lane.buffered)} stay for the next owner"
    if not core.in_flight.has_room():
        held = size(core.in_flight.total_bytes)
        return f"{_records(lane.buffered)} wait until chains end: in_flight_bytes is used up ({held} in flight)"
    if lane.batcher.has_closed:
        return "a batch is ready and goes at once"
    left = lane.batcher.deadline - now
    when = f"closes by timeout in {span(left)}" if left > 0 else "closes now, by timeout"
    return f"filling a batch: {lane.buffered} of {lane.rules.batch_size} records, {when}{_full(core, partition, lane)}"


def _idle(core: Core, partition: Partition, lane: Lane) -> str:
    if full := _full(core, partition, lane):
        return f"waiting for records{full}"
    if partition.barrier is not None:
        rules = f"from {partition.rule} to {partition.rules.rule} at offset {partition.barrier}"
        return f"the lane rule changes {rules}; waiting until everything below is finished ({partition.position})"
    if partition.position > partition.confirmed:
        return f"waiting for records; the commit of {partition.position} is not confirmed yet ({partition.confirmed})"
    return f"waiting for records from offset {partition.expected} on"


def _dispatching(core: Core, partition: Partition, lane: Lane, now: float) -> str:
    assert lane.flight is not None
    age = span(now - lane.flight.dispatched_at)
    return f"handed to the ledger {age} ago, waiting for its answer{_trouble(core)}"


def _in_flight(core: Core, partition: Partition, lane: Lane, now: float) -> str:
    flight = lane.flight
    assert flight is not None
    whose = "" if lane.phase is Phase.RUNNING else "chain of the partition's last owner: "
    task = flight.task(lane.rules, flight.link)
    hook = f"on_failed ({task or 'of an earlier declaration'})"
    link = hook if flight.is_hook else f"link {flight.link} of {lane.rules.links} ({task})"
    again = f", attempt {flight.attempt}" if flight.attempt > 1 and not flight.is_hook else ""
    if lane.reason:
        goes_on = ", it goes on by itself as soon as that changes" if lane.stalled else ""
        age = span(now - flight.dispatched_at)
        return f"{whose}{lane.reason}; {link}{again} was dispatched {age} ago{goes_on}{_trouble(core)}"
    if flight.claim is not None:
        since = span(now - flight.claimed_at)
        return f"{whose}{link}{again} has been running on {flight.claim.worker} for {since}{_trouble(core)}"
    queue = core.config.queue_of(lane.tp, lane.index, flight.queue_link(flight.link))
    return f"{whose}{link}{again} has been in queue {queue} for {span(now - flight.published_at)}{_trouble(core)}"


def _retrying(core: Core, partition: Partition, lane: Lane, now: float) -> str:
    flight = lane.flight
    assert flight is not None
    why = lane.reason or "the ledger does not hold this chain any more; its records go again"
    if lane.unsure:
        return "the ledger holds another chain than expected; it is read, and what is there is taken up"
    if partition.expected is not None and partition.expected <= flight.last:
        return f"{why}; waiting until records up to {flight.last} are read again (at {partition.expected})"
    if now < lane.retry_at:
        return f"{why}; next attempt in {span(lane.retry_at - now)}"
    if core.stopping:
        return f"{why}; the bridge is stopping, the next owner tries again"
    if not core.in_flight.has_room():
        return f"{why}; waiting until chains end: in_flight_bytes is used up"
    return f"{why}; next attempt now"


def _disposing(core: Core, partition: Partition, lane: Lane, now: float) -> str:
    flight, writing = lane.flight, lane.writing
    assert flight is not None
    if partition.expected is not None and partition.expected <= flight.last:
        return f"{lane.reason}; waiting until records up to {flight.last} are read again (at {partition.expected})"
    if lane.stalled:
        return lane.reason
    if writing is None:
        if core.brake.holds(now) and not lane.begun:
            return f"{lane.reason}; nothing is given up while the outage brake holds ({span(core.brake.ends_at - now)})"
        when = f"it is given up in {span(max(lane.retry_at, flight.publish_after) - now)}"
        return f"{lane.reason}; {'the bridge is stopping, the next owner gives it up' if core.stopping else when}"
    if not writing.letters or lane.watermark >= writing.upto:
        return f"{lane.reason}; it is disposed of, waiting for the ledger{_trouble(core)}"
    topic = lane.rules.dead_letters_of(lane.tp.topic)
    return f"{lane.reason}; waiting until {topic} has acknowledged its dead letter"


def _stopped(core: Core, partition: Partition, lane: Lane, now: float) -> str:
    # a lane that stops gets no wait: its retry_at is the time at which it stopped
    since, at = span(now - lane.retry_at), lane.first_unfinished
    below = f"nothing from offset {at} on is committed" if at is not None else "nothing behind it is committed"
    return f"stopped {since} ago: {lane.reason}; {below}, other lanes go on, this one waits for a person"


WORDS: dict[Phase, Words] = {
    Phase.FREE: _free,
    Phase.DISPATCHING: _dispatching,
    Phase.RUNNING: _in_flight,
    Phase.ADOPTED: _in_flight,
    Phase.RETRYING: _retrying,
    Phase.DISPOSING: _disposing,
    Phase.STOPPED: _stopped,
}

# --- what several of them say -----------------------------------------------------------------------------------------


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"


def _trouble(core: Core) -> str:
    return f"; {core.repeats.trouble}" if core.repeats.trouble else ""


def _full(core: Core, partition: Partition, lane: Lane) -> str:
    """Why no records come: the partition holds its share, and which lane holds most of it."""
    if not core.buffers.is_full(partition.tp):
        return ""
    held, share = size(partition.held_bytes), size(core.buffers.share_bytes)
    text = f"; none are fetched, the partition's buffer is full ({held} of {share})"
    heaviest = max(partition.lanes.values(), key=lambda other: other.counted)
    if heaviest is lane:
        return text
    doing = "filling" if heaviest.phase is Phase.FREE else heaviest.phase.value
    return f"{text}; lane {heaviest.index} ({doing}) holds {size(heaviest.counted)} of it"
