"""Defects of the core, each a patch that is taken back when its context ends. Mutations name them.

What a patch replaces stands beside it under a name of its own: a defect differs from the core by what it says, no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from bridge.core import assignment
from bridge.core import events as ev
from bridge.core.bridge import HANDLERS, Core
from bridge.core.commits import read_metadata
from bridge.core.dispatching import Dispatching
from bridge.core.disposing import Disposing
from bridge.core.lane import Lane, Phase, Signal
from bridge.core.operators import Operators
from bridge.core.partition import Partition, Stage
from bridge.core.sweeping import Sweeping
from bridge.entries import LaneEntry, Outcome, PartitionEntry, Seen

#: seconds after which a chain of which nothing was heard counts as finished
PATIENCE = 5.0

_base = assignment._base
_commit = Core._commit
_dispatched = Dispatching.dispatched
_dispose = Disposing._dispose
_go_on = Lane.go_on
_look_at = Sweeping._look_at
_take_outcome = Lane.take_outcome
_uncouple = Lane.uncouple
_why_clear = assignment._why_clear


@contextmanager
def _put(owner: object, name: str, broken: object) -> Iterator[None]:
    with patch.object(owner, name, broken):
        yield


# --- positions and commits --------------------------------------------------------------------------------------------


@contextmanager
def commits_the_highest() -> Iterator[None]:
    """The position is the highest watermark of any lane, not the first unfinished offset."""

    def highest(partition: Partition) -> None:
        marks = [lane.watermark for lane in partition.lanes.values()]
        partition.position = max([partition.position, *marks])
        partition.config.wants_commit(partition.tp)

    with _put(Partition, "advance", highest):
        yield


@contextmanager
def commits_what_was_fetched() -> Iterator[None]:
    """The position is the next offset to come from Kafka."""

    def fetched(partition: Partition) -> None:
        if partition.expected is not None:
            partition.position = partition.expected
            partition.config.wants_commit(partition.tp)

    with _put(Partition, "advance", fetched):
        yield


@contextmanager
def confirms_nothing() -> Iterator[None]:
    """An assignment goes on without a commit that the broker has taken."""

    def confirm_nothing(partition: Partition) -> None:
        partition.stage = Stage.CONFIRMING
        assert partition.start is not None
        partition.commit_confirmed(partition.start.offset)

    with _put(Partition, "_confirm", confirm_nothing):
        yield


@contextmanager
def counts_commits_when_sent() -> Iterator[None]:
    """A commit counts as confirmed when it is submitted, whatever is answered."""

    def commit(core: Core, now: float) -> None:
        before = dict(core.commits._submitted)
        _commit(core, now)
        if core.commits._submitted != before:
            for tp, entry in core.commits._submitted.items():
                core.partitions[tp].commit_confirmed(entry.offset)

    def answered(core: Core, event: ev.CommitAnswered, now: float) -> None:
        core.commits.answered(event.answers, now)

    with _put(Core, "_commit", commit), patch.dict(HANDLERS, {ev.CommitAnswered: answered}):
        yield


@contextmanager
def starts_where_a_lane_stands() -> Iterator[None]:
    """A start position is derived from the first lane's entry, which is right with one lane only."""

    def base(entry: PartitionEntry) -> int | None:
        return _base(replace(entry, rule="partition"))

    with _put(assignment, "_base", base):
        yield


@contextmanager
def ignores_the_operator() -> Iterator[None]:
    """A committed offset without our metadata clears nothing: what the ledger says wins."""

    def never_set_by_hand(facts: ev.KafkaAnswered, entry: PartitionEntry) -> str:
        by_hand = read_metadata(facts.metadata) is None
        return _why_clear(replace(facts, committed=None) if by_hand else facts, entry)

    with _put(assignment, "_why_clear", never_set_by_hand):
        yield


# --- what goes when ---------------------------------------------------------------------------------------------------


@contextmanager
def dispatches_early() -> Iterator[None]:
    """A lane counts as free as soon as the ledger holds its chain."""

    def dispatched(dispatching: Dispatching, event: ev.Dispatched, now: float) -> None:
        _dispatched(dispatching, event, now)
        partition = dispatching._core.partitions.get(event.tp)
        lane = partition.lanes.get(event.lane) if partition is not None else None
        if partition is not None and lane is not None and lane.phase is Phase.RUNNING:
            del dispatching._core.chains[event.chain]
            lane.phase, lane.flight = Phase.FREE, None
            dispatching._core.settle_down(partition, (lane,), now)

    with _put(Dispatching, "dispatched", dispatched):
        yield


