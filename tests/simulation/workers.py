"""Workers of the simulation: claim, run, advance or complete; any of it late, lost, doubled or cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from bridge.core import events as ev
from bridge.entries import Decided, Failure, Heartbeat, Outcome, OutcomeKind, Rejection, link_id
from bridge.ledger.handle import Handle
from bridge.records import OFFSET, Action, Row, TopicPartition
from tests.simulation.ledger import GROUP, Payload
from tests.simulation.truth import Execution

if TYPE_CHECKING:
    from tests.simulation.world import World

TASK, HOOK = "task", "hook"


class Message(NamedTuple):
    """A link in the queue."""

    tp: TopicPartition
    lane: int
    chain: str
    link: int

    @property
    def id(self) -> str:
        """The Celery task id."""
        return link_id(self.chain, self.link)

    @property
    def handle(self) -> Handle:
        """What the message carries."""
        return Handle.of(GROUP, self.tp, self.lane, self.chain, self.link)


@dataclass(eq=False, slots=True)
class Job:
    """What a worker has in hand."""

    message: Message
    nonce: str
    payload: Payload | None = None
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What user code leaves: the rows that go on, why they end early, what was rejected."""

    rows: tuple[Row, ...]
    failure: Failure | None
    rejected: tuple[Rejection, ...]


