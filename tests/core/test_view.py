"""The core as it looks from outside: the state of a lane and the sentence that says why."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from bridge.core import events as ev
from bridge.core.bridge import Core, CoreConfig
from bridge.core.commits import write_metadata
from bridge.core.effects import (
    AskKafka,
    AssignOwner,
    ChangeRule,
    Commit,
    Dispatch,
    Effect,
    ReadLanes,
    Restore,
    WriteDeadLetters,
)
from bridge.core.failures import Limits
from bridge.core.lane import Phase
from bridge.core.lanes import lane_of
from bridge.core.view import STATE, LaneView, PartitionView, view
from bridge.core.words import WORDS, size, span
from bridge.entries import Claim, Failure, Heartbeat, LaneEntry, Outcome, Owner, PartitionEntry, Rejection, Seen
from bridge.records import PipelineRules, Retry, Row, TopicPartition

TP = TopicPartition("test", 0)
RULES = PipelineRules("numbers", tasks=("parse", "store"), batch_size=3, batch_timeout=1.0)
ALONE = replace(RULES, tasks=("parse",), retry=Retry(max_attempts=2, delay=4.0, jitter=0.0))
KEYED = replace(RULES, order_by="key", lanes=4)
STOPS = replace(ALONE, retry=Retry(max_attempts=1), on_exhausted="stop")
KEYED_STOPS = replace(KEYED, retry=Retry(max_attempts=1), on_exhausted="stop")

BIG = b"x" * 9000


class World:
    """A core with the answers of a calm world; `answers` says which effects are answered at all."""

    def __init__(self, rules: PipelineRules = RULES, **config: Any) -> None:
        self.core = Core(
            CoreConfig(
                "group",
                lambda topic: rules,
                lambda tp, lane, link: f"{'lane' if link else 'hook'}-{lane}",
                frozen_after=10_000.0,
                **config,
            )
        )
        self.now = 100.0
        self.entry = PartitionEntry()
        self.committed: tuple[int | None, str] = (None, "")
        self.silent: set[type] = set()
        self.dispatches: list[Dispatch] = []
        self.letters: list[WriteDeadLetters] = []
        self.last_reading = 0

    def handle(self, event: ev.Event) -> None:
        """Give an event to the core, answer what it asks, until it asks no more."""
        effects = self.core.handle(event, self.now)
        for effect in effects:
            for answer in self._answers(effect):
                self.handle(answer)

    def _answers(self, effect: Effect) -> list[ev.Event]:
        if isinstance(effect, ReadLanes):
            self.last_reading = effect.number
        if isinstance(effect, Dispatch):
            self.dispatches.append(effect)
        if isinstance(effect, WriteDeadLetters):
            self.letters.append(effect)
        if type(effect) in self.silent:
            return []
        match effect:
            case AskKafka():
                answer: ev.Event = ev.KafkaAnswered(TP, effect.serial, *self.committed, "topic-id", 0, 10_000)
            case AssignOwner():
                answer = ev.OwnerAssigned(TP, effect.serial, replace(self.entry, owner=Owner(7, "me")))
            case Commit():
                found = {tp: (e.serial, e.offset, ev.CommitAnswer.OK, "") for tp, e in effect.entries.items()}
                answer = ev.CommitAnswered(found)
            case Restore():
                answer = ev.Restored(TP, effect.serial, True)
            case Dispatch():
                chain = effect.chain
                answer = ev.Dispatched(TP, effect.serial, chain.lane, chain.id, ev.DispatchAnswer.OK)
            case _:
                return []
        return [answer]

    def state(self) -> str:
        """The state of the first lane."""
        return self.lane.state

    def assign(self) -> None:
        """The group gives us the partition."""
        self.handle(ev.Assigned((TP,)))

    def fetch(self, *rows: Row) -> None:
        """Records come."""
        self.handle(ev.Fetched(TP, rows))

    def report(self, outcome: Outcome, dispatch: Dispatch | None = None) -> None:
        """The chain dispatched last, or that one, reports."""
        chain = (dispatch or self.dispatches[-1]).chain
        self.handle(ev.OutcomeHeard(TP, chain.lane, Seen(chain.id, 1, "w n", b"o"), outcome))

    def acknowledge(self) -> None:
        """The broker has acknowledged the dead letters written last."""
        effect = self.letters[-1]
        self.handle(ev.DeadLettersWritten(TP, effect.serial, effect.lane, effect.number, True))

    def sweep(self, *entries: LaneEntry, beats: tuple[Heartbeat, ...] = ()) -> None:
        """The ledger is read and holds these lanes."""
        self.handle(ev.Tick())
        partition = self.core.partitions[TP]
        found = PartitionEntry(Owner(7, "me"), rule=partition.rule, lanes={entry.lane: entry for entry in entries})
        self.handle(ev.LanesRead(self.last_reading, {TP: (partition.serial, found)}, beats, 0.0))

    def lane_entry(self, **fields: object) -> LaneEntry:
        """The chain dispatched last as the ledger holds it."""
        chain = self.dispatches[-1].chain
        entry = LaneEntry(
            chain.lane, chain=chain.id, first=chain.first, last=chain.last, link=1, seen=Seen(chain.id, 1)
        )
        return replace(entry, **fields)  # type: ignore[arg-type]

    @property
    def partition(self) -> PartitionView:
        """The only partition."""
        (found,) = view(self.core, self.now)
        return found

    @property
    def lane(self) -> LaneView:
        """Its first lane."""
        return self.partition.lanes[0]


def row(offset: int, key: bytes | None = None, value: bytes = b"v") -> Row:
    return (offset, 1_700_000_000_000 + offset, key, value, ())


def key_of(lane: int) -> bytes:
    return next(key for n in range(1000) if lane_of(key := str(n).encode(), KEYED.lanes) == lane)


def failure(offset: int, kind: str = "failed", message: str = "boom") -> Outcome:
    return Outcome("failed", offset, Failure(offset, kind, named=True, exception="ValueError", message=message))  # type: ignore[arg-type]


def test_every_phase_has_a_state_and_words() -> None:
    assert set(STATE) == set(WORDS) == set(Phase)


def test_views_are_frozen_and_sorted() -> None:
    world = World()
    world.core.handle(ev.Assigned((TopicPartition("b", 0), TopicPartition("a", 11), TopicPartition("a", 2))), 1.0)
    found = view(world.core, 1.0)
    assert [str(partition.tp) for partition in found] == ["a[2]", "a[11]", "b[0]"]
    with pytest.raises(FrozenInstanceError):
        found[0].blocked = True  # type: ignore[misc]


# --- assignment


def test_a_partition_being_taken_over_shows_the_lanes_to_come_and_what_it_waits_for() -> None:
    world = World(KEYED)
    world.silent = {AskKafka}
    world.assign()
    world.now += 2
    partition = world.partition
    assert (partition.committed, partition.position, partition.fetched) == (None, None, None)
    assert [(lane.lane, lane.state, lane.attempt) for lane in partition.lanes] == [(n, "adopting", 0) for n in range(4)]
    assert world.lane.reason == "taking over the partition for 2.0 s: asking Kafka for the committed offset"


def test_an_assignment_that_does_not_come_through_is_stalled_and_says_what_does_not_answer() -> None:
    world = World()
    world.silent = {AskKafka}
    world.assign()
    world.handle(ev.EffectFailed(AskKafka(TP, 1), "Kafka does not answer"))
    world.now += 14.5
    assert world.state() == "adopting"
    world.now += 0.5
    assert (world.lane.state, world.partition.blocked) == ("stalled", False)
    assert world.lane.reason == (
        "taking over the partition for 15 s: asking Kafka for the committed offset; Kafka does not answer"
    )


def test_a_partition_assigned_anew_keeps_showing_its_chain_and_counts_from_then() -> None:
    world = World()
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.now += 50
    world.handle(ev.Tick())
    world.silent = {AssignOwner}
    world.core.partitions[TP].reassign("Redis was emptied")
    world.now += 1
    assert (world.lane.state, world.partition.stage) == ("adopting", "asking the ledger for an owner number")
    assert world.lane.in_flight is not None
    assert world.lane.reason.startswith("taking over the partition for 1.0 s: asking the ledger")
    world.now += 20
    assert world.state() == "stalled"


# --- without a chain


def test_a_lane_without_records_is_idle_and_names_the_next_offset() -> None:
    world = World()
    world.assign()
    assert world.partition == PartitionView(
        tp=TP,
        owner=Owner(7, "me"),
        stage="active",
        committed=0,
        position=0,
        fetched=0,
        blocked=False,
        held_bytes=0,
        is_full=False,
        lanes=(LaneView(0, "idle", "waiting for records from offset 0 on", 0, None, "", 0, None, max_attempts=5),),
    )


def test_a_lane_whose_commit_is_not_confirmed_says_so() -> None:
    world = World()
    world.assign()
    world.silent = {Commit}
    world.handle(ev.EndOfLog(TP, 5))
    assert (world.partition.position, world.partition.committed) == (5, 0)
    assert world.lane.reason == "waiting for records; the commit of 5 is not confirmed yet (0)"


def test_a_batch_that_fills_says_how_full_it_is_and_when_it_closes() -> None:
    world = World()
    world.assign()
    world.fetch(row(0), row(1))
    world.now += 0.25
    assert (world.lane.state, world.lane.buffered) == ("filling", 2)
    assert world.lane.oldest_timestamp_ms == 1_700_000_000_000
    assert world.lane.reason == "filling a batch: 2 of 3 records, closes by timeout in 0.8 s"
    world.now += 1
    assert world.lane.reason == "filling a batch: 2 of 3 records, closes now, by timeout"


def test_a_record_without_a_timestamp_has_no_age() -> None:
    world = World()
    world.assign()
    world.fetch((0, -1, None, b"v", ()))
    assert (world.lane.buffered, world.lane.oldest_timestamp_ms) == (1, None)


def test_a_stopping_bridge_leaves_its_records_to_the_next_owner() -> None:
    world = World()
    world.assign()
    world.handle(ev.Stop())
    world.fetch(row(0))
    assert world.lane.reason == "the bridge is stopping; 1 record stay for the next owner"


def test_a_batch_that_is_ready_while_another_event_is_due_says_so() -> None:
    world = World()
    world.assign()
    world.core.partitions[TP].lanes[0].receive([row(0), row(1), row(2)], world.now)
    assert world.lane.reason == "a batch is ready and goes at once"


def test_lanes_without_room_for_another_chain_in_flight_name_the_limit() -> None:
    world = World(KEYED, in_flight_bytes=1)
    world.assign()
    first, second = key_of(0), key_of(1)
    world.fetch(row(0, first), row(1, first), row(2, first), row(3, second), row(4, second), row(5, second))
    waiting = world.partition.lanes[1]
    assert (world.lane.state, waiting.state) == ("running", "filling")
    assert waiting.reason == "3 records wait until chains end: in_flight_bytes is used up (6 B in flight)"


def test_a_change_of_the_lane_rule_says_what_it_waits_for() -> None:
    world = World(KEYED)
    world.entry = PartitionEntry(base=0, rule="partition", lanes={0: LaneEntry(0, watermark=20)})
    world.silent = {ChangeRule}
    world.committed = (5, write_metadata(3, "topic-id"))
    world.assign()
    assert world.lane.reason == (
        "the lane rule changes from partition to key:4 at offset 20; waiting until everything below is finished (20)"
    )


# --- a chain in flight


def test_a_dispatch_without_answer_runs_for_a_while_and_is_then_stalled() -> None:
    world = World()
    world.assign()
    world.silent = {Dispatch}
    world.fetch(row(0), row(1), row(2))
    world.now += 3
    assert world.state() == "running"
    assert world.lane.reason == "handed to the ledger 3.0 s ago, waiting for its answer"
    world.handle(ev.EffectFailed(world.dispatches[0], "the ledger cannot be reached: Connection refused"))
    world.now += 11.5
    assert world.state() == "running"
    world.now += 0.5
    assert world.state() == "stalled"
    assert world.lane.reason == (
        "handed to the ledger 15 s ago, waiting for its answer; the ledger cannot be reached: Connection refused"
    )


def test_a_link_in_its_queue_names_the_queue_and_how_long() -> None:
    world = World()
    world.assign()
    world.fetch(row(0), row(1), row(2), row(3))
    world.now += 4
    lane = world.lane
    assert (lane.state, lane.attempt, lane.buffered) == ("running", 1, 1)
    assert lane.in_flight is not None
    assert (lane.in_flight.link, lane.in_flight.worker, lane.in_flight.age_seconds) == (1, "", 4.0)
    assert lane.in_flight.chain.startswith("group.test-0.0-2.")
    assert lane.reason == "link 1 of 2 (parse) has been in queue lane-0 for 4.0 s"


def test_a_claimed_link_names_its_task_and_worker() -> None:
    world = World()
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.now += 1
    world.sweep(world.lane_entry(link=2, claim=Claim("host.1", "n")))
    world.now += 7
    assert world.lane.in_flight is not None
    assert (world.lane.in_flight.worker, world.lane.in_flight.link) == ("host.1", 2)
    assert world.lane.reason == "link 2 of 2 (store) has been running on host.1 for 7.0 s"


def test_a_lane_that_no_worker_serves_is_stalled_since_then() -> None:
    world = World()
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.now += 40
    world.sweep(world.lane_entry())
    world.now += 2
    world.sweep(world.lane_entry())
    assert world.state() == "stalled"
    assert world.lane.reason == (
        "no worker consumes lane-0; link 1 of 2 (parse) was dispatched 42 s ago, "
        "it goes on by itself as soon as that changes"
    )


def test_a_lane_whose_workers_are_all_busy_is_not_stalled() -> None:
    world = World()
    world.assign()
    world.fetch(row(0), row(1), row(2))
    beat = Heartbeat("host.1", "host", "prefork", ("lane-0",), ("parse", "store"), ())
    world.now += 40
    world.sweep(world.lane_entry(), beats=(beat,))
    world.now += 2
    world.sweep(world.lane_entry(), beats=(beat,))
    assert world.state() == "running"
    assert world.lane.reason == "waiting for a free worker on lane-0; link 1 of 2 (parse) was dispatched 42 s ago"


def test_an_adopted_chain_says_that_it_is_the_last_owners() -> None:
    world = World()
    entry = LaneEntry(0, 3, "old-chain", 3, 5, 1, 2, Claim("host.1", "n"), seen=Seen("old-chain", 1, "host.1 n"))
    world.entry = PartitionEntry(base=3, rule="partition", topic_id="topic-id", lanes={0: entry})
    world.committed = (3, write_metadata(3, "topic-id"))
    world.assign()
    world.now += 5
    assert world.state() == "adopting"
    assert world.lane.reason == (
        "chain of the partition's last owner: link 1 of 2 (parse) has been running on host.1 for 5.0 s"
    )


# --- failures


def test_a_retrying_lane_names_the_error_and_the_next_attempt() -> None:
    world = World(ALONE)
    world.assign()
    world.fetch(row(0), row(1), row(2), row(3))
    world.report(failure(0))
    world.now += 1
    lane = world.lane
    assert (lane.state, lane.attempt, lane.in_flight, lane.last_error) == ("retrying", 1, None, "ValueError: boom")
    assert lane.reason == "attempt 1 of 2 failed at offset 0: ValueError: boom; next attempt in 3.0 s"
    assert world.partition.position == 0


def test_a_second_attempt_says_so_and_keeps_the_error() -> None:
    world = World(ALONE)
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(0))
    world.now += 4
    world.handle(ev.Tick())
    assert (world.lane.state, world.lane.attempt, world.lane.last_error) == ("running", 2, "ValueError: boom")
    assert world.lane.reason == "link 1 of 1 (parse), attempt 2 has been in queue lane-0 for 0.0 s"


def test_a_retry_that_is_due_waits_for_room_or_for_the_next_owner() -> None:
    world = World(ALONE)
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(0))
    world.now += 4
    assert world.lane.reason.endswith("boom; next attempt now")
    world.core.in_flight.add(TopicPartition("other", 0), 0, 2**40)
    assert world.lane.reason.endswith("boom; waiting until chains end: in_flight_bytes is used up")
    world.handle(ev.Stop())
    assert world.lane.reason.endswith("boom; the bridge is stopping, the next owner tries again")


def test_a_lane_that_is_revoked_by_hand_is_stalled_with_the_time_of_the_next_try() -> None:
    world = World(ALONE)
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(0, "revoked", "by hand"))
    assert world.state() == "stalled"
    assert world.lane.reason == "ValueError: by hand (tried again in 1 s); next attempt in 1.0 s"


def test_an_adopted_failure_waits_until_its_records_are_read_again() -> None:
    world = World(ALONE)
    entry = LaneEntry(0, 3, "old", 3, 5, 1, 1, Claim("host.1", "n"), failure(3), seen=Seen("old", 1, "host.1 n", b"o"))
    world.entry = PartitionEntry(base=3, rule="partition", topic_id="topic-id", lanes={0: entry})
    world.committed = (3, write_metadata(3, "topic-id"))
    world.assign()
    world.fetch(row(3))
    assert world.state() == "retrying"
    assert world.lane.reason.endswith("ValueError: boom; waiting until records up to 5 are read again (at 4)")


def test_a_lane_whose_dispatch_was_refused_reads_the_ledger_first() -> None:
    world = World()
    world.assign()
    world.silent = {Dispatch}
    world.fetch(row(0), row(1), row(2))
    chain = world.dispatches[0].chain.id
    world.handle(ev.Dispatched(TP, world.core.partitions[TP].serial, 0, chain, ev.DispatchAnswer.CHANGED))
    assert world.state() == "retrying"
    assert world.lane.reason == (
        "the ledger holds another chain than expected; it is read, and what is there is taken up"
    )


def test_a_chain_that_the_ledger_forgot_goes_again() -> None:
    world = World()
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.core.partitions[TP].lanes[0].vanish(world.now)
    assert world.lane.reason == "the ledger does not hold this chain any more; its records go again; next attempt now"


def test_a_stopped_lane_says_why_since_when_and_what_is_not_committed() -> None:
    world = World(STOPS)
    world.assign()
    world.fetch(row(0), row(1), row(2), row(3))
    world.report(failure(1))
    world.now += 300
    assert (world.lane.state, world.lane.buffered) == ("stopped", 1)
    assert world.lane.reason == (
        "stopped 5 min ago: offset 1, out of attempts (1): ValueError: boom; nothing from offset 1 on is committed, "
        "other lanes go on, this one waits for a person"
    )


def test_a_stopped_lane_that_holds_no_record_says_so_without_an_offset() -> None:
    world = World(STOPS)
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(1))
    world.core.partitions[TP].lanes[0].skip_below(3, world.now)  # another owner has finished them meanwhile
    assert world.state() == "stopped"
    assert "; nothing behind it is committed, " in world.lane.reason


# --- records that are given up


def given_up(**config: Any) -> World:
    """Record 1 is out of attempts; its dead letter is written, or not."""
    world = World(replace(ALONE, retry=Retry(max_attempts=1)), **config)
    world.assign()
    world.fetch(row(0), row(1), row(2), row(3))
    world.report(failure(1))
    return world


def test_a_lane_that_waits_for_a_dead_letter_names_the_topic() -> None:
    world = given_up()
    assert (world.lane.state, world.lane.in_flight, world.lane.last_error) == ("retrying", None, "ValueError: boom")
    assert world.lane.reason == (
        "offset 1, out of attempts (1): ValueError: boom; waiting until test.dlq has acknowledged its dead letter"
    )
    assert (world.partition.position, world.partition.blocked) == (1, False)


def test_a_lane_whose_dead_letter_cannot_be_written_is_stalled_and_says_why() -> None:
    world = given_up()
    world.handle(ev.EffectFailed(world.letters[0], "test.dlq: no such topic"))
    assert world.state() == "stalled"
    assert world.lane.reason == (
        "test.dlq: no such topic (tried again until it answers; the lane waits, nothing is lost); "
        "given up: offset 1, out of attempts (1): ValueError: boom"
    )


def test_a_lane_whose_dead_letter_is_acknowledged_waits_for_the_ledger() -> None:
    world = given_up()
    world.handle(ev.EffectFailed(world.letters[0], "test.dlq: no such topic"))
    world.acknowledge()
    assert world.state() == "retrying"
    assert world.lane.reason == (
        "offset 1, out of attempts (1): ValueError: boom; it is disposed of, waiting for the ledger"
    )
    assert world.partition.position == 2


def test_an_adopted_failure_that_is_given_up_waits_for_its_records_and_then_for_the_other_lanes() -> None:
    world = World(STOPS)
    entry = LaneEntry(0, 3, "old", 3, 5, 1, 1, Claim("host.1", "n"), failure(3), seen=Seen("old", 1, "host.1 n", b"o"))
    world.entry = PartitionEntry(base=3, rule="partition", topic_id="topic-id", lanes={0: entry})
    world.committed = (3, write_metadata(3, "topic-id"))
    world.assign()
    world.fetch(row(3))
    why = "offset 3, out of attempts (1): ValueError: boom"
    assert world.lane.reason == f"{why}; waiting until records up to 5 are read again (at 4)"
    world.fetch(row(4), row(5))
    assert world.lane.reason == f"{why}; it is given up in 3.0 s"
    world.handle(ev.Stop())
    assert world.lane.reason == f"{why}; the bridge is stopping, the next owner gives it up"


def test_a_lane_whose_link_may_still_run_says_when_its_record_is_given_up() -> None:
    world = World(replace(ALONE, retry=Retry(max_attempts=1)), limits=Limits(max_timeouts=1))
    world.assign()
    world.fetch(row(0))
    world.now += 1
    world.handle(ev.Tick())
    world.report(Outcome("failed", 0, Failure(0, "timeout", exception="LinkTimeout", message="too long")))
    assert world.lane.reason == "offset 0, out of attempts (1): LinkTimeout: too long; it is given up in 5.0 s"


def test_a_lane_that_the_brake_holds_says_for_how_long() -> None:
    world = World(replace(ALONE, retry=Retry(1, delay=4.0, jitter=0.0)), brake_lanes=1, brake_limit=60.0)
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(0))
    assert world.lane.reason == (
        "outage brake (1 lane fails, no batch succeeds), not given up: ValueError: boom; next attempt in 4.0 s"
    )
    world.now += 4
    world.handle(ev.Tick())
    world.report(Outcome("partial", 3, rejected=tuple(Rejection(n, "bad", 1, "parse") for n in range(3))))
    world.now += 1
    assert world.lane.reason == (
        "record 0 was rejected by parse: bad; nothing is given up while the outage brake holds (55 s)"
    )


def test_a_lane_whose_on_failed_task_is_asked_names_it_and_its_queue() -> None:
    world = World(replace(ALONE, retry=Retry(max_attempts=1), on_failed="rescue"))
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(1))
    world.now += 2
    assert (world.lane.state, world.lane.last_error) == ("running", "ValueError: boom")
    assert world.lane.reason == "on_failed (rescue) has been in queue hook-0 for 2.0 s"


def test_an_on_failed_task_that_nobody_can_run_stalls_the_lane() -> None:
    world = World(replace(ALONE, retry=Retry(max_attempts=1), on_failed="rescue"))
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(1))
    judged = world.dispatches[-1].judged
    assert judged is not None
    world.report(replace(judged, hook_error="NotRegistered: rescue"))
    assert world.state() == "stalled"
    assert world.lane.reason == "on_failed rescue: NotRegistered: rescue (asked again in 1 s)"


# --- a full partition


def full_world() -> tuple[World, bytes, bytes]:
    """Two lanes of four hold a chain each, lane 0's buffer fills the partition."""
    world = World(KEYED_STOPS, buffer_bytes=64 * 1024)
    world.assign()
    first, second = key_of(0), key_of(1)
    world.fetch(*(row(n, first, BIG) for n in range(8)))
    return world, first, second