@contextmanager
def retries_behind() -> Iterator[None]:
    """What failed goes again behind the records that wait, the lane goes on."""

    def go_on(lane: Lane, at: float) -> None:
        _go_on(lane, at)
        assert lane.flight is not None
        failed = lane.flight.rows
        lane.move(Signal.FINISH)
        lane.flight, lane.outcome = None, None
        lane.receive([*lane.batcher.take_all(), *failed], at)

    with _put(Lane, "go_on", go_on):
        yield


@contextmanager
def forgets_what_stopped() -> Iterator[None]:
    """What was behind the batch that stopped a train rides in the next train."""

    def uncouple(lane: Lane, now: float) -> None:
        _uncouple(lane, now)
        lane.alone_up_to, lane.pace.length = -1, lane.rules.max_batches_per_chain

    with _put(Lane, "uncouple", uncouple):
        yield


@contextmanager
def forgets_refusals() -> Iterator[None]:
    """A lane does not know that its dispatch was refused: what the ledger holds instead is not looked at."""
    never = property(lambda lane: False, lambda lane, value: None)
    with patch.object(Lane, "unsure", never, create=True):
        yield


@contextmanager
def wakes_nobody() -> Iterator[None]:
    """A lane that waits for a time is not looked at when it has come."""
    with _put(Dispatching, "set_timer", lambda dispatching, lane, at: None):
        yield


# --- operators --------------------------------------------------------------------------------------------------------


@contextmanager
def knows_no_pauses() -> Iterator[None]:
    """Pauses are read and told, and lanes go on."""
    with _put(Operators, "pause_of", lambda operators, tp, lane: None):
        yield


@contextmanager
def skips_what_nobody_asked_for() -> Iterator[None]:
    """Whatever a lane stands at is skipped."""
    with _put(Operators, "skips_of", lambda operators, lane: frozenset(lane.at_stake)):
        yield


# --- what counts as finished ------------------------------------------------------------------------------------------


@contextmanager
def takes_silence_for_success() -> Iterator[None]:
    """A chain of which nothing was heard for a while counts as finished: its notice must have been lost."""

    def look_at(sweeping: Sweeping, partition: Partition, lane: Lane, entry: LaneEntry, now: float) -> None:
        flight = lane.flight
        if flight is not None and entry.outcome is None and now > flight.dispatched_at + PATIENCE:
            finished = Outcome("ok", flight.part_last + 1)
            sweeping._core.dispatching.take_outcome(partition, lane, entry.seen, finished, now)
        else:
            _look_at(sweeping, partition, lane, entry, now)

    with _put(Sweeping, "_look_at", look_at):
        yield


@contextmanager
def takes_timeouts_for_successes() -> Iterator[None]:
    """A chain that ran into its time limit counts as finished."""

    def forgive(lane: Lane, seen: Seen, outcome: Outcome) -> bool:
        assert lane.flight is not None
        if outcome.failure is not None and outcome.failure.kind == "timeout":
            outcome = Outcome("ok", lane.flight.part_last + 1)
        return _take_outcome(lane, seen, outcome)

    with _put(Lane, "take_outcome", forgive):
        yield


@contextmanager
def waits_for_no_dead_letter() -> Iterator[None]:
    """Offsets pass a record that is given up before the broker has acknowledged its dead letter."""

    def settle_at_once(disposing: Disposing, partition: Partition, lane: Lane, outcome: Outcome, now: float) -> None:
        _dispose(disposing, partition, lane, outcome, now)
        if lane.writing is not None and lane.writing.letters:
            disposing._settle(partition, lane, now)

    with _put(Disposing, "_dispose", settle_at_once):
        yield


@contextmanager
def drops_what_follows() -> Iterator[None]:
    """With a record that is given up, those behind it in its batch count as finished."""

    def dispose_of_all(disposing: Disposing, partition: Partition, lane: Lane, outcome: Outcome, now: float) -> None:
        _dispose(disposing, partition, lane, outcome, now)
        if lane.writing is not None and lane.flight is not None:
            lane.writing = replace(lane.writing, upto=lane.flight.last + 1)

    with _put(Disposing, "_dispose", dispose_of_all):
        yield
