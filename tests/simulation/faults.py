"""What goes wrong in the world, each fault drawn from the seed: processes, the group, Redis, the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.core import events as ev
from bridge.core.commits import read_metadata
from bridge.records import TopicPartition
from tests.simulation.group_faults import GroupFaults
from tests.simulation.mixes import EVERY
from tests.simulation.workers import Message

if TYPE_CHECKING:
    from tests.simulation.world import World


class Faults(GroupFaults):
    """The faults of one history; every public method is one, named as in a mix."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._redis_back: list[Callable[[], object]] = []
        self._snapshots: list[tuple[object, object, list[Message]]] = []
        for fault in sorted(world.mix.faults & EVERY.keys()):
            self._later(fault)
        if "rollback" in world.mix.faults:
            self._save()

    def _later(self, fault: str) -> None:
        def happen() -> None:
            if self._world.has_faults:
                self._world.say("", f"--- {fault}")
                getattr(self, fault)()
                self._later(fault)

        self._world.after(self._world.draw(fault).expovariate(1.0 / EVERY[fault]), happen)

    # --- Kafka -----------------------------------------------------------------------------------------------------

    def grow(self) -> None:
        """The topic gets another partition."""
        self._world.add_partition(TopicPartition("t", len(self._world.kafka.logs)))

    def retention(self) -> None:
        """The log loses its oldest records, some of them not committed yet."""
        tp = self._random.choice(list(self._world.kafka.logs))
        committed = self._world.kafka.committed.get(tp, (0, ""))[0]
        self._world.kafka.logs[tp].delete_below(committed + self._random.choice((0, 0, 3, 10)))

    def recreate(self) -> None:
        """The topic is deleted and created again, its log shorter or longer than it was; the group's offsets stay, or
        are gone with it."""
        world, draw = self._world, self._world.draw("recreate")
        world.kafka.creations += 1
        stay = draw.random() < 0.5
        for tp in world.kafka.logs:
            world.kafka.create(tp)
            by_us = read_metadata(world.kafka.committed.get(tp, (0, ""))[1]) is not None
            if not (stay and by_us):  # what an operator has set does not tell of which topic it is
                world.kafka.committed.pop(tp, None)
            world.truth.recreated(tp)
            world.produce(tp, draw.choice((0, draw.randint(1, 10), draw.randint(10, 60))))

    def ends(self) -> None:
        """No fault: bridges that run until idle are told where the logs end."""
        event = ev.Flush({tp: log.end for tp, log in self._world.kafka.logs.items()})
        for bridge in self._world.group.able:
            bridge.deliver(event)

    # --- operators -------------------------------------------------------------------------------------------------

    def pausing(self) -> None:
        """Somebody pauses something for a while."""
        self._world.operators.pause()

    def asking(self) -> None:
        """Somebody asks for a retry, or to skip a record."""
        self._world.operators.ask()

    # --- workers ---------------------------------------------------------------------------------------------------

    def worker(self) -> None:
        """kill -9 of a whole worker."""
        worker = self._random.choice(self._world.workers)
        if worker.alive:
            worker.die()

    def child(self) -> None:
        """kill -9 of a pool child."""
        self._random.choice(self._world.workers).lose_child("FAILURE", "WorkerLostError", "exited with SIGKILL")

    def revoke(self) -> None:
        """Somebody revokes a link by hand."""
        in_flight = list(self._world.ledger.in_flight().items())
        if in_flight:
            (tp, index), chain = self._random.choice(in_flight)
            entry = self._world.ledger.read([tp])[tp].lanes[index]
            self._world.terminate(f"{chain}-{entry.link}")

    def falsedead(self) -> None:
        """A worker lives, its heartbeat does not get through."""
        worker = self._random.choice(self._world.workers)
        worker.mute = True
        self._world.after(self._random.uniform(10.0, 40.0), lambda: setattr(worker, "mute", False))

    # --- Redis -----------------------------------------------------------------------------------------------------

    def redis(self) -> None:
        """Redis stands still, data kept; what was sent meanwhile is carried out later, or never."""
        self._world.redis_is_down = True

        def back() -> None:
            self._world.redis_is_down, self._world.redis_since = False, self._world.now
            calls, self._redis_back = self._redis_back, []
            for call in calls:
                late = self._random.choice((self._world.latency(), self._random.uniform(0.0, 8.0)))
                self.carry_out_late(late, call)

        self._world.after(self._random.choice((0.5, 5.0, 20.0)), back)

    def slow(self) -> None:
        """For some seconds every step of the ledger takes its time."""
        self._world.slow_until = self._world.now + self._world.draw("slow").uniform(2.0, 15.0)

    def clock(self) -> None:
        """The wall clock of the ledger's server jumps by hours, or is put right."""
        self._world.clock_is_off = self._world.draw("clock").choice((0.0, 7200.0, -7200.0))

    def when_redis_is_back(self, call: Callable[[], object]) -> None:
        """A command that a silent server carries out when it wakes up."""
        self._redis_back.append(call)

    def carry_out_late(self, seconds: float, call: Callable[[], object]) -> None:
        """A step of the ledger that happens after that time, and whose answer nobody hears. A server that comes back
        with an older state has lost its connections, and what was on its way in them."""
        restarts = self._world.restarts

        def carry_out() -> None:
            if self._world.restarts == restarts:
                call()
                self._world.take_notices()

        self._world.after(seconds, carry_out)

    def flush(self) -> None:
        """Redis is emptied; so is the queue, if it is the same server."""
        self._world.ledger.flush()
        if self._random.random() < 0.7:
            self._world.queue.clear()
        self._world.operators.wanted.flush()
        self._world.operators.lost()
        self._world.truth.redis_lost()

    def _save(self) -> None:
        world = self._world
        snapshot = (world.ledger.save(), world.operators.wanted.save(), list(world.queue))
        self._snapshots = [*self._snapshots[-3:], snapshot]
        if self._world.has_faults:
            self._world.after(4.0, self._save)

    def rollback(self) -> None:
        """Redis comes back as it was some seconds ago."""
        saved, wanted, queue = self._random.choice(self._snapshots)
        self._world.ledger.roll_back(saved)
        self._world.operators.wanted.roll_back(wanted)
        self._world.operators.lost()
        self._world.queue = list(queue)
        self._world.restarts += 1
        self._redis_back.clear()
        self._world.truth.rolled_back = set(self._world.kafka.logs)
        self._world.truth.redis_lost()
