"""One bridge on the bench: the real core, the ledger model, and a Kafka that answers at once unless it is told not to.

A test says what happens in the world and looks at what the core wanted. Effects whose type is in `silent` are kept in
`kept` and carried out by `carry_out`; those in `failing` fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.bridge import Core, CoreConfig
from bridge.core.lane import Lane
from bridge.core.partition import Partition
from bridge.entries import DeadLetter, Decided, Failure, FailureKind, Heartbeat, Outcome, Rejection
from bridge.instructions import Pause, Request, RequestAction, Target
from bridge.ledger.handle import Handle
from bridge.records import Action, PipelineRules, Retry, Row, TopicPartition
from tests.ledger.operators_model import OperatorsModel
from tests.simulation.inspection import check_commit, check_lane, check_memory
from tests.simulation.ledger import GROUP, Ledger, Payload

TP = TopicPartition("t", 0)
OTHER = TopicPartition("t", 1)
RULES = PipelineRules("p", tasks=("store",), batch_size=3, batch_timeout=1.0, retry=Retry(3, delay=4.0, jitter=0.0))

#: keys of lane 0 and lane 1 of two
KEY_0, KEY_1 = b"g", b"a"

E = TypeVar("E")


def row(offset: int, key: bytes | None = None, value: bytes = b"v") -> Row:
    """A record."""
    return (offset, 1_700_000_000_000 + offset, key, value, ())


def rows(*offsets: int) -> list[Row]:
    """Records without keys."""
    return [row(offset) for offset in offsets]


@dataclass(slots=True)
class Broker:
    """What Kafka knows of the partitions."""

    committed: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    topic_id: str = "id-1"
    start: int = 0
    end: int = 1000


class Bench:
    """One bridge. Another one on the same world is made by `beside`."""

    def __init__(
        self, rules: PipelineRules = RULES, *, beside: Bench | None = None, name: str = "b", **config: Any
    ) -> None:
        self.name = name
        self.now: float = beside.now if beside else 100.0
        self.ledger: Ledger = beside.ledger if beside else Ledger(lambda: int(self.now * 1000))
        self.operators: OperatorsModel = beside.operators if beside else OperatorsModel()
        self.broker: Broker = beside.broker if beside else Broker()
        self.core = Core(CoreConfig(GROUP, lambda topic: rules, lambda tp, lane, link: f"lane-{lane}", **config))
        self.silent: set[type] = set()
        self.failing: set[type] = set()
        self.kept: list[ef.Effect] = []
        self.answer = ev.CommitAnswer.OK
        self.effects: list[ef.Effect] = []
        self.beats: tuple[Heartbeat, ...] = ()
        self.redis_since = 0.0
        #: the dead letters that the broker has acknowledged, with their topics
        self.dead: list[tuple[str, DeadLetter]] = beside.dead if beside else []
        self._nonce = 0

    # --- events in, effects out ------------------------------------------------------------------------------------

    def handle(self, event: ev.Event) -> None:
        """Give the core an event, carry out what it wants, until it wants no more."""
        effects = self.core.handle(event, self.now)
        self.effects.extend(effects)
        self._check()
        for effect in effects:
            if type(effect) in self.silent:
                self.kept.append(effect)
            elif type(effect) in self.failing:
                self.handle(ev.EffectFailed(effect, "out of reach"))
            else:
                self.carry_out(effect)

    def _check(self) -> None:
        for partition in self.core.partitions.values():
            check_memory(partition)
            check_commit(self.core, partition)
            for lane in partition.lanes.values():
                check_lane(self.core, partition, lane, self.now)
        assert self.core.wake_at > self.now

    def carry_out(self, effect: ef.Effect) -> None:
        """Do what the effect says, and tell the answer."""
        if isinstance(effect, ef.AnswerRequest):
            self.operators.answer(effect.request, effect.result, done=effect.is_done, bridge=self.name, at_ms=0)
        elif isinstance(effect, ef.KeepPauses):
            self.operators.keep_pauses(effect.number, effect.pauses)
        for event in self._answers(effect):
            self.handle(event)

    def carry_out_kept(self) -> None:
        """Everything that was kept, now."""
        kept, self.kept = self.kept, []
        for effect in kept:
            self.carry_out(effect)

    def _answers(self, effect: ef.Effect) -> list[ev.Event]:
        match effect:
            case ef.AskKafka(tp, serial):
                return [self.facts(tp, serial)]
            case ef.Commit(entries):
                return [self.commit(entries)]
            case ef.PublishLink(tp, serial, lane, chain, link):
                return [ev.Published(tp, serial, lane, chain, link, True)]
            case ef.SetFault(tp, lane, chain, link, worker, outcome):
                self.ledger.fault(tp, lane, chain, link, worker, outcome)
                return self.notices()
        answer = self._owners_step(effect)
        return [] if answer is None else [answer]

    def _owners_step(self, effect: ef.Effect) -> ev.Event | None:
        answer: ev.Event | None = None
        match effect:
            case ef.AssignOwner(tp, serial, number):
                answer = ev.OwnerAssigned(tp, serial, self.ledger.assign(tp, self.name, number))
            case ef.ClearLedger(tp, serial, owner, ended):
                answer = ev.Cleared(tp, serial, self.ledger.clear(tp, owner, ended))
            case ef.Restore(tp, serial, owner, marks, rule, topic_id, base):
                yes = self.ledger.restore(tp, owner, marks, rule=rule, topic_id=topic_id, base=base)
                answer = ev.Restored(tp, serial, yes)
            case ef.ChangeRule(tp, serial, owner, rule, base):
                answer = ev.RuleChanged(tp, serial, self.ledger.change_rule(tp, owner, rule, base))
            case ef.Dispatch(tp, serial, _, chain):
                said = ev.DispatchAnswer(self.ledger.dispatch_effect(effect))
                answer = ev.Dispatched(tp, serial, chain.lane, chain.id, said)
            case ef.Settle(tp, serial, owner, lane, number, chain_id, upto, base):
                yes = self.ledger.settle(tp, owner, lane, chain_id, upto, base)
                answer = ev.Settled(tp, serial, lane, number, yes)
            case ef.WriteDeadLetters(tp, serial, owner, lane, number, chain_id, topic, letters):
                yes = self.ledger.dispose(tp, owner, lane, chain_id)
                self.dead += [(topic, letter) for letter in letters] if yes else []
                answer = ev.DeadLettersWritten(tp, serial, lane, number, yes)
            case ef.ReadLanes(number, partitions):
                found = self.ledger.read([tp for tp, _ in partitions])
                entries = {tp: (serial, found[tp]) for tp, serial in partitions}
                answer = ev.LanesRead(number, entries, self.beats, self.redis_since)
        return answer

    def facts(self, tp: TopicPartition, serial: int) -> ev.KafkaAnswered:
        """What Kafka says of a partition."""
        broker = self.broker
        committed, metadata = broker.committed.get(tp, (None, ""))
        return ev.KafkaAnswered(tp, serial, committed, metadata, broker.topic_id, broker.start, broker.end)

    def commit(self, entries: Mapping[TopicPartition, ef.CommitEntry]) -> ev.CommitAnswered:
        """The broker takes a commit, or not (`answer`)."""
        if self.answer is ev.CommitAnswer.OK:
            self.broker.committed.update({tp: (entry.offset, entry.metadata) for tp, entry in entries.items()})
        return ev.CommitAnswered({tp: (entry.serial, entry.offset, self.answer, "no") for tp, entry in entries.items()})

    def notices(self) -> list[ev.Event]:
        """The outcomes that this bridge hears of."""
        return [
            ev.OutcomeHeard(notice.tp, notice.lane, notice.seen, notice.outcome)
            for bridge, notice in self.ledger.take_notices()
            if bridge == self.name
        ]

    # --- what a test says ------------------------------------------------------------------------------------------

    def assign(self, *partitions: TopicPartition) -> Bench:
        """The group gives us partitions."""
        self.handle(ev.Assigned(partitions or (TP,)))
        return self

    def fetch(self, *records: int | Row, tp: TopicPartition = TP) -> None:
        """Records come."""
        self.handle(ev.Fetched(tp, [row(record) if isinstance(record, int) else record for record in records]))

    def wait(self, seconds: float) -> None:
        """Time passes; the core is woken whenever it wants to be."""
        until = self.now + seconds
        while self.core.wake_at <= until:
            self.now = max(self.now, self.core.wake_at)
            self.handle(ev.Tick())
        self.now = until
        self.handle(ev.Tick())

    def seconds_until(self, kind: type[ef.Effect]) -> float:
        """How long it takes until the core wants this, if nothing happens but time."""
        begun = self.now
        self.take(kind)
        while not self.take(kind):
            self.now = self.core.wake_at
            self.handle(ev.Tick())
        return round(self.now - begun, 3)

    def claim(self, lane: int = 0, worker: str = "w1", tp: TopicPartition = TP) -> bool:
        """A worker claims the current link of the lane's chain."""
        self._nonce += 1
        return not self.ledger.claim(self._current(tp, lane), worker, str(self._nonce)).refused

    def advance(self, lane: int = 0, tp: TopicPartition = TP) -> bool:
        """The worker passes the batch on."""
        return self.ledger.advance(self._current(tp, lane), str(self._nonce), None)

    def complete(
        self, outcome: Outcome | None = None, *, lane: int = 0, tp: TopicPartition = TP, heard: bool = True
    ) -> bool:
        """The worker that claimed last reports; `ok` when nothing else is given."""
        entry = self.ledger.read([tp])[tp].lanes[lane]
        if entry.claim is None:
            self.claim(lane, tp=tp)
            entry = self.ledger.read([tp])[tp].lanes[lane]
        assert entry.claim is not None
        outcome = outcome or Outcome("ok", entry.last + 1)
        done = self.ledger.complete(self._current(tp, lane), entry.claim.worker, entry.claim.nonce, outcome)
        events = self.notices()
        for event in events if heard else []:
            self.handle(event)
        return done

    def fail(self, offset: int, message: str = "no", *, lane: int = 0, tp: TopicPartition = TP, **more: Any) -> bool:
        """The record at `offset` fails; everything before it is finished."""
        failure = Failure(offset, "failed", True, 1, "store", "ValueError", message, **more)
        return self.complete(Outcome("failed", offset, failure), lane=lane, tp=tp)

    def reject(self, *offsets: int, fails: int | None = None) -> bool:
        """The batch succeeds but for these records; or up to the record at `fails`."""
        next_offset, failure = self.ledger.read([TP])[TP].lanes[0].last + 1, None
        if fails is not None:
            next_offset, failure = fails, Failure(fails, "failed", True, 1, "store", "ValueError", "no")
        rejected = tuple(Rejection(offset, "bad", 1, "store") for offset in offsets)
        return self.complete(Outcome("partial", next_offset, failure, rejected))

    def fail_all(self, message: str = "no", *, lane: int = 0, tp: TopicPartition = TP, **more: Any) -> bool:
        """The batch fails and nobody knows which of its records is at fault."""
        first = self.first(tp, lane)
        failure = Failure(first, "failed", False, 1, "store", "ValueError", message, **more)
        return self.complete(Outcome("failed", first, failure), lane=lane, tp=tp)

    def fault(self, kind: FailureKind, exception: str = "", *, lane: int = 0, tp: TopicPartition = TP) -> None:
        """The bridge gives the chain this outcome: Celery or the sweep has found out."""
        entry = self.ledger.read([tp])[tp].lanes[lane]
        worker = entry.claim.worker if entry.claim is not None else ""
        self.core.dispatching.set_fault(self.lane(lane, tp), entry.link, kind, worker, exception or kind, "gone")
        self.handle(ev.Tick())

    def decide(self, *actions: Action, error: str = "", lane: int = 0, tp: TopicPartition = TP) -> bool:
        """The on_failed task says what is done with each record that it was asked about."""
        entry = self.ledger.read([tp])[tp].lanes[lane]
        assert entry.judged is not None
        offsets = [r[0] for r in self.payload(lane=lane, tp=tp).rows]
        decided = tuple(Decided(offset, action) for offset, action in zip(offsets, actions, strict=True))
        answer = replace(entry.judged, decided=(*entry.judged.decided, *decided), hook_error=error)
        return self.complete(answer, lane=lane, tp=tp)

    def payload(self, *, lane: int = 0, tp: TopicPartition = TP) -> Payload:
        """What the lane's chain carries."""
        return self.ledger.payload(self.ledger._lane(tp, lane).payload or b"")

    def first(self, tp: TopicPartition = TP, lane: int = 0) -> int:
        """The first offset of the chain that the lane was given last."""
        return self.ledger.read([tp])[tp].lanes[lane].first

    def _current(self, tp: TopicPartition, lane: int) -> Handle:
        entry = self.ledger.read([tp])[tp].lanes[lane]
        return Handle.of(GROUP, tp, lane, entry.chain, entry.link)

    # --- operators -------------------------------------------------------------------------------------------------

    def instruct(self) -> None:
        """The bridge reads what operators want."""
        self.handle(ev.Instructed(self.operators.read()))

    def pause(self, *target: str | int) -> None:
        """An operator pauses a topic, a partition or a lane."""
        self.operators.pause(Pause(Target(*(target or ("t",))), "ann", 0, "a deploy"))  # type: ignore[arg-type]
        self.instruct()

    def resume(self, *target: str | int) -> None:
        """And resumes it."""
        self.operators.resume(Target(*(target or ("t",))), who="ann", at_ms=0)  # type: ignore[arg-type]
        self.instruct()

    def ask(self, action: RequestAction, offset: int, lane: int = 0) -> None:
        """An operator wants this done about the record."""
        self._nonce += 1
        target = Target(*TP, lane)
        self.operators.ask(Request(f"{action}-{offset}-{self._nonce}", action, target, offset, "ann", 0))
        self.instruct()

    def answers(self) -> list[str]:
        """What was answered to operators, the oldest first."""
        return [line.result for line in self.operators.audit() if line.result]

    # --- what a test looks at --------------------------------------------------------------------------------------

    def take(self, kind: type[E]) -> list[E]:
        """The effects of this kind since they were taken last."""
        taken: list[E] = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return taken

    def batches(self) -> list[list[int]]:
        """The offsets of every batch dispatched since they were taken last."""
        return [[r[0] for r in effect.rows] for effect in self.take(ef.Dispatch)]

    def said(self, action: str) -> list[str]:
        """What was reported under this action since that was asked last."""
        said = [effect for effect in self.effects if isinstance(effect, ef.Report) and effect.action == action]
        self.effects = [effect for effect in self.effects if effect not in said]
        return [effect.text for effect in said]

    def partition(self, tp: TopicPartition = TP) -> Partition:
        """The core's partition."""
        return self.core.partitions[tp]

    def lane(self, index: int = 0, tp: TopicPartition = TP) -> Lane:
        """One of its lanes."""
        return self.partition(tp).lanes[index]

    def dead_letters(self) -> list[tuple[int, str]]:
        """Offset and disposition of every dead letter, in the order in which they were acknowledged."""
        return [(letter.row[0], letter.disposition) for _, letter in self.dead]

    def committed(self, tp: TopicPartition = TP) -> int | None:
        """What the broker has for the partition."""
        return self.broker.committed.get(tp, (None, ""))[0]