def test_lanes_that_wait_behind_a_full_buffer_name_the_lane_that_fills_it() -> None:
    world, _, _ = full_world()
    assert world.partition.is_full
    assert world.partition.lanes[1].state == "idle"
    assert world.partition.lanes[1].reason == (
        "waiting for records; none are fetched, the partition's buffer is full (73 KiB of 64 KiB); "
        "lane 0 (running) holds 73 KiB of it"
    )


def test_a_lane_that_fills_the_buffer_itself_names_no_other() -> None:
    world, _, _ = full_world()
    lane = world.core.partitions[TP].lanes[0]
    lane.flight, lane.phase = None, Phase.FREE
    lane.batcher.take(world.now, flush=False)
    assert world.lane.reason == (
        "filling a batch: 2 of 3 records, closes by timeout in 1.0 s; "
        "none are fetched, the partition's buffer is full (73 KiB of 64 KiB)"
    )
    assert "lane 0 (filling) holds" in world.partition.lanes[1].reason


# --- blocked


def stopped_world() -> World:
    """Lane 0 of four is stopped at offset 0; everything that came has been fetched."""
    world = World(KEYED_STOPS)
    world.assign()
    first = key_of(0)
    world.fetch(row(0, first), row(1, first), row(2, first))
    world.report(failure(0))
    return world


