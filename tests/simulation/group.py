"""The consumer group of the simulation: who is a member, and whose each partition is.

While it is `closed` nobody joins: an operator works on its offsets, which a broker allows in an empty group only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core import events as ev
from bridge.records import PipelineRules, Retry, TopicPartition
from tests.simulation.bridges import SimBridge
from tests.simulation.workers import HOOK, TASK

if TYPE_CHECKING:
    from tests.simulation.client import Client
    from tests.simulation.world import World


class Group:
    """The coordinator, and what starts the members."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rules = self._draw_rules()
        #: every bridge that was ever started
        self.bridges: list[SimBridge] = []
        self.owners: dict[TopicPartition, SimBridge | None] = {}
        self.closed = False

    def _draw_rules(self) -> PipelineRules:
        world, mix, draw = self._world, self._world.mix, self._world.random
        lanes = mix.lanes or draw.choice((1, 1, 3))
        return PipelineRules(
            "p",
            (TASK,) * world.links,
            batch_size=draw.randint(1, 6),
            batch_bytes=mix.value_bytes * (30 if "trains" in mix.faults else 4),
            batch_timeout=draw.choice((0.05, 1.0)),
            order_by="partition" if lanes == 1 else "key",
            lanes=lanes,
            retry=Retry(mix.attempts, delay=0.5, max_delay=5.0),
            link_timeout=30.0,
            max_batches_per_chain=6,
            train_target=1.0,
            on_exhausted="dead_letter" if world.policy == "hook" else world.policy,  # type: ignore[arg-type]
            on_failed=HOOK if world.policy == "hook" else "",
        )

    # --- members ---------------------------------------------------------------------------------------------------

    @property
    def able(self) -> list[SimBridge]:
        """The members that run."""
        return [bridge for bridge in self.bridges if bridge.is_able]

    @property
    def is_empty(self) -> bool:
        """No member is left, nor one that the group has not missed yet."""
        return not any(bridge.member for bridge in self.bridges)

    def start_bridge(self) -> None:
        """One more member."""
        world = self._world
        if self.closed:
            world.after(1.0, self.start_bridge)
            return
        if "declare" in world.mix.faults:
            world.policy = world.random.choice(world.mix.policies.split())
            world.policies.add(world.policy)
        rules = self._draw_rules() if world.mix.faults & {"rule", "declare"} else self._rules
        self.bridges.append(SimBridge(world, f"b{len(self.bridges)}", rules))
        if world.operators.are_there:
            self.bridges[-1].read_instructions()

    def count_out(self, bridge: Client) -> None:
        """The bridge is no member any more: others get its partitions."""
        bridge.member = False
        for tp, owner in list(self.owners.items()):
            if owner is bridge:
                self.owners[tp] = None
                self._world.soon(lambda tp=tp: self.give(tp))  # type: ignore[misc]

    # --- partitions ------------------------------------------------------------------------------------------------

    def give(self, tp: TopicPartition) -> None:
        """Some member gets the partition."""
        able = self.able
        if not able:
            self._world.after(1.0, lambda: self.give(tp))
            return
        target = self._world.random.choice(able)
        self.owners[tp] = target
        target.deliver(ev.Assigned((tp,)))

    def give_after_commits(self, tp: TopicPartition, last: SimBridge) -> None:
        """A member joins again behind its commits, on the same connection."""
        if last.commits_open and last.alive and last.member:
            self._world.after(0.1, lambda: self.give_after_commits(tp, last))
        else:
            self.give(tp)

    def deal_after_commits(self, taken: list[tuple[SimBridge, tuple[TopicPartition, ...]]]) -> None:
        """Everybody has given back what it had: it is dealt anew behind the last commits."""
        if any(last.commits_open and last.alive and last.member for last, _ in taken):
            self._world.after(0.1, lambda: self.deal_after_commits(taken))
            return
        able, dealt = self.able, dict[str, list[TopicPartition]]()
        for _, held in taken:
            for tp in held:
                if able:
                    self.owners[tp] = target = self._world.random.choice(able)
                    dealt.setdefault(target.name, []).append(tp)
                else:
                    self.give(tp)
        for bridge in able:
            if bridge.name in dealt:
                bridge.deliver(ev.Assigned(tuple(dealt[bridge.name])))
