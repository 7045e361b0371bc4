"""Hypothesis drives the batcher and the whole core against naive models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.batching import Batcher, ClosedBatch, rows_bytes
from bridge.core.disposing import Disposing
from bridge.core.failures import Limits
from bridge.core.lane import Lane, Phase
from bridge.core.partition import Partition
from bridge.records import OFFSET, Action, PipelineRules, Retry, Row
from tests.core.bench import KEY_0, KEY_1, TP, row
from tests.core.driven import Driven
from tests.simulation.kafka import Log
from tests.simulation.truth import Violation

QUIET = settings(
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class Batches(RuleBasedStateMachine):
    """A list of rows is the model: what is taken is its beginning, cut where the rules say."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waiting: list[Row] = []
        self.opened: dict[int, float] = {}
        self.next = 0

    @initialize(size=st.integers(1, 5), limit=st.integers(1, 40), predicate=st.booleans())
    def begin(self, size: int, limit: int, predicate: bool) -> None:
        ends = (lambda record, batch: record.offset % 4 == 3) if predicate else None
        self.pipeline = PipelineRules("p", batch_size=size, batch_bytes=limit, batch_timeout=2.0, close_batch=ends)
        self.batcher = Batcher(TP, self.pipeline)

    @rule(sizes=st.lists(st.integers(0, 15), min_size=1, max_size=8))
    def add(self, sizes: list[int]) -> None:
        rows = [row(self.next + index, value=b"x" * size) for index, size in enumerate(sizes)]
        self.next += len(rows)
        self.batcher.add(rows, self.now)
        self.waiting += rows
        self.opened |= {r[OFFSET]: self.now for r in rows}

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(flush=st.booleans(), most=st.integers(1, 4), back=st.integers(0, 3))
    def take(self, flush: bool, most: int, back: int) -> None:
        before, waiting = self.batcher.count, list(self.waiting)
        batches = self.batcher.take(self.now, flush=flush, most=most)
        assert batches or not self.waiting or not flush
        assert len(batches) <= most
        for batch in batches:
            taken, self.waiting = self.waiting[: len(batch.rows)], self.waiting[len(batch.rows) :]
            assert list(batch.rows) == taken
            assert batch.size_bytes == rows_bytes(taken)
            self._check_cut(batch)
        if len(batches) > 1:
            assert sum(batch.size_bytes for batch in batches) <= self.pipeline.batch_bytes
            assert not {batch.trigger for batch in batches} & {"timeout", "flush"}
        if back and len(batches) >= back:
            self.batcher.put_back(batches[-back:])
            rows = sum(len(batch.rows) for batch in batches[:-back])
            self.waiting = waiting[rows:]
            assert self.batcher.count == before - rows

    def _check_cut(self, batch: ClosedBatch) -> None:
        size, limit = self.pipeline.batch_size, self.pipeline.batch_bytes
        following = rows_bytes(self.waiting[:1])
        assert len(batch.rows) <= size
        assert len(batch.rows) == 1 or batch.size_bytes <= limit
        reasons = {
            "size": len(batch.rows) == size,
            "bytes": batch.size_bytes >= limit or batch.size_bytes + following > limit,
            "predicate": self.pipeline.close_batch is not None and batch.rows[-1][OFFSET] % 4 == 3,
            "timeout": self.now >= self.opened[batch.rows[0][OFFSET]] + 2.0,
            "flush": True,
        }
        assert reasons[batch.trigger]

    @rule()
    def take_all(self) -> None:
        assert self.batcher.take_all() == self.waiting
        self.waiting = []

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "batcher"):
            assert self.batcher.count == len(self.waiting)
            assert self.batcher.size_bytes == rows_bytes(self.waiting)
            assert self.batcher.first_offset == (self.waiting[0][OFFSET] if self.waiting else None)


