"""A bench whose every step somebody else chooses: what the state machine of test_machines.py drives.

The consumer, the queue and the workers are as naive as can be; `Truth` knows what has really happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.failures import Limits
from bridge.entries import Decided, Failure, Heartbeat, Outcome, OutcomeKind, Rejection
from bridge.records import OFFSET, Action, PipelineRules, TopicPartition
from tests.core.bench import TP, Bench
from tests.simulation.kafka import Kafka
from tests.simulation.ledger import Payload
from tests.simulation.truth import Execution, Truth
from tests.simulation.workers import Message


@dataclass(eq=False, slots=True)
class Job:
    """A worker runs a link."""

    worker: str
    nonce: str
    message: Message
    payload: Payload
    execution: Execution


class Driven(Bench):
    """One bridge on a world that outlives it (`beside`)."""

    def __init__(
        self,
        rules: PipelineRules,
        *,
        beside: Driven | None = None,
        name: str = "b0",
        limits: Limits = Limits(1000, 1000),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(rules, beside=beside, name=name, limits=limits)
        self.rules, self.limits = rules, limits
        self.kafka: Kafka = beside.kafka if beside else Kafka()
        self.truth: Truth = beside.truth if beside else Truth(self.kafka, self.ledger, links=rules.links)
        #: records with which something was wrong, and the dead letters under way
        self.wrong: set[int] = beside.wrong if beside else set()
        self.truth.may_give_up = lambda tp, offset: offset in self.wrong
        self.writes: dict[int, ef.WriteDeadLetters] = {}
        self.dispatched: dict[str, list[int]] = beside.dispatched if beside else {}
        self.queue: list[Message] = beside.queue if beside else []
        self.jobs: list[Job] = beside.jobs if beside else []
        self.workers: list[str] = beside.workers if beside else []
        self.reads_from: int | None = None
        self.is_paused = self.holds = False

    # --- what is given up ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        for effect in self.effects:
            if isinstance(effect, ef.Settle):
                may_skip = bool(self.rules.on_failed) or self.rules.on_exhausted == "skip"
                self.truth.settled(effect, may_skip=may_skip, era=0)
        self.effects.clear()
        super()._check()

    def handle(self, event: ev.Event) -> None:
        if isinstance(event, ev.DeadLettersWritten) and event.is_owner:
            self.truth.written(self.writes[event.number], 0, era=0)
        super().handle(event)

    # --- effects ---------------------------------------------------------------------------------------------------

    def carry_out(self, effect: ef.Effect) -> None:
        match effect:
            case ef.StartFetching(_, offset):
                self.reads_from, self.is_paused = offset, False
            case ef.PauseFetching():
                self.is_paused = True
            case ef.ResumeFetching():
                self.is_paused = False
            case ef.HoldFetching(on):
                self.holds = on
            case ef.PublishLink(tp, _, lane, chain, link):
                self.queue.append(Message(tp, lane, chain, link))
        super().carry_out(effect)

    def _owners_step(self, effect: ef.Effect) -> ev.Event | None:
        is_new = isinstance(effect, ef.Dispatch) and self.ledger.chain(effect.tp, effect.chain.lane) != effect.chain.id
        answer = super()._owners_step(effect)
        if isinstance(effect, ef.WriteDeadLetters) and getattr(answer, "is_owner", False):
            self.truth.letter(effect)
            self.writes[effect.number] = effect
        if isinstance(effect, ef.Dispatch) and getattr(answer, "answer", None) is ev.DispatchAnswer.OK:
            self.queue.append(Message(effect.tp, effect.chain.lane, effect.chain.id, 1))
            if is_new:
                self.truth.dispatched(effect, is_fenced=False, era=0)
                self.dispatched[effect.chain.id] = [row[OFFSET] for row in effect.rows]
        return answer

    def commit(self, entries: Mapping[TopicPartition, ef.CommitEntry]) -> ev.CommitAnswered:
        if self.answer is ev.CommitAnswer.OK:
            for tp, entry in entries.items():
                self.truth.committed(tp, entry)
                self.kafka.commit(tp, entry)
        return super().commit(entries)

    def notices(self) -> list[ev.Event]:
        events: list[ev.Event] = []
        for bridge, notice in self.ledger.take_notices():
            chain = notice.seen.chain
            kind = notice.outcome.failure.kind if notice.outcome.failure else ""
            if kind in ("worker_lost", "timeout") or notice.outcome.hook_error:
                self.truth.declared_dead(chain, notice.seen.link)
                self.wrong.update(self.dispatched[chain])
            self.truth.reported(self.truth.place(notice.tp, notice.lane), chain, self.dispatched[chain], notice.outcome)
            if bridge == self.name:
                events.append(ev.OutcomeHeard(notice.tp, notice.lane, notice.seen, notice.outcome))
        return events

    # --- the consumer ----------------------------------------------------------------------------------------------

    def read(self, count: int) -> None:
        """Records come, or the end of the log."""
        if self.reads_from is None or self.is_paused or self.holds:
            return
        log = self.kafka.logs[TP]
        if rows := log.read(self.reads_from, count):
            self.reads_from = rows[-1][OFFSET] + 1
            self.handle(ev.Fetched(TP, rows))
        else:
            self.reads_from = log.end
            self.handle(ev.EndOfLog(TP, log.end))

    # --- workers ---------------------------------------------------------------------------------------------------

    def take_message(self, index: int, *, keep: bool = False) -> None:
        """A worker takes a message out of the queue (`keep`: and its double stays) and begins to run it."""
        message = self.queue[index] if keep else self.queue.pop(index)
        self._nonce += 1
        worker, nonce = f"w{self._nonce}", f"{self.name}.{self._nonce}"
        answer = self.ledger.claim(message.handle, worker, nonce)
        if answer.refused or answer.payload is None:
            return
        payload = self.ledger.payload(answer.payload)
        place = self.truth.place(message.tp, message.lane)
        execution = Execution(place, message.chain, message.link, worker, payload.rows)
        self.truth.claim(execution)
        self.truth.begin(execution)
        self.jobs.append(Job(worker, nonce, message, payload, execution))
        self.workers.append(worker)

    def finish(
        self, index: int, bad: int | None, *, heard: bool, how: str = "named", action: Action = "dead_letter"
    ) -> None:
        """The job is done: the record at place `bad` of its rows (None: none) has failed, `named` or not, or was
        rejected; an on_failed task wants this done with each of its records."""
        job = self.jobs.pop(index)
        self.truth.end(job.execution)
        judged = job.payload.judged
        if judged is not None:
            decided = tuple(Decided(row[OFFSET], action) for row in job.payload.rows)
            outcome = replace(judged, decided=(*judged.decided, *decided))
            self.ledger.complete(job.message.handle, job.worker, job.nonce, outcome)
        else:
            self._pass_on(job, self._result(job, bad, how))
        self.truth.released(job.execution)
        events = self.notices()
        for event in events if heard else ():
            self.handle(event)

    def _result(self, job: Job, bad: int | None, how: str) -> Payload:
        payload = job.payload
        if bad is None:
            return payload
        offset, link = payload.rows[bad % len(payload.rows)][OFFSET], job.message.link
        if how == "rejected":
            self.wrong.add(offset)
            for later in range(link + 1, self.rules.links + 1):  # which it never sees, and nothing waits for it there
                self.truth.ran[job.message.tp, later].add(offset)
            rows = tuple(row for row in payload.rows if row[OFFSET] != offset)
            return replace(payload, rows=rows, rejected=(*payload.rejected, Rejection(offset, "bad", link, "store")))
        if how == "unnamed":
            offset = payload.rows[0][OFFSET]
        self.wrong.update([offset] if how == "named" else [row[OFFSET] for row in payload.rows])
        failure = Failure(offset, "failed", how == "named", link, "store", "ValueError", "no")
        return replace(payload, rows=tuple(row for row in payload.rows if row[OFFSET] < offset), carried=failure)

    def _pass_on(self, job: Job, result: Payload) -> None:
        handle, link, failure = job.message.handle, job.message.link, result.carried
        if result.rows and link < self.rules.links:
            if self.ledger.advance(handle, job.nonce, self.ledger.put(result)):
                self.queue.append(job.message._replace(link=link + 1))
            return
        upto = failure.offset if failure is not None else result.last + 1
        rejected = tuple(sorted((r for r in result.rejected if r.offset < upto), key=lambda r: r.offset))
        kind: OutcomeKind = "failed" if failure else "partial" if rejected else "ok"
        self.ledger.complete(handle, job.worker, job.nonce, Outcome(kind, upto, failure, rejected))

    def kill(self, index: int) -> None:
        """kill -9 of the worker."""
        job = self.jobs.pop(index)
        self.wrong.update(row[OFFSET] for row in job.payload.rows)
        self.truth.released(job.execution)
        self.workers.remove(job.worker)

    def beat(self) -> None:
        """Every living worker gives its sign of life."""
        links = {job.worker: (job.message.id,) for job in self.jobs}
        now_ms = int(self.now * 1000)
        queues = tuple(f"lane-{lane}" for lane in range(4))
        self.beats = tuple(
            Heartbeat(
                worker, worker, "solo", queues, ("parse", "store", "rescue"), links.get(worker, ()), written_ms=now_ms
            )
            for worker in self.workers
        )
