"""A bridge of the simulation: the real core, and a runtime whose every step may be late, lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.disposing import is_link_timeout
from bridge.records import OFFSET, TopicPartition
from tests.simulation.client import Client
from tests.simulation.operators import INTERVAL
from tests.simulation.truth import Violation
from tests.simulation.workers import Message


class SimBridge(Client):
    """One bridge."""

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
            if answer is not None and not self.dies():
                world.soon(lambda: self.deliver(answer))

        def send() -> None:
            if self.frozen and world.random.random() < 0.5:
                self.thawed.append(execute)
            else:
                execute()

        world.after(world.ledger_latency(), send)

    def _assign(self, effect: ef.AssignOwner) -> None:
        def step() -> ev.Event:
            self._hear_operators()
            entry = self.world.ledger.assign(effect.tp, self.name, effect.metadata_owner)
            # an older ledger may give the same number again, to an owner that has come back
            numbers = self.world.truth.drawn_by_zombies
            (numbers.discard if self.world.group.owners.get(effect.tp) is self else numbers.add)(
                (effect.tp, entry.owner)
            )
            return ev.OwnerAssigned(effect.tp, effect.serial, entry)

        self._call(effect, step)

    def _clear(self, effect: ef.ClearLedger) -> None:
        def step() -> ev.Event:
            accepted = self.world.ledger.clear(effect.tp, effect.owner, effect.ended)
            if accepted:
                self.world.truth.cleared(effect.tp, self.world.now)
            return ev.Cleared(effect.tp, effect.serial, accepted)

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
        era = self.era(effect.tp)

        def step() -> ev.Event:
            chain = effect.chain
            known = self.world.ledger.chain(effect.tp, chain.lane) == chain.id
            answer = self.world.ledger.dispatch_effect(effect)
            if answer == "ok":
                if not known:
                    self.world.truth.dispatched(effect, is_fenced=self.world.is_fenced(effect), era=era)
                    self.world.dispatched[chain.id] = [row[OFFSET] for row in effect.rows]
                    self.world.operators.check_dispatch(effect)
                    self.world.trains.check_dispatch(effect, self.core.config.rules_of(effect.tp.topic))
                if not effect.publish_after_s:
                    self._publish_soon(effect.tp, effect.serial, Message(effect.tp, chain.lane, chain.id, 1))
            return ev.Dispatched(effect.tp, effect.serial, chain.lane, chain.id, ev.DispatchAnswer(answer))

        self._call(effect, step)

    def _write(self, effect: ef.WriteDeadLetters) -> None:
        """The owner is asked for in the ledger, then the broker takes the letters, or some of them, or is away."""
        world, losses, era = self.world, self.world.truth.losses, self.era(effect.tp)

        def produce() -> None:
            if world.chance("letters", 0.2):
                if world.random.random() < 0.5:
                    world.truth.letter(effect)
                self.deliver(ev.EffectFailed(effect, "the dead letter topic is away"))
                return
            world.truth.letter(effect)
            if not self.dies():
                world.soon(lambda: self.when_running(acknowledged))

        def acknowledged() -> None:
            world.truth.written(effect, losses, era=era)
            self.deliver(ev.DeadLettersWritten(effect.tp, effect.serial, effect.lane, effect.number, is_owner=True))

        def check() -> None:
            if world.redis_is_down:
                self.deliver(ev.EffectFailed(effect, "the ledger is away"))
            elif world.ledger.dispose(effect.tp, effect.owner, effect.lane, effect.chain):
                if not self.dies():
                    world.soon(lambda: self.when_running(produce))
            else:
                answer = ev.DeadLettersWritten(effect.tp, effect.serial, effect.lane, effect.number, is_owner=False)
                world.soon(lambda: self.deliver(answer))

        world.after(world.ledger_latency(), lambda: self.when_running(check))

    def _settle(self, effect: ef.Settle) -> None:
        world, era = self.world, self.era(effect.tp)
        may_skip = bool(world.policies & {"skip", "hook"})
        if self.core.partitions[effect.tp].lanes[effect.lane].watermark >= effect.upto:
            world.truth.settled(effect, may_skip=may_skip, era=era)

        def step() -> ev.Event:
            accepted = world.ledger.settle(effect.tp, effect.owner, effect.lane, effect.chain, effect.upto, effect.base)
            if accepted:
                world.truth.settled(effect, may_skip=may_skip, era=era)
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

    # --- operators -------------------------------------------------------------------------------------------------

    def read_instructions(self) -> None:
        """Once a second."""
        if not self.alive:
            return
        self.world.after(INTERVAL, self.read_instructions)

        def read() -> None:
            if not self.world.redis_is_down:
                self._hear_operators()

        self.world.after(self.world.ledger_latency(), lambda: self.when_running(read))

    def _hear_operators(self) -> None:
        if self.world.operators.are_there:
            found = self.world.operators.read()
            self.world.soon(lambda: self.deliver(ev.Instructed(found)))

    def _answer_operator(self, effect: ef.AnswerRequest) -> None:
        def answer() -> None:
            if not self.world.redis_is_down and not self.dies():
                self.world.operators.answer(effect, self.name)

        self.world.soon(lambda: self.when_running(answer))

    def _keep_pauses(self, effect: ef.KeepPauses) -> None:
        def keep() -> None:
            if not self.world.redis_is_down:
                self.world.operators.keep(effect)

        self.world.soon(lambda: self.when_running(keep))

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
        """Nothing in this world is a reason, but a place in the group that is lost for good."""
        if not self.fenced:
            raise Violation(f"P5: {self.name} gives up: {effect.text}")
        self.end()

    _perform: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        ef.AskKafka: Client._ask_kafka,
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
        ef.AnswerRequest: _answer_operator,
        ef.KeepPauses: _keep_pauses,
        ef.StartFetching: Client._start,
        ef.PauseFetching: Client._pause,
        ef.ResumeFetching: Client._resume,
        ef.HoldFetching: Client._hold,
        ef.Commit: Client._commit,
        ef.Report: _report,
        ef.GiveUp: _give_up,
    }