class Histories(RuleBasedStateMachine):
    """One partition, bridges that follow each other, effects that stay away, workers and their queue."""

    def __init__(self) -> None:
        super().__init__()
        self.bridges = 0

    @initialize(lanes=st.sampled_from([1, 2]), size=st.integers(1, 3), links=st.sampled_from([1, 2]))
    def begin(self, lanes: int, size: int, links: int) -> None:
        rules = PipelineRules(
            "p",
            ("parse", "store")[-links:],
            batch_size=size,
            order_by="partition" if lanes == 1 else "key",
            lanes=lanes,
            retry=Retry(1000, delay=1.0, max_delay=4.0),
        )
        self.bench = Driven(rules)
        self.bench.kafka.logs[TP] = Log()
        self.bench.broker.end = 0
        self.bench.assign()

    # --- records ---------------------------------------------------------------------------------------------------

    @rule(keys=st.lists(st.sampled_from([None, KEY_0, KEY_1]), min_size=1, max_size=4), gap=st.sampled_from([0, 0, 2]))
    def produce(self, keys: list[bytes | None], gap: int) -> None:
        log = self.bench.kafka.logs[TP]
        for key in keys:
            log.append(key, b"v", gap=gap)
        if gap:
            log.mark()
        self.bench.broker.end = log.end

    @rule(count=st.integers(1, 6))
    def read(self, count: int) -> None:
        self.bench.read(count)

    # --- workers ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.bench.queue)
    @rule(index=st.integers(0, 99), keep=st.booleans())
    def take_message(self, index: int, keep: bool) -> None:
        self.bench.take_message(index % len(self.bench.queue), keep=keep)

    @precondition(lambda self: self.bench.queue)
    @rule(index=st.integers(0, 99))
    def lose_message(self, index: int) -> None:
        self.bench.queue.pop(index % len(self.bench.queue))

    @precondition(lambda self: self.bench.jobs)
    @rule(index=st.integers(0, 99), bad=st.sampled_from([None, None, None, 0, 1, 2]), heard=st.booleans())
    def finish(self, index: int, bad: int | None, heard: bool) -> None:
        self.bench.finish(index % len(self.bench.jobs), bad, heard=heard)

    @precondition(lambda self: self.bench.jobs)
    @rule(index=st.integers(0, 99))
    def kill(self, index: int) -> None:
        self.bench.kill(index % len(self.bench.jobs))

    # --- effects that stay away ------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from([ef.AskKafka, ef.AssignOwner, ef.Restore, ef.Dispatch, ef.ReadLanes, ef.Commit]))
    def keep(self, kind: type) -> None:
        self.bench.silent.add(kind)

    @rule()
    def keep_nothing(self) -> None:
        self.bench.silent.clear()

    @precondition(lambda self: self.bench.kept)
    @rule(index=st.integers(0, 99), heard=st.booleans(), done=st.booleans())
    def answer(self, index: int, heard: bool, done: bool) -> None:
        """One effect that was kept is carried out now, whatever was asked later; or it fails, done or not."""
        effect = self.bench.kept.pop(index % len(self.bench.kept))
        if heard:
            self.bench.carry_out(effect)
            return
        if done and not isinstance(effect, ef.Commit):
            self.bench._answers(effect)
        self.bench.handle(ev.EffectFailed(effect, "silent"))

    @rule(yes=st.booleans())
    def brokers_answer(self, yes: bool) -> None:
        self.bench.answer = ev.CommitAnswer.OK if yes else ev.CommitAnswer.AGAIN

    # --- time, owners, Redis ---------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 1.1, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.bench.beat()
        self.bench.wait(seconds)

    @rule(lost=st.booleans())
    def hand_over(self, lost: bool) -> None:
        """Another bridge gets the partition; a last commit reaches the broker before that, or never."""
        old = self.bench
        old.silent.discard(ef.Commit)
        commits = [effect for effect in old.kept if isinstance(effect, ef.Commit)]
        old.kept.clear()
        for commit in commits:
            old.commit(commit.entries)
        old.handle((ev.Lost if lost else ev.Revoked)((TP,)))
        self.bridges += 1
        self.bench = Driven(old.rules, beside=old, name=f"b{self.bridges}", limits=old.limits)
        self.bench.answer = old.answer
        self.bench.assign()

    @rule()
    def zombie_assigns(self) -> None:
        self.bench.ledger.assign(TP, "zombie", 0)

    @rule(queue_too=st.booleans())
    def redis_is_emptied(self, queue_too: bool) -> None:
        self.bench.ledger.flush()
        self.bench.truth.redis_lost()
        if queue_too:
            self.bench.queue.clear()

    @invariant()
    def nothing_unfinished_is_passed(self) -> None:
        partition = self.bench.core.partitions.get(TP) if hasattr(self, "bench") else None
        if partition is not None and partition.position >= 0:
            self.bench.truth.below(TP, partition.position, "the bridge stands at")

    def teardown(self) -> None:
        """Nothing goes wrong any more: everything is finished and committed in the end."""
        if not hasattr(self, "bench"):
            return
        bench = self.bench
        bench.silent.clear()
        bench.answer = ev.CommitAnswer.OK
        for _ in range(400):
            bench.carry_out_kept()
            bench.read(100)
            while bench.queue:
                bench.take_message(0)
            while bench.jobs:
                bench.finish(0, None, heard=True)
            bench.beat()
            bench.wait(2.0)
            log = bench.kafka.logs[TP]
            if bench.truth.first_open(TP) == log.end == bench.committed():
                break
        else:
            lanes = [(lane.phase, lane.reason) for lane in bench.partition().lanes.values()]
            raise AssertionError(f"never done: {lanes}")
        assert all(lane.phase in (Phase.FREE, Phase.RETRYING) for lane in bench.partition().lanes.values())


