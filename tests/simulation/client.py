"""A bridge's Kafka client in the simulation: it polls, commits and leaves; answers may be errors, or late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.commits import read_metadata
from bridge.records import OFFSET, PipelineRules, TopicPartition
from tests.simulation.mixes import SESSION
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

#: virtual seconds for which a bridge that is stopped waits for its last commit
SHUTDOWN_TIMEOUT = 5.0
#: virtual seconds between two looks at the ids of the topics
TOPICS_INTERVAL = 5.0


@dataclass(slots=True)
class Fetching:
    """How far the consumer is in one partition; `at_end` is the end of the log that it has told last."""

    offset: int
    paused: bool = False
    missing: bool = False
    at_end: int = -1


class Client(Process):
    """`member`: the group still counts it in; `leaving`: it was told to stop; `closing`: it takes no partitions;
    `fenced`: another process has its place for good."""

    def __init__(self, world: World, name: str, rules: PipelineRules) -> None:
        super().__init__(world, name, rules)
        self.member, self.hold = True, False
        self.leaving = self.closing = self.fenced = False
        #: counts how often the group has counted it out
        self.generation = 0
        self.fetching: dict[TopicPartition, Fetching] = {}
        self.commits_done_at = 0.0
        self.commits_open: list[tuple[ef.Commit, int]] = []
        #: the era (`Truth.eras`) in which the broker has last taken a commit for the very log that there was
        self._eras: dict[TopicPartition, int] = {}
        self._polls = False
        world.after(TOPICS_INTERVAL, self._look_at_topics)

    @property
    def is_able(self) -> bool:
        """A member that runs."""
        return self.alive and self.member and not (self.frozen or self.closing)

    def era(self, tp: TopicPartition) -> int:
        """The era that what it knows of the partition belongs to; the first, unless it was confirmed later."""
        return self._eras.get(tp, 0)

    def kill(self) -> None:
        """kill -9."""
        super().kill()
        self.fetching.clear()

    def thaw(self) -> None:
        """The process runs again, and polls."""
        super().thaw()
        self.poll_soon()

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
            if fetching is not None and not (self.leaving or self.hold or fetching.paused or fetching.missing):
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

    # --- the end ---------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """SIGTERM: nothing new is begun, the last commit is waited for, then the process leaves the group."""
        if self.leaving:
            return
        self.leaving = True
        self.deliver(ev.Stop())
        targets = {tp: (p.serial, p.position) for tp, p in self.core.partitions.items() if p.is_active}
        self._look_at_end(targets, self.world.now + SHUTDOWN_TIMEOUT)

    def _look_at_end(self, targets: dict[TopicPartition, tuple[int, int]], deadline: float) -> None:
        def look() -> None:
            self.deliver(ev.Tick())
            if self.world.now >= deadline or self._is_finished(targets):
                self._close()
            else:
                self.world.after(0.1, lambda: self._look_at_end(targets, deadline))

        self.when_running(look)

    def _is_finished(self, targets: dict[TopicPartition, tuple[int, int]]) -> bool:
        for tp, partition in self.core.partitions.items():
            serial, position = targets.get(tp, (-1, -1))
            if partition.serial == serial and partition.is_active and partition.confirmed < position:
                return False
            if any(lane.writing is not None for lane in partition.lanes.values()):
                return False
        return True

    def _close(self) -> None:
        self.closing = True
        held = tuple(tp for tp, owner in self.world.group.owners.items() if owner is self)
        for tp in held:
            self.fetching.pop(tp, None)
        self.deliver(ev.Revoked(held))
        self._go_behind_commits()

    def _go_behind_commits(self) -> None:
        def go() -> None:
            if self.commits_open:
                self.world.after(0.05, self._go_behind_commits)
            else:
                self.kill()
                self.world.group.count_out(self)

        self.when_running(go)

    def dies(self) -> bool:
        """kill -9 between two steps that belong together (fault `sore`); another is started."""
        world = self.world
        if not (self.alive and not self.frozen and world.chance("sore", 0.01)):
            return False
        world.say("", f"--- sore: {self.name}")
        self.kill()
        world.after(world.draw("sore").uniform(0.1, SESSION), lambda: world.group.count_out(self))
        world.after(world.draw("sore").uniform(0.1, 5.0), world.group.start_bridge)
        return True

    # --- questions and commits -------------------------------------------------------------------------------------

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

    def _look_at_topics(self) -> None:
        if self.alive:
            self.world.after(TOPICS_INTERVAL, self._look_at_topics)
            if not self.frozen and self.core.partitions:
                self.deliver(ev.TopicsSeen({tp.topic: self.world.kafka.topic_id for tp in self.core.partitions}))

    def _commit(self, effect: ef.Commit) -> None:
        if self.dies():
            return
        at = max(self.world.now + self.world.latency(), self.commits_done_at + 0.0001)
        self.commits_done_at = at
        self.commits_open.append((effect, self.generation))
        self.world.at(at, lambda: self.when_running(self._submit))

    def _submit(self) -> None:
        """The oldest commit reaches the broker: commits go in order over one connection."""
        world = self.world
        effect, generation = self.commits_open.pop(0)
        if self.member and generation == self.generation and world.chance("fenced", 0.02):
            self._fence()
        lost = self.fenced or world.chance("commit", 0.1) or not self.member or generation != self.generation
        some = world.chance("partial", 0.3)
        answers = {}
        for tp, entry in effect.entries.items():
            answer = self._answer(tp, entry, lost=lost, some=some)
            answers[tp] = (entry.serial, entry.offset, answer, answer.value)
        if not self.dies() and not world.chance("commit", 0.01):  # else nobody answers at all
            late = world.draw("tardy").uniform(2.0, 100.0) if world.chance("tardy", 0.05) else world.latency()
            world.after(late, lambda: self.deliver(ev.CommitAnswered(answers)))

    def _answer(self, tp: TopicPartition, entry: ef.CommitEntry, *, lost: bool, some: bool) -> ev.CommitAnswer:
        """What the broker does with one partition, and says. `some`: each of the commit has a fate of its own."""
        world = self.world
        fate = world.draw("partial").choice(("yes", "no", "unheard")) if some else "yes"
        if not lost and fate != "no":
            self._take(tp, entry)
        if self.fenced:
            return ev.CommitAnswer.FENCED
        again = lost or fate != "yes" or world.chance("commit", 0.05)
        return ev.CommitAnswer.AGAIN if again else ev.CommitAnswer.OK

    def _fence(self) -> None:
        """Another process has taken the place in the group; the client works no more, which ends this one soon."""
        self.fenced = True
        self.world.group.count_out(self)
        self.world.after(self.world.draw("fenced").uniform(0.05, 5.0), lambda: self.when_running(self.end))

    def end(self) -> None:
        """The process ends with an error; another is started."""
        if self.alive:
            self.kill()
            self.world.soon(lambda: self.world.group.count_out(self))
            self.world.after(self.world.random.uniform(0.1, 5.0), self.world.group.start_bridge)

    def _take(self, tp: TopicPartition, entry: ef.CommitEntry) -> None:
        """The broker takes what is committed for one partition."""
        truth, kafka = self.world.truth, self.world.kafka
        truth.committed(tp, entry)
        kafka.commit(tp, entry)
        metadata = read_metadata(entry.metadata)
        if metadata is not None and metadata.topic_id == kafka.logs[tp].topic_id:
            self._eras[tp] = truth.eras[tp]