class SimWorker:
    """One worker process with one child. `mute`: it lives, but its heartbeat does not get through."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        self.index = index
        self.generation = 0
        self.alive = True
        self.mute = False
        self.job: Job | None = None
        self._beat()

    @property
    def id(self) -> str:
        """A new one with each start."""
        return f"w{self.index}.{self.generation}"

    # --- signs of life ---------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        world = self.world
        world.after(3.0, self._beat)
        if self.alive and not self.mute and not world.redis_is_down:
            links = (self.job.message.id,) if self.job is not None else ()
            world.ledger.write_heartbeat(
                Heartbeat(self.id, self.id, world.pool, ("lane-0",), (TASK, HOOK), links), expiry_s=10.0
            )

    def die(self) -> None:
        """kill -9 of the whole worker; it is started again later."""
        self._drop_job()
        self.alive = False
        self.world.after(self.world.random.uniform(0.5, 5.0), self._start)

    def _start(self) -> None:
        self.generation += 1
        self.alive, self.mute = True, False
        self.poll_soon()

    def lose_child(self, status: str, exception: str, message: str) -> None:
        """The process that runs the link is gone; Celery stores an error."""
        if self.job is None:
            return
        error = ev.ErrorHeard(self.job.message.id, status, exception, message, self.id)
        self._drop_job()
        self.world.tell_error(error)
        self.poll_soon()

    def _drop_job(self) -> None:
        if self.job is not None and self.job.execution is not None:
            self.world.truth.released(self.job.execution)
        self.job = None

    # --- one link --------------------------------------------------------------------------------------------------

    def poll_soon(self) -> None:
        """There may be a message."""
        self.world.soon(self._poll)

    def _poll(self) -> None:
        world = self.world
        if not self.alive or self.job is not None or not world.queue:
            return
        message = world.queue.pop(world.random.randrange(len(world.queue)))
        if world.chance("msgloss", 0.05):
            pass
        elif world.chance("unknown", 0.03):
            world.tell_error(ev.ErrorHeard(message.id, "FAILURE", "NotRegistered", TASK, self.id))
        elif message.id in world.revoked:
            world.tell_error(ev.ErrorHeard(message.id, "REVOKED", "TaskRevokedError", "revoked", self.id))
        else:
            self.job = Job(message, world.number())
            self._next(self._claim, world.ledger_latency())
            return
        self.poll_soon()

    def _next(self, step: Callable[[Job], None], delay: float | None = None) -> None:
        """The next step of the job in hand, unless it is dropped before."""
        job = self.job
        assert job is not None

        def go() -> None:
            if self.job is job:
                step(job)

        if delay is None:
            self.world.soon(go)
        else:
            self.world.after(delay, go)

    def _done(self) -> None:
        self._drop_job()
        self.poll_soon()

    def _claim(self, job: Job) -> None:
        world = self.world
        if world.redis_is_down:
            self._next(self._claim, 0.5)
            return
        answer = world.ledger.claim(job.message.handle, self.id, job.nonce)
        if not answer.refused and answer.payload is not None and job.execution is None:
            payload = job.payload = world.ledger.payload(answer.payload)
            place = world.truth.place(job.message.tp, job.message.lane)
            job.execution = Execution(place, job.message.chain, job.message.link, self.id, payload.rows)
            world.truth.claim(job.execution)
        if world.chance("lost", 0.03):
            self._next(self._claim, 0.5)
        elif answer.refused:
            self._done()
        else:
            self._next(self._begin)

    def _begin(self, job: Job) -> None:
        assert job.execution is not None
        self.world.truth.begin(job.execution)
        hangs = self.world.chance("hang", 0.03)
        self._next(self._end, self.world.random.uniform(40, 80) if hangs else self.world.random.expovariate(5.0))

    def _end(self, job: Job) -> None:
        assert job.execution is not None
        assert job.payload is not None
        self.world.truth.end(job.execution)
        if "killer" in self.world.mix.faults and job.payload.judged is None and self._poison(job) is not None:
            self.lose_child("FAILURE", "WorkerLostError", "exited with SIGKILL")
            return
        if job.payload.judged is not None:
            self._answer(job, self._decide(job.payload.judged))
            return
        result = self._result(job, job.payload)
        if self.world.now < self.world.slow_until:
            self._next(lambda same: self._report(same, result), self.world.ledger_latency())
        else:
            self._report(job, result)

    def _poison(self, job: Job) -> int | None:
        """The first poisoned record that the job has in hand."""
        assert job.payload is not None
        tp = job.message.tp
        return next((row[OFFSET] for row in job.payload.rows if (tp, row[OFFSET]) in self.world.poison), None)

    def _decide(self, judged: Outcome) -> Outcome:
        """What the on_failed task says."""
        draw = self.world.random
        words: tuple[Action, ...] = ("dead_letter", "dead_letter", "skip", "stop" if draw.random() < 0.1 else "skip")
        decided = tuple(Decided(offset, draw.choice(words)) for offset in judged.at_stake)
        return replace(judged, decided=(*judged.decided, *decided))

    def _answer(self, job: Job, outcome: Outcome) -> None:
        """The on_failed task reports."""
        world = self.world
        if world.redis_is_down:
            self._next(lambda same: self._answer(same, outcome), 0.5)
            return
        world.ledger.complete(job.message.handle, self.id, job.nonce, outcome)
        world.take_notices()
        if world.chance("lost", 0.03):
            self._next(lambda same: self._answer(same, outcome), 0.5)
        else:
            self._done()

    def _result(self, job: Job, payload: Payload) -> Result:
        world, rows, message = self.world, payload.rows, job.message
        failure, rejected = payload.carried, list(payload.rejected)
        if message.link == 1 and world.undecodable:
            bad_ones = {row[OFFSET] for row in rows if (message.tp, row[OFFSET]) in world.undecodable}
            rejected += [Rejection(offset, "no", 1, TASK, "undecodable") for offset in sorted(bad_ones)]
            rows = tuple(row for row in rows if row[OFFSET] not in bad_ones)
        bad = self._poison(job)
        named = "unnamed" not in world.mix.faults
        if bad is None and rows and world.chance("taskfail", 0.15):
            named = world.random.random() < 0.6
            bad = world.random.choice(rows)[OFFSET] if named else rows[0][OFFSET]
        if bad is not None and not named:  # the batch failed, nobody knows by which of its records
            first = payload.batch_of(bad).first
            bad = next(row[OFFSET] for row in payload.rows if row[OFFSET] >= first)
        if bad is not None:
            failure = Failure(bad, "failed", named, message.link, TASK, "ValueError", "no")
            rows = tuple(row for row in rows if row[OFFSET] < bad)
        if rows and message.tp in world.rejecting and rows[0][OFFSET] >= world.rejecting[message.tp]:
            rejected.append(Rejection(rows[-1][OFFSET], "not wanted", message.link, TASK))
            rows = rows[:-1]
        return Result(rows, failure, tuple(rejected))

    def _report(self, job: Job, result: Result) -> None:
        world, message = self.world, job.message
        assert job.payload is not None
        if world.redis_is_down:
            self._next(lambda same: self._report(same, result), 0.5)
            return
        if message.link < world.links and result.rows:
            batches = job.payload.batches
            payload = Payload(result.rows, job.payload.last, result.failure, result.rejected, batches=batches)
            yes = world.ledger.advance(message.handle, job.nonce, world.ledger.put(payload), self._took_s())
            follow = message._replace(link=message.link + 1) if yes else None
        else:
            world.ledger.complete(message.handle, self.id, job.nonce, self._outcome(job.payload, result))
            follow = None
        world.take_notices()
        if world.chance("lost", 0.03):
            self._next(lambda same: self._report(same, result), 0.5)
        elif follow is not None:
            assert job.execution is not None
            world.truth.released(job.execution)
            self._next(lambda _: self._pass_on(follow))
        else:
            self._done()

    def _took_s(self) -> float:
        """How long the link says that it ran: mostly short enough for trains, in mixes that have some."""
        if "trains" not in self.world.mix.faults:
            return 0.0
        return self.world.draw("trains").choice((0.001, 0.001, 0.01, 0.5, 3.0))

    def _pass_on(self, follow: Message) -> None:
        self.world.publish(follow)
        self._done()

    def _outcome(self, payload: Payload, result: Result) -> Outcome:
        upto = result.failure.offset if result.failure is not None else payload.last + 1
        rejected = tuple(r for r in sorted(result.rejected, key=lambda r: r.offset) if r.offset < upto)
        if result.failure is None:
            return Outcome("partial" if rejected else "ok", upto, rejected=rejected, took_s=self._took_s())
        delay = self.world.random.choice((None, None, 0.1))
        kind: OutcomeKind = "partial" if rejected or upto > payload.rows[0][OFFSET] else "failed"
        return Outcome(kind, upto, result.failure, rejected, delay)