class Disposals(Histories):
    """The same, with records that are given up: rejected, out of attempts, alone or in batches that are split."""

    @initialize(
        lanes=st.sampled_from([1, 2]),
        size=st.integers(1, 5),
        links=st.sampled_from([1, 2]),
        attempts=st.integers(1, 2),
        policy=st.sampled_from(["dead_letter", "dead_letter", "skip"]),
        hook=st.sampled_from(["", "rescue"]),
    )
    def begin(self, lanes: int, size: int, links: int, attempts: int, policy: Action, hook: str) -> None:
        rules = PipelineRules(
            "p",
            ("parse", "store")[-links:],
            batch_size=size,
            order_by="partition" if lanes == 1 else "key",
            lanes=lanes,
            retry=Retry(attempts, delay=1.0, max_delay=4.0),
            on_exhausted=policy,
            on_failed=hook,
        )
        self.bench = Driven(rules, limits=Limits(1, 1))
        self.bench.kafka.logs[TP] = Log()
        self.bench.broker.end = 0
        self.bench.assign()

    @rule(
        count=st.integers(1, 5),
        ends=st.lists(
            st.tuples(
                st.sampled_from([None, 0, 1, 2, 3]),
                st.sampled_from(["named", "unnamed", "rejected"]),
                st.sampled_from(["dead_letter", "skip"]),
                st.booleans(),
            ),
            min_size=1,
            max_size=6,
        ),
    )
    def work(self, count: int, ends: list[tuple[int | None, str, Action, bool]]) -> None:
        """Records come, and links end one after the other: with a bad record, an answer of the on_failed task, heard
        or not."""
        self.produce([None, KEY_0, KEY_1, KEY_0, KEY_1][:count], 0)
        for bad, how, action, heard in ends:
            self.bench.read(9)
            self.bench.beat()
            self.bench.wait(1.1)
            if self.bench.queue:
                self.bench.take_message(0)
            if self.bench.jobs:
                self.bench.finish(0, bad, heard=heard, how=how, action=action)

    @rule(kind=st.sampled_from([ef.WriteDeadLetters, ef.Settle]))
    def keep_disposal(self, kind: type) -> None:
        self.bench.silent.add(kind)


def run(machine: Any, examples: int, steps: int, **more: Any) -> None:
    chosen = settings(QUIET, max_examples=examples, stateful_step_count=steps, **more)
    run_state_machine_as_test(machine, settings=chosen)


def test_batches_are_the_records_cut_as_the_rules_say() -> None:
    run(Batches, 60, 30)


def test_no_history_that_hypothesis_finds_breaks_a_promise() -> None:
    run(Histories, 150, 60)


def test_no_history_of_records_that_are_given_up_breaks_a_promise() -> None:
    run(Disposals, 80, 40)


def test_the_machine_of_disposals_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Disposing._settle

    def settle_one_too_many(disposing: Disposing, partition: Partition, lane: Lane, now: float) -> None:
        assert lane.writing is not None
        lane.writing = replace(lane.writing, upto=lane.writing.upto + 1)
        settle(disposing, partition, lane, now)

    monkeypatch.setattr(Disposing, "_settle", settle_one_too_many)
    with pytest.raises(Violation, match="is not disposed of"):
        run(Disposals, 60, 40, phases=[hypothesis.Phase.generate])


def test_the_machine_of_histories_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit_what_was_fetched(partition: Partition) -> None:
        if partition.expected is not None:
            partition.position = partition.expected
            partition.config.wants_commit(partition.tp)

    monkeypatch.setattr(Partition, "advance", commit_what_was_fetched)
    with pytest.raises(Violation, match="is not finished"):
        run(Histories, 20, 20, phases=[hypothesis.Phase.generate])