def test_a_partition_with_a_stopped_lane_is_not_blocked_while_records_for_others_may_come() -> None:
    world = stopped_world()
    assert (world.lane.state, world.partition.blocked) == ("stopped", False)


def test_it_is_blocked_when_everything_expected_has_been_read_and_nothing_else_can_move() -> None:
    world = stopped_world()
    world.handle(ev.Flush({TP: 3}))
    assert world.partition.blocked


def test_it_is_not_blocked_before_the_expected_end_has_been_read() -> None:
    world = stopped_world()
    world.handle(ev.Flush({TP: 9}))
    assert not world.partition.blocked


def test_it_is_not_blocked_while_another_lane_has_work() -> None:
    world = stopped_world()
    world.handle(ev.Flush({TP: 4}))
    world.fetch(row(3, key_of(1)))
    assert [lane.state for lane in world.partition.lanes] == ["stopped", "running", "idle", "idle"]
    assert not world.partition.blocked
    world.report(Outcome("ok", 4))
    assert world.partition.blocked


def test_it_is_blocked_when_the_stopped_lane_fills_the_buffer() -> None:
    world, _, _ = full_world()
    world.report(failure(0))
    assert world.state() == "stopped"
    assert world.partition.is_full
    assert world.partition.blocked


def test_a_partition_with_one_lane_is_blocked_as_soon_as_that_is_stopped() -> None:
    world = World(STOPS)
    world.assign()
    world.fetch(row(0), row(1), row(2))
    assert not world.partition.blocked
    world.report(failure(0))
    assert world.partition.blocked


def test_a_partition_that_is_assigned_anew_is_not_blocked() -> None:
    world = World(STOPS)
    world.assign()
    world.fetch(row(0), row(1), row(2))
    world.report(failure(0))
    world.silent = {AssignOwner}
    world.core.partitions[TP].reassign("Redis was emptied")
    assert (world.lane.state, world.partition.blocked) == ("stopped", False)


# --- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (12.4, "12 s"), (119, "119 s"), (120, "2 min"), (7260, "2 h 1 min")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("amount", "text"), [(900, "900 B"), (2048, "2 KiB"), (50_331_648, "48.0 MiB")])
def test_sizes_are_short(amount: int, text: str) -> None:
    assert size(amount) == text
