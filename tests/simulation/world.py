"""A whole system under random faults, driven by the real core: one seed, one history.

Bridges with the real core, a group that moves partitions, zombies, Kafka, the ledger and workers, all in virtual time.
After every step `Truth` checks the promises. Faults end after the mix's `chaos` seconds; then everything must be
finished and committed. Replay: ./run simulate --mix NAME --seed N --trace.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.commits import read_metadata
from bridge.core.lane import Phase
from bridge.core.lanes import lane_count, lane_of
from bridge.records import TopicPartition
from tests.simulation.bridges import SimBridge
from tests.simulation.faults import Faults
from tests.simulation.group import Group
from tests.simulation.inspection import inspect
from tests.simulation.kafka import Kafka
from tests.simulation.ledger import Ledger
from tests.simulation.mixes import MIXES, Mix
from tests.simulation.operators import SimOperators
from tests.simulation.trains import Trains
from tests.simulation.truth import Truth, Violation
from tests.simulation.workers import Message, SimWorker

#: faults that may use up the attempts of a good record
SHAKY = frozenset({"taskfail", "hang", "worker", "child", "falsedead", "killer"})
#: virtual seconds within which all must be done when the faults have ended
CALM = 3000.0


class World:
    """The system. `at`, `after` and `soon` put what is to come on the agenda; `run` works through it."""

    def __init__(
        self,
        seed: int,
        mix: Mix,
        ledger: Callable[[Callable[[], int]], Ledger] = Ledger,
        *,
        trace: list[str] | None = None,
    ) -> None:
        self.random = Random(seed)
        #: each kind of fault draws for itself, so that a history without one kind keeps the others' draws
        self._draws = {fault: Random(f"{seed} {fault}") for fault in mix.faults}
        self.mix = mix
        self.now = 1000.0
        self.trace = trace
        self.steps = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self.faults_until = self.now + mix.chaos
        self.links = mix.links or self.random.randint(1, 3)
        self.pool = self.random.choice(("prefork", "prefork", "solo"))
        self.attempts = mix.attempts
        #: seconds by which the wall clock of the ledger's server is wrong, and until when its answers are slow
        self.clock_is_off = self.slow_until = 0.0
        self.kafka = Kafka()
        self.ledger = ledger(lambda: int((self.now + self.clock_is_off) * 1000))
        self.truth = Truth(self.kafka, self.ledger, links=self.links, may_give_up=self.may_give_up)
        self.truth.declares = "declare" in mix.faults
        self.reports: list[tuple[str, ef.Report]] = []
        self.dispatched: dict[str, list[int]] = {}
        self.queue: list[Message] = []
        self.revoked: set[str] = set()
        self.poison: set[tuple[TopicPartition, int]] = set()
        self.undecodable = self.truth.undecodable
        self.rejecting: dict[TopicPartition, int] = {}
        self.redis_is_down = False
        self.restarts = 0
        self.redis_since = 0.0
        self.policy = self.random.choice(mix.policies.split())
        #: those that any bridge so far was started with
        self.policies = {self.policy}
        self.operators = SimOperators(self)
        self.trains = Trains()
        self.group = Group(self)
        self.workers = [SimWorker(self, index) for index in range(3)]
        for _ in range(mix.bridges):
            self.group.start_bridge()
        for partition in range(mix.partitions):
            self.add_partition(TopicPartition("t", partition))
        self.faults = Faults(self)

    # --- time ------------------------------------------------------------------------------------------------------

    def at(self, when: float, call: Callable[[], None]) -> None:
        """`call` at that virtual time."""
        self._number += 1
        heapq.heappush(self._agenda, (when, self._number, call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """`call` after that many virtual seconds."""
        self.at(self.now + seconds, call)

    def latency(self) -> float:
        """A few milliseconds, sometimes much more."""
        return self.random.expovariate(200.0) if self.random.random() < 0.97 else self.random.uniform(0.1, 2.0)

    def ledger_latency(self) -> float:
        """How long a step of the ledger takes."""
        return self.draw("slow").uniform(0.5, 3.0) if self.now < self.slow_until else self.latency()

    def soon(self, call: Callable[[], None]) -> None:
        """`call` after a latency."""
        self.after(self.latency(), call)

    def chance(self, fault: str, probability: float) -> bool:
        """This fault happens now."""
        return fault in self.mix.faults and self.has_faults and self.draw(fault).random() < probability

    def draw(self, fault: str) -> Random:
        """The source of the draws of one kind of fault of the mix."""
        return self._draws[fault]

    @property
    def has_faults(self) -> bool:
        """The calm has not begun."""
        return self.now < self.faults_until

    def number(self) -> str:
        """A text that was never used before."""
        self._number += 1
        return str(self._number)

    def say(self, who: str, what: object) -> None:
        """For `--trace`."""
        if self.trace is not None:
            self.trace.append(f"{self.now - 1000:9.4f} {who:5} {what}")

    def run(self) -> None:
        """The whole history. Raises Violation."""
        look_at = self.faults_until
        while self._agenda:
            self.now, _, call = heapq.heappop(self._agenda)
            call()
            if self.now > look_at:
                look_at = self.now + 0.5
                if self.is_done():
                    return
                if self.now > self.faults_until + CALM:
                    raise Violation(f"P5: not done: {self._what_is_open()}")

    # --- the end ---------------------------------------------------------------------------------------------------

    def is_done(self) -> bool:
        """Everything is finished and committed, but for what stands behind a stopped lane."""
        return all(
            self._is_at_its_end(tp, self.kafka.reached(tp))
            and all(self._is_blocked(tp, row[0]) for row in log.read(self.truth.first_open(tp), len(log.rows)))
            for tp, log in self.kafka.logs.items()
        )

    def _is_at_its_end(self, tp: TopicPartition, committed: int) -> bool:
        """Committed is what is finished; or a lane has stopped at a record that the log has lost since, or that may run
        again because the ledger was lost."""
        if committed == self.truth.first_open(tp):
            return True
        bridge = self.group.owners.get(tp)
        partition = bridge.core.partitions.get(tp) if bridge is not None else None
        stopped = [] if partition is None else [x for x in partition.lanes.values() if x.phase is Phase.STOPPED]
        first = min((lane.first_unfinished or 0 for lane in stopped), default=-1)
        is_done = first in self.truth.may_repeat[tp] or first < self.kafka.logs[tp].start
        return first >= committed and is_done

    def _is_blocked(self, tp: TopicPartition, offset: int) -> bool:
        if self.truth.is_done(tp, offset):
            return True
        bridge = self.group.owners.get(tp)
        partition = bridge.core.partitions.get(tp) if bridge is not None else None
        if partition is None or not partition.lanes:
            return False
        if partition.barrier is not None and offset >= partition.barrier:  # the lane rule changes behind a stopped lane
            return any(lane.phase is Phase.STOPPED for lane in partition.lanes.values())
        key = self.kafka.logs[tp].read(offset, 1)[0][2]
        lane = partition.lanes[0 if partition.rule == "partition" else lane_of(key, lane_count(partition.rule))]
        first = lane.first_unfinished
        return lane.phase is Phase.STOPPED and first is not None and first <= offset and self._may_stop(tp, first)

    def _may_stop(self, tp: TopicPartition, offset: int) -> bool:
        return self.may_give_up(tp, offset) and bool(self.policies & {"stop", "hook"})

    def may_give_up(self, tp: TopicPartition, offset: int) -> bool:
        """Something is wrong with the record, or with what happens around it in this mix."""
        shaky = self.mix.attempts < 1000 and self.mix.faults & SHAKY
        if shaky or (tp, offset) in self.poison or (tp, offset) in self.undecodable:
            return True
        return tp in self.rejecting and offset >= self.rejecting[tp]

    def _what_is_open(self) -> str:
        found = []
        for tp in self.kafka.logs:
            bridge = self.group.owners.get(tp)
            partition = bridge.core.partitions.get(tp) if bridge is not None else None
            text = f"{tp} open at {self.truth.first_open(tp)}, committed {self.kafka.committed.get(tp)}"
            if partition is not None:
                lanes = [(lane.index, lane.phase.value, lane.reason) for lane in partition.lanes.values()]
                text = f"{text}, {partition.stage.value}, {lanes}"
            found.append(text)
        return "; ".join(found)

    def inspect(self, bridge: SimBridge) -> None:
        """After every step of a bridge."""
        self.steps += 1
        inspect(self, bridge)

    # --- the topic -------------------------------------------------------------------------------------------------

    def add_partition(self, tp: TopicPartition) -> None:
        """The topic has this partition from now on."""
        self.kafka.create(tp)
        self.group.owners[tp] = None
        if "poison" in self.mix.faults and self.random.random() < 0.8:
            self.poison.update((tp, offset) for offset in range(20, 40))
        if "undecodable" in self.mix.faults:
            self.undecodable.update((tp, offset) for offset in self.draw("undecodable").sample(range(60), 10))
        if "reject" in self.mix.faults and self.random.random() < 0.8:
            self.rejecting[tp] = 20
        self.produce(tp, self.random.randint(0, 30))
        self._produce_later(tp)
        self.group.give(tp)

    def produce(self, tp: TopicPartition, count: int) -> None:
        """So many records more."""
        log, draw = self.kafka.logs[tp], self.random
        for _ in range(count):
            key = draw.choice((None, b"a", b"b", b"c", b"g", b"h"))  # two for each of three lanes
            log.append(key, b"x" * self.mix.value_bytes, gap=draw.choice((0, 0, 0, 0, 1, 3)))
        if draw.random() < 0.3:
            log.mark()
        bridge = self.group.owners.get(tp)
        if bridge is not None:
            bridge.poll_soon()

    def _produce_later(self, tp: TopicPartition) -> None:
        def produce() -> None:
            if len(self.kafka.logs[tp].rows) < 80:
                self.produce(tp, self.random.randint(1, 12))
            if self.now < self.faults_until - 10:
                self._produce_later(tp)

        self.after(self.random.expovariate(0.2), produce)

    def is_fenced(self, effect: ef.Dispatch) -> bool:
        """A later owner of the partition has already been confirmed by Kafka."""
        metadata = read_metadata(self.kafka.committed.get(effect.tp, (0, ""))[1])
        return metadata is not None and metadata.owner > effect.owner.number

    # --- what everybody uses ---------------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """A link reaches its queue."""
        for _ in range(2 if self.chance("dup", 0.15) else 1):
            self.queue.append(message)
        for worker in self.workers:
            worker.poll_soon()

    def take_notices(self) -> None:
        """Outcomes that the ledger has just taken."""
        for name, notice in self.ledger.take_notices():
            chain = notice.seen.chain
            place = self.truth.place(notice.tp, notice.lane)
            self.truth.reported(place, chain, self.dispatched[chain], notice.outcome)
            event = ev.OutcomeHeard(notice.tp, notice.lane, notice.seen, notice.outcome)
            bridge = next(bridge for bridge in self.group.bridges if bridge.name == name)
            if not self.chance("notice", 0.3):
                self._tell(bridge, event)

    def _tell(self, bridge: SimBridge, event: ev.Event) -> None:
        self.soon(lambda: bridge.deliver(event))

    def tell_error(self, event: ev.ErrorHeard) -> None:
        """Celery stores an error; every bridge hears of it."""
        for bridge in self.group.bridges:
            if not self.chance("notice", 0.3):
                self._tell(bridge, event)

    def terminate(self, link: str) -> None:
        """Revoke, terminate: the worker that runs the link kills its child, the others forget it."""
        self.revoked.add(link)
        self.truth.terminated.setdefault(link, self.now)
        for worker in self.workers:
            if worker.job is not None and worker.job.message.id == link and self.pool == "prefork":
                job = worker.job
                if not self.chance("hang", 0.2):
                    self.soon(lambda worker=worker, job=job: self._kill(worker, job))  # type: ignore[misc]

    def _kill(self, worker: SimWorker, job: object) -> None:
        if worker.job is job:
            worker.lose_child("REVOKED", "TaskRevokedError", "terminated")


def simulate(mix: str, seed: int) -> World:
    """One history. Raises Violation with the command that replays it."""
    world = World(seed, MIXES[mix])
    try:
        world.run()
    except Violation as violation:
        replay = f"./run simulate --mix '{mix}' --seed {seed} --trace"
        raise Violation(f"{violation}\nreplay: {replay}") from None
    return world
