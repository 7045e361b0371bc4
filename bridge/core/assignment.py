"""Where a partition starts: Kafka is the truth, the ledger makes it exact.

The precedence, first match: another topic id, a committed offset without our metadata, a watermark above the log's
end -> the ledger is cleared. No committed offset but a `base` inside the log -> start there. Else the committed
offset, or the policy `start_from`. A position is never derived from the lanes' entries, except with one lane.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.commits import read_metadata
from bridge.core.events import KafkaAnswered
from bridge.entries import PartitionEntry

#: why what is known of the partition is void
RECREATED = "the topic was created again"


@dataclass(frozen=True, slots=True)
class Start:
    """`offset` is where to read from and what to commit at once. `clear` says why the ledger is cleared ("" not).
    `notes` are for the log; `fatal` ends the bridge."""

    offset: int
    clear: str = ""
    notes: tuple[str, ...] = ()
    fatal: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What this process knows of a partition whose lanes it holds; below `barrier` an old lane `rule` decides."""

    topic_id: str
    position: int
    rule: str
    barrier: int | None = None


def why_begin_anew(facts: KafkaAnswered, entry: PartitionEntry, known: Known) -> str:
    """Why what this process knows is void ("" it is not)."""
    if facts.topic_id != known.topic_id:
        return RECREATED
    if clear := _why_clear(facts, entry):
        return clear
    if max(_committed(facts) or 0, entry.base or 0) > known.position:
        return "another owner has gone on"
    if entry.rule not in ("", known.rule):
        return f"the ledger's lane rule is {entry.rule}, this owner's {known.rule}"
    if known.barrier is not None and reach(entry) > known.barrier:
        return f"the ledger's chains are beyond the change of the lane rule at {known.barrier}"
    return ""


def reach(entry: PartitionEntry) -> int:
    """The first offset that no lane's watermark or chain has touched."""
    return max((max(lane.watermark, lane.reach + 1) for lane in entry.lanes.values()), default=0)


@dataclass(frozen=True, slots=True)
class Reached:
    """The position that this process had reached in a topic before it began anew; commits of it may be under way."""

    topic_id: str = ""
    position: int = -1


NOTHING_REACHED = Reached()


def decide_start(facts: KafkaAnswered, entry: PartitionEntry, *, start_from: str, reached: Reached) -> Start:
    """Where a process starts that holds no lanes of the partition yet."""
    committed = _committed(facts)
    clear = _why_clear(facts, entry)
    base = None if clear else _base(entry)
    if not clear and reached.position >= 0 and reached.topic_id == facts.topic_id:
        committed = max(committed or 0, reached.position)
    if committed is not None:
        offset = max(committed, base or 0)
    elif base is not None and facts.log_start <= base <= facts.log_end:
        offset = base
    elif start_from == "error":
        text = f"{facts.tp} has no committed offset and start_from='error': commit one, or set start_from"
        return Start(0, clear, fatal=text)
    else:
        offset = facts.log_start if start_from == "earliest" else facts.log_end
    return _inside_log(offset, facts, clear)


def _committed(facts: KafkaAnswered) -> int | None:
    metadata = read_metadata(facts.metadata)
    return facts.committed if metadata is None or metadata.topic_id == facts.topic_id else None


def _why_clear(facts: KafkaAnswered, entry: PartitionEntry) -> str:
    if entry.base is None and not entry.lanes:
        return ""
    if entry.topic_id and entry.topic_id != facts.topic_id:
        return RECREATED
    if facts.committed is not None and read_metadata(facts.metadata) is None:
        return "the group's offset was set by somebody else"
    if max([entry.base or 0, *(lane.watermark for lane in entry.lanes.values())]) > facts.log_end:
        return "the ledger is ahead of the log's end"
    return ""


def _base(entry: PartitionEntry) -> int | None:
    watermark = entry.lanes[0].watermark if entry.rule == "partition" and 0 in entry.lanes else -1
    if entry.base is None:
        return watermark if watermark >= 0 else None
    return max(entry.base, watermark)


def _inside_log(offset: int, facts: KafkaAnswered, clear: str) -> Start:
    if offset < facts.log_start:
        lost = facts.log_start - offset
        note = f"offsets {offset}..{facts.log_start - 1} ({lost}) were deleted from the log before they were read"
        return Start(facts.log_start, clear, (note,))
    if offset > facts.log_end:
        note = f"the committed offset {offset} is beyond the log's end {facts.log_end}; reading from the end"
        return Start(facts.log_end, clear, (note,))
    return Start(offset, clear)
