"""A bridge process of the simulation: the real core, and a runtime whose every step may be late, lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.bridge import Core, CoreConfig
from bridge.core.disposing import is_link_timeout
from bridge.core.failures import Limits
from bridge.records import OFFSET, PipelineRules, TopicPartition
from tests.simulation.ledger import GROUP
from tests.simulation.truth import Violation
from tests.simulation.workers import Message

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(slots=True)
class Fetching:
    """How far the consumer is in one partition; `at_end` is the end of the log that it has told last."""

    offset: int
    paused: bool = False
    missing: bool = False
    at_end: int = -1


class SimBridge:
    """One bridge. `member`: the group still counts it in; `frozen`: its process does not run."""

    def __init__(self, world: World, name: str, rules: PipelineRules) -> None:
        self.world = world
        self.name = name
        self.rules = rules
        self.core = Core(
            CoreConfig(
                GROUP,
                lambda topic: rules,
                lambda tp, lane, link: "lane-0",
                commit_interval=world.mix.commit_interval,
                buffer_bytes=world.mix.buffer_bytes,
                in_flight_bytes=world.mix.in_flight_bytes,
                limits=Limits(world.attempts, world.attempts),
                brake_limit=world.mix.brake_limit,
                seed=world.random.randrange(1 << 30),
            )
        )
        self.alive, self.member, self.frozen, self.hold = True, True, False, False
        #: counts how often the group has counted it out
        self.generation = 0
        self.gave_up = ""
        self.inbox: list[ev.Event] = []
        self.thawed: list[Callable[[], None]] = []
        self.fetching: dict[TopicPartition, Fetching] = {}
        self.commits_done_at = 0.0
        self.commits_open: list[tuple[ef.Commit, int]] = []
        self._polls = False
        self._tick_at = float("inf")

    @property
    def is_able(self) -> bool:
        """A member that runs."""
        return self.alive and self.member and not self.frozen

    # --- events ----------------------------------------------------------------------------------------------------

    def deliver(self, event: ev.Event) -> None:
        """An event for the core, handled when the process runs."""
        if self.frozen:
            self.inbox.append(event)
        elif self.alive:
            self._handle(event)

    def _handle(self, event: ev.Event) -> None:
        self.world.say(self.name, event)
        effects = self.core.handle(event, self.world.now)
        for effect in effects:
            self.world.say(self.name, effect)
            self._perform[type(effect)](self, effect)
        self.world.inspect(self)
        self._set_alarm()

    def _set_alarm(self) -> None:
        wake = self.core.wake_at
        if wake <= self.world.now:
            raise Violation(f"{self.name} spins: wake_at {wake} is over at {self.world.now}")
        if wake < self._tick_at:
            self._tick_at = wake
            self.world.at(wake, lambda: self._alarm(wake))

    def _alarm(self, at: float) -> None:
        if at == self._tick_at:
            self._tick_at = float("inf")
            if not self.frozen:
                self.deliver(ev.Tick())

    def kill(self) -> None:
        """kill -9."""
        self.alive = False
        self.inbox.clear()
        self.fetching.clear()

    def thaw(self) -> None:
        """The process runs again: what has piled up is handled now."""
        self.frozen = False
        inbox, self.inbox = self.inbox, []
        for event in inbox:
            self.deliver(event)
        thawed, self.thawed = self.thawed, []
        for call in thawed:
            self.world.soon(call)
        self._tick_at = float("inf")
        self.deliver(ev.Tick())
        self.poll_soon()

    def when_running(self, call: Callable[[], None]) -> None:
        """A step of one of the process's threads."""
        if self.frozen:
            self.thawed.append(call)
        elif self.alive:
            call()

    # --- the consumer ----------------------------------------------------------------------------------------------

    def poll_soon(self) -> None:
        """There may be something to fetch."""
        if not self._polls:
            self._polls = True
            self.world.soon(lambda: self.when_running(self._poll))

    def _poll(self) -> None:
        self._polls = False
        for tp in list(self.fetching):
            fetching = self.fetching.get(tp)
            if fetching is not None and not (self.hold or fetching.paused or fetching.missing):
                self._poll_partition(tp, fetching)

    def _poll_partition(self, tp: TopicPartition, fetching: Fetching) -> None:
        log = self.world.kafka.logs[tp]
        if not log.start <= fetching.offset <= log.end:
            fetching.missing = True
            self.deliver(ev.OffsetMissing(tp))
            return
        rows = log.read(fetching.offset, self.world.random.randint(1, 12))
        if rows:
            fetching.offset = rows[-1][OFFSET] + 1
            self.deliver(ev.Fetched(tp, rows))
            self.poll_soon()
        elif fetching.at_end != log.end:
            fetching.offset = fetching.at_end = log.end
            self.deliver(ev.EndOfLog(tp, log.end))

    def _start(self, effect: ef.StartFetching) -> None:
        self.fetching[effect.tp] = Fetching(effect.offset)
        self.poll_soon()

    def _pause(self, effect: ef.PauseFetching) -> None:
        self.fetching[effect.tp].paused = True

    def _resume(self, effect: ef.ResumeFetching) -> None:
        self.fetching[effect.tp].paused = False
        self.poll_soon()

    def _hold(self, effect: ef.HoldFetching) -> None:
        self.hold = effect.on
        self.poll_soon()

    # --- Kafka -----------------------------------------------------------------------------------------------------

    def _ask_kafka(self, effect: ef.AskKafka) -> None:
        def ask() -> None:
            if self.world.chance("lost", 0.05):
                self.deliver(ev.EffectFailed(effect, "Kafka is away"))
                return
            log = self.world.kafka.logs[effect.tp]
            committed, metadata = self.world.kafka.committed.get(effect.tp, (None, ""))
            answer = ev.KafkaAnswered(effect.tp, effect.serial, committed, metadata, log.topic_id, log.start, log.end)
            self.world.soon(lambda: self.deliver(answer))

        self.world.soon(lambda: self.when_running(ask))

    def _commit(self, effect: ef.Commit) -> None:
        at = max(self.world.now + self.world.latency(), self.commits_done_at + 0.0001)
        self.commits_done_at = at
        self.commits_open.append((effect, self.generation))
        self.world.at(at, lambda: self.when_running(self._submit))

    def _submit(self) -> None:
        """The oldest commit reaches the broker: commits go in order over one connection."""
        world = self.world
        effect, generation = self.commits_open.pop(0)
        lost = world.chance("commit", 0.1) or not self.member or generation != self.generation
        if not lost:
            for tp, entry in effect.entries.items():
                world.truth.committed(tp, entry)
                world.kafka.commit(tp, entry)
        if world.chance("commit", 0.01):
            return  # no answer at all
        again = lost or world.chance("commit", 0.05)
        answer = ev.CommitAnswer.AGAIN if again else ev.CommitAnswer.OK
        answers = {tp: (entry.serial, entry.offset, answer, "") for tp, entry in effect.entries.items()}
        world.soon(lambda: self.deliver(ev.CommitAnswered(answers)))

    # --- the ledger ------------------------------------------------------------------------------------------------

    def _call(self, effect: Any, step: Callable[[], ev.Event | None]) -> None:
        """A step of the ledger: out of reach, done and not heard, done late, or done and answered."""
        world = self.world

        def execute() -> None:
            if not self.alive and world.random.random() < 0.5:
                return
            if world.redis_is_down:
                if world.random.random() < 0.5:
                    world.faults.when_redis_is_back(step)
                self.deliver(ev.EffectFailed(effect, "the ledger is away"))
                return
            if world.chance("lost", 0.03):
                self.deliver(ev.EffectFailed(effect, "nobody knows whether it has happened, or is going to happen"))
                world.faults.carry_out_late(world.random.choice((0.0, world.random.uniform(0.0, 8.0))), step)
                return
            answer = step()
            if answer is not None:
                world.soon(lambda: self.deliver(answer))

        def send() -> None:
            if self.frozen and world.random.random() < 0.5:
                self.thawed.append(execute)
            else:
                execute()

        world.soon(send)

    def _assign(self, effect: ef.AssignOwner) -> None:
        def step() -> ev.Event:
            entry = self.world.ledger.assign(effect.tp, self.name, effect.metadata_owner)
            # an older ledger may give the same number again, to an owner that has come back
            numbers = self.world.truth.drawn_by_zombies
            (numbers.discard if self.world.group.owners.get(effect.tp) is self else numbers.add)((effect.tp, entry.owner))
            return ev.OwnerAssigned(effect.tp, effect.serial, entry)

        self._call(effect, step)

    def _clear(self, effect: ef.ClearLedger) -> None:
        def step() -> ev.Event:
            return ev.Cleared(effect.tp, effect.serial, self.world.ledger.clear(effect.tp, effect.owner))

        self._call(effect, step)

    def _restore(self, effect: ef.Restore) -> None:
        def step() -> ev.Event:
            accepted = self.world.ledger.restore(
                effect.tp, effect.owner, effect.watermarks, rule=effect.rule, topic_id=effect.topic_id, base=effect.base
            )
            return ev.Restored(effect.tp, effect.serial, accepted)

        self._call(effect, step)

    def _change_rule(self, effect: ef.ChangeRule) -> None:
        def step() -> ev.Event:
            accepted = self.world.ledger.change_rule(effect.tp, effect.owner, effect.rule, effect.base)
            return ev.RuleChanged(effect.tp, effect.serial, accepted)

        self._call(effect, step)

    def _dispatch(self, effect: ef.Dispatch) -> None:
        def step() -> ev.Event:
            chain = effect.chain
            known = self.world.ledger.chain(effect.tp, chain.lane) == chain.id
            answer = self.world.ledger.dispatch_effect(effect)
            if answer == "ok":
                if not known:
                    self.world.truth.dispatched(effect, is_fenced=self.world.is_fenced(effect))
                    self.world.dispatched[chain.id] = [row[OFFSET] for row in effect.rows]
                if not effect.publish_after_s:
                    self._publish_soon(effect.tp, effect.serial, Message(effect.tp, chain.lane, chain.id, 1))
            return ev.Dispatched(effect.tp, effect.serial, chain.lane, chain.id, ev.DispatchAnswer(answer))

        self._call(effect, step)

    def _write(self, effect: ef.WriteDeadLetters) -> None:
        """The owner is asked for in the ledger, then the broker takes the letters, or some of them, or is away."""
        world, losses = self.world, self.world.truth.losses

        def produce() -> None:
            if world.chance("letters", 0.2):
                if world.random.random() < 0.5:
                    world.truth.letter(effect)
                self.deliver(ev.EffectFailed(effect, "the dead letter topic is away"))
                return
            world.truth.letter(effect)
            world.soon(lambda: self.when_running(acknowledged))

        def acknowledged() -> None:
            world.truth.written(effect, losses)
            self.deliver(ev.DeadLettersWritten(effect.tp, effect.serial, effect.lane, effect.number, is_owner=True))

        def check() -> None:
            if world.redis_is_down:
                self.deliver(ev.EffectFailed(effect, "the ledger is away"))
            elif world.ledger.dispose(effect.tp, effect.owner, effect.lane, effect.chain):
                world.soon(lambda: self.when_running(produce))
            else:
                answer = ev.DeadLettersWritten(effect.tp, effect.serial, effect.lane, effect.number, is_owner=False)
                world.soon(lambda: self.deliver(answer))

        world.soon(lambda: self.when_running(check))

    def _settle(self, effect: ef.Settle) -> None:
        world = self.world
        may_skip = bool(world.policies & {"skip", "hook"})
        if self.core.partitions[effect.tp].lanes[effect.lane].watermark >= effect.upto:
            world.truth.settled(effect, may_skip=may_skip)

        def step() -> ev.Event:
            accepted = world.ledger.settle(effect.tp, effect.owner, effect.lane, effect.chain, effect.upto, effect.base)
            if accepted:
                world.truth.settled(effect, may_skip=may_skip)
            return ev.Settled(effect.tp, effect.serial, effect.lane, effect.number, accepted)

        self._call(effect, step)

    def _set_fault(self, effect: ef.SetFault) -> None:
        def step() -> None:
            world = self.world
            if world.ledger.fault(effect.tp, effect.lane, effect.chain, effect.link, effect.claimed_by, effect.outcome):
                timed_out = is_link_timeout(effect.outcome)
                wait = 4.9 if timed_out else 0.0  # only a kill that is not confirmed in time is excused
                world.after(wait, lambda: world.truth.declared_dead(effect.chain, effect.link))
            world.take_notices()

        self._call(effect, step)

    def _read(self, effect: ef.ReadLanes) -> None:
        def step() -> ev.Event:
            entries = self.world.ledger.read([tp for tp, _ in effect.partitions])
            found = {tp: (serial, entries[tp]) for tp, serial in effect.partitions}
            return ev.LanesRead(effect.number, found, self.world.ledger.heartbeats(), self.world.redis_since)

        self._call(effect, step)

    # --- Celery ----------------------------------------------------------------------------------------------------

    def _publish(self, effect: ef.PublishLink) -> None:
        self._publish_soon(effect.tp, effect.serial, Message(effect.tp, effect.lane, effect.chain, effect.link))

    def _publish_soon(self, tp: TopicPartition, serial: int, message: Message) -> None:
        def publish() -> None:
            unsure = self.world.chance("unsure", 0.1)
            if not unsure or self.world.random.random() < 0.5:
                self.world.publish(message)
            published = ev.Published(tp, serial, message.lane, message.chain, message.link, not unsure)
            self.world.soon(lambda: self.deliver(published))

        self.world.soon(lambda: self.when_running(publish))

    def _terminate(self, effect: ef.TerminateLinks) -> None:
        for link in effect.links:
            self.world.terminate(link)

    def _report(self, effect: ef.Report) -> None:
        self.world.reports.append((self.name, effect))

    def _give_up(self, effect: ef.GiveUp) -> None:
        self.gave_up = effect.text

    _perform: ClassVar[dict[type, Callable[[SimBridge, Any], None]]] = {
        ef.AskKafka: _ask_kafka,
        ef.AssignOwner: _assign,
        ef.TerminateLinks: _terminate,
        ef.ClearLedger: _clear,
        ef.Restore: _restore,
        ef.ChangeRule: _change_rule,
        ef.Dispatch: _dispatch,
        ef.PublishLink: _publish,
        ef.WriteDeadLetters: _write,
        ef.Settle: _settle,
        ef.SetFault: _set_fault,
        ef.ReadLanes: _read,
        ef.StartFetching: _start,
        ef.PauseFetching: _pause,
        ef.ResumeFetching: _resume,
        ef.HoldFetching: _hold,
        ef.Commit: _commit,
        ef.Report: _report,
        ef.GiveUp: _give_up,
    }
