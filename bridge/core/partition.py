"""One assignment of one partition, from the group's gift to its revocation.

Stages: ASKING (Kafka: what is committed) -> ASSIGNING (ledger: owner number) -> CHECKING (Kafka again) ->
[CLEARING] -> CONFIRMING (commit with our number; only the broker's yes lets us act) -> RESTORING (ledger: what we
know) -> ACTIVE. Redis emptied, rolled back or another owner's number: from ACTIVE back to ASSIGNING, lanes kept,
under a new serial, so that answers to what was asked before change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count

from bridge.core.assignment import (
    NOTHING_REACHED,
    RECREATED,
    Known,
    Reached,
    Start,
    decide_start,
    reach,
    why_begin_anew,
)
from bridge.core.batching import ROW_OVERHEAD_BYTES, rows_bytes
from bridge.core.commits import read_metadata, write_metadata
from bridge.core.effects import (
    AskKafka,
    AssignOwner,
    ChangeRule,
    ClearLedger,
    CommitEntry,
    Effect,
    GiveUp,
    Level,
    Report,
    Restore,
    StartFetching,
    TerminateLinks,
)
from bridge.core.events import KafkaAnswered
from bridge.core.lane import Lane, Phase
from bridge.core.lanes import lane_count, lane_of
from bridge.core.watch import TERMINATE_WAIT
from bridge.entries import LaneEntry, Owner, PartitionEntry, link_id
from bridge.records import OFFSET, PipelineRules, Row, TopicPartition


class Stage(Enum):
    """How far the assignment is."""

    ASKING = "asking Kafka for the committed offset"
    ASSIGNING = "asking the ledger for an owner number"
    CHECKING = "asking Kafka again, with the owner number in hand"
    CLEARING = "clearing the ledger"
    CONFIRMING = "waiting for the broker to confirm the start position"
    RESTORING = "telling the ledger what is finished"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class PartitionConfig:
    """What a partition must know of the bridge."""

    group: str
    start_from: str = "earliest"
    #: numbers for assignments, never used twice
    next_serial: Callable[[], int] = count(1).__next__
    #: called when the partition may have something to commit
    wants_commit: Callable[[TopicPartition], None] = lambda tp: None
    #: called when its assignment is to be confirmed
    wants_confirm: Callable[[TopicPartition], None] = lambda tp: None
    #: the time of the event that is being handled
    clock: Callable[[], float] = lambda: 0.0


class Partition:
    """The state of one assignment. `emit` takes its effects, `reached` is what this process knew when it began anew."""

    def __init__(
        self,
        tp: TopicPartition,
        rules: PipelineRules,
        config: PartitionConfig,
        emit: Callable[[Effect], None],
        reached: Reached = NOTHING_REACHED,
    ) -> None:
        self.tp = tp
        self.reached = reached
        self.rules = rules
        self.config = config
        self._emit = emit
        self._clock = config.clock
        self.serial = config.next_serial()
        #: when this assignment began, or began anew
        self.since = self._clock()
        self.stage = Stage.ASKING
        self.owner, self.entry = Owner(0, ""), PartitionEntry()
        self.topic_id = ""
        #: the lane rule in force; another than the pipeline's until the old lanes have run out (see `barrier`)
        self.rule = rules.rule
        self.lanes: dict[int, Lane] = {}
        #: the next offset to come from Kafka; None before the first start
        self.expected: int | None = None
        self.position = self.confirmed = -1
        self.start: Start | None = None
        self.held_bytes = self.dispatches = 0
        #: a lane rule changes at this offset: rows from here on wait in `waiting`
        self.barrier: int | None = None
        self.waiting: list[Row] = []
        self.changing = False
        #: the log does not have what comes next: Kafka is asked where to go on
        self.relocating = False
        #: before the ledger is cleared: until when claimed links are waited for, those that still run (and on which
        #: worker), and all of them
        self.clear_at, self.terminating, self.revoked = float("inf"), dict[str, str](), tuple[str, ...]()
        self.flush_end: int | None = None
        #: why this assignment must begin anew, without what it knows ("" it need not)
        self.must_restart = ""

    @property
    def is_active(self) -> bool:
        """May dispatch."""
        return self.stage is Stage.ACTIVE

    # --- the assignment --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The group gave us the partition."""
        self.stage, self.since = Stage.ASKING, self._clock()
        self._emit(AskKafka(self.tp, self.serial))

    def reassign(self, why: str) -> None:
        """Draw a new owner number, with what this process knows; the lanes and their rows stay."""
        self._report("warning", "reassign", f"assigning again: {why}")
        self.serial = self.config.next_serial()
        self.changing, self.clear_at = False, float("inf")
        self.terminating.clear()
        self.stage, self.since = Stage.ASSIGNING, self._clock()
        self._emit(AssignOwner(self.tp, self.serial, self.owner.number))

    def kafka_answered(self, facts: KafkaAnswered, now: float) -> None:
        """Kafka has said what is committed and where the log begins and ends."""
        if self.stage is Stage.ASKING:
            metadata = read_metadata(facts.metadata)
            self.stage = Stage.ASSIGNING
            self._emit(AssignOwner(self.tp, self.serial, metadata.owner if metadata else 0))
        elif self.stage is Stage.CHECKING:
            self._check(facts, now)
        elif self.stage is Stage.ACTIVE and self.relocating:
            self._relocate(facts)

    def owner_assigned(self, entry: PartitionEntry) -> None:
        """The ledger has given us a number and its lanes."""
        if self.stage is not Stage.ASSIGNING:
            return
        self.owner, self.entry = entry.owner, entry
        self.stage = Stage.CHECKING
        self._emit(AskKafka(self.tp, self.serial))

    def _check(self, facts: KafkaAnswered, now: float) -> None:
        metadata = read_metadata(facts.metadata)
        if metadata is not None and metadata.owner >= self.owner.number:
            self.stage = Stage.ASSIGNING
            self._emit(AssignOwner(self.tp, self.serial, metadata.owner))
            return
        if self.expected is not None:
            known = Known(self.topic_id, self.position, self.rule, self.barrier)
            self.must_restart = why_begin_anew(facts, self.entry, known)
            if self.must_restart:
                return
        if metadata is not None and metadata.topic_id == facts.topic_id and facts.committed is not None:
            self.confirmed = max(self.confirmed, facts.committed)
        self.topic_id = facts.topic_id
        self.start = Start(self.position)
        if self.expected is None:
            self.start = decide_start(facts, self.entry, start_from=self.config.start_from, reached=self.reached)
        for note in self.start.notes:
            self._report("warning", "start", note)
        if self.start.fatal:
            self._emit(GiveUp(self.start.fatal))
        elif self.start.clear:
            self._prepare_clear(now)
        else:
            self._confirm()

    def _confirm(self) -> None:
        self.stage = Stage.CONFIRMING
        self.config.wants_confirm(self.tp)

    def _prepare_clear(self, now: float) -> None:
        assert self.start is not None
        self._report("warning", "clear", f"the ledger is cleared: {self.start.clear}")
        self.stage = Stage.CLEARING
        in_flight = [e for e in self.entry.lanes.values() if e.in_flight]
        self.terminating = {link_id(e.chain, e.link): e.claim.worker for e in in_flight if e.claim is not None}
        self.revoked = tuple(sorted(self.terminating))
        if self.terminating:  # the others, too: none of them may be claimed while these are waited for
            self._emit(TerminateLinks(tuple(sorted(link_id(e.chain, e.link) for e in in_flight))))
        self.clear_at = now + TERMINATE_WAIT if self.terminating else now

    def link_ended(self, task_id: str, worker: str, now: float) -> None:
        """A link that had to end before the ledger is cleared has ended, as `worker` ("" unknown) says."""
        if worker in ("", self.terminating.get(task_id)):  # another one has thrown away a copy of its own
            self.terminating.pop(task_id, None)
        if not self.terminating:
            self.clear_at = min(self.clear_at, now)

    def clear(self) -> None:
        """No claimed link runs any more, or the wait for it (`clear_at`) is over: clear the ledger."""
        self.clear_at = float("inf")
        self._emit(ClearLedger(self.tp, self.serial, self.owner, self.revoked))

    def cleared(self, accepted: bool) -> None:
        """The ledger has forgotten the partition, or somebody else owns it, or a link has begun that nobody revoked."""
        if self.stage is not Stage.CLEARING:
            return
        if not accepted:
            self.reassign("another owner, or a link that has just begun, while clearing")
            return
        self.entry = PartitionEntry(owner=self.owner)
        self._confirm()

    @property
    def wanted_commit(self) -> CommitEntry | None:
        """What should be committed now, if anything: the start position first, later each new position."""
        if self.stage is Stage.CONFIRMING:
            assert self.start is not None
            return self._commit_entry(self.start.offset)
        if self.stage is Stage.ACTIVE and self.position > self.confirmed:
            return self._commit_entry(self.position)
        return None

    def _commit_entry(self, offset: int) -> CommitEntry:
        return CommitEntry(self.serial, offset, write_metadata(self.owner.number, self.topic_id))

    def commit_confirmed(self, offset: int) -> None:
        """The broker has taken a commit of this assignment."""
        if self.stage is Stage.CONFIRMING:
            assert self.start is not None
            self.confirmed = offset
            self.stage = Stage.RESTORING
            marks = {index: lane.watermark for index, lane in self.lanes.items() if lane.watermark >= 0}
            rule = self.entry.rule or self.rule
            self._emit(Restore(self.tp, self.serial, self.owner, marks, rule, self.topic_id, self.start.offset))
        else:
            self.confirmed = max(self.confirmed, offset)

    def restored(self, accepted: bool) -> bool:
        """The ledger knows what we know; returns whether the partition is active now."""
        if self.stage is not Stage.RESTORING:
            return False
        if not accepted:
            self.reassign("another owner while restoring")
            return False
        assert self.start is not None
        self.stage = Stage.ACTIVE
        if self.expected is None:
            self.expected = self.position = self.start.offset
            self._prepare_lanes()
            self._emit(StartFetching(self.tp, self.expected))
        if self.relocating:
            self._emit(AskKafka(self.tp, self.serial))
        self.config.wants_commit(self.tp)
        self._report("info", "active", f"starts at {self.start.offset} as owner {self.owner.number}")
        return True

    def _prepare_lanes(self) -> None:
        entry, position = self.entry, self.position
        if entry.rule and entry.rule != self.rules.rule:
            self.rule, self.barrier = entry.rule, max(position, reach(entry))
            self._report("warning", "rule", f"lanes change from {entry.rule} to {self.rules.rule} at {self.barrier}")
        for index in range(lane_count(self.rule)):
            self.lanes[index] = Lane(self.tp, index, self.rules, position)

    def is_history(self, entry: LaneEntry) -> bool:
        """Nothing of the lane's last chain is unfinished, and it runs nowhere."""
        outcome = entry.outcome
        if (unsettled := outcome or entry.judged) is not None and unsettled.rejected:
            return False  # the ledger takes no dispatch before they are settled
        if entry.reach < max(self.position, self.lanes[entry.lane].watermark):
            return outcome is not None or entry.claim is None
        return not entry.chain or (outcome is not None and outcome.next_offset > entry.reach)

    # --- records and positions -------------------------------------------------------------------------------------

    def receive(self, rows: Sequence[Row], now: float) -> list[Lane]:
        """Take rows in offset order; returns the lanes that got some."""
        assert self.expected is not None
        self.expected = rows[-1][OFFSET] + 1
        if self.barrier is not None and rows[-1][OFFSET] >= self.barrier:
            split = next(i for i, row in enumerate(rows) if row[OFFSET] >= self.barrier)
            self.waiting.extend(rows[split:])
            self.held_bytes += rows_bytes(rows[split:]) + ROW_OVERHEAD_BYTES * (len(rows) - split)
            rows = rows[:split]
        return self._deal(rows, now)

    def _deal(self, rows: Sequence[Row], now: float) -> list[Lane]:
        if self.rule == "partition":
            self.lanes[0].receive(rows, now)
            return [self.lanes[0]]
        dealt: dict[int, list[Row]] = {}
        lanes = lane_count(self.rule)
        for row in rows:
            dealt.setdefault(lane_of(row[2], lanes), []).append(row)
        for index, some in dealt.items():
            self.lanes[index].receive(some, now)
        return [self.lanes[index] for index in dealt]

    def end_of_log(self, offset: int) -> None:
        """Kafka has no record below `offset` that it has not delivered."""
        if self.expected is not None:
            self.expected = max(self.expected, offset)

    def advance(self) -> None:
        """The position moves up to the first unfinished offset, or to the next one to come."""
        if self.expected is None:
            return
        firsts = [first for lane in self.lanes.values() if (first := lane.first_unfinished) is not None]
        if self.waiting:
            firsts.append(self.waiting[0][OFFSET])
        position = min([self.expected, *firsts])
        if position > self.position:
            self.position = position
            self.config.wants_commit(self.tp)
        self._change_rule()

    def weigh(self, lane: Lane) -> int:
        """Count what the lane holds now; returns what the partition holds, in bytes."""
        weight = lane.weight
        self.held_bytes += weight - lane.counted
        lane.counted = weight
        return self.held_bytes

    @property
    def must_read_on(self) -> bool:
        """A lane's chain covers records that have not been read again yet."""
        assert self.expected is not None
        return any(lane.flight is not None and lane.flight.last >= self.expected for lane in self.lanes.values())

    @property
    def flushes(self) -> bool:
        """Open batches need not wait: nothing more is expected before this point."""
        return self.flush_end is not None and self.expected is not None and self.expected >= self.flush_end

    # --- what happens while running --------------------------------------------------------------------------------

    def offset_missing(self) -> None:
        """The log does not have what comes next. Said once: not active now, it is asked when active again."""
        if self.expected is not None and not self.relocating:
            self.relocating = True
            if self.is_active:
                self._emit(AskKafka(self.tp, self.serial))

    def _relocate(self, facts: KafkaAnswered) -> None:
        assert self.expected is not None
        self.relocating = False
        if facts.topic_id != self.topic_id:
            self.must_restart = RECREATED
            return
        target = min(max(self.expected, facts.log_start), facts.log_end)
        if target > self.expected:
            text = (
                f"offsets {self.expected}..{target - 1} ({target - self.expected}) were deleted before they were read"
            )
            self._report("error", "deleted", text)
        elif target < self.expected:
            self._report("error", "truncated", f"the log ends at {target}, {self.expected} was expected")
        self.expected = max(self.expected, target)
        self._emit(StartFetching(self.tp, target))

    def _change_rule(self) -> None:
        if self.barrier is None or self.changing or not self.is_active or self.position < self.barrier:
            return
        if any(lane.phase is not Phase.FREE for lane in self.lanes.values()):
            return
        self.changing = True
        self._emit(ChangeRule(self.tp, self.serial, self.owner, self.rules.rule, self.position))

    def rule_changed(self, accepted: bool, now: float) -> list[Lane]:
        """The ledger follows the new rule; returns the lanes that have got records. The new rule goes with a new owner
        number: a ledger rolled back to the old rule does not know it, and takes no dispatch."""
        self.changing = False
        if not accepted:
            self.reassign("another owner while the lane rule changes")
            return []
        self.rule, self.barrier = self.rules.rule, None
        self.held_bytes = 0
        self.lanes = {index: Lane(self.tp, index, self.rules, self.position) for index in range(lane_count(self.rule))}
        rows, self.waiting = self.waiting, []
        self.reassign(f"the lane rule is {self.rule} now")
        return self._deal(rows, now) if rows else []

    def _report(self, level: Level, action: str, text: str, lane: int | None = None) -> None:
        self._emit(Report(level, action, text, self.tp, lane))
