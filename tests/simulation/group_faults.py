"""What goes wrong with bridges and their group: processes that end or stand still, partitions that move, operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core import events as ev
from bridge.records import TopicPartition
from tests.simulation.mixes import SESSION

if TYPE_CHECKING:
    from tests.simulation.bridges import SimBridge
    from tests.simulation.world import World


class GroupFaults:
    """Every public method is a fault, named as in a mix."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random

    # --- processes -------------------------------------------------------------------------------------------------

    def _any_member(self) -> SimBridge | None:
        able = self._world.group.able
        return self._random.choice(able) if able else None

    def kill(self) -> None:
        """kill -9 of a bridge; another is started."""
        if (bridge := self._any_member()) is not None:
            self._kill(bridge)
            self._world.after(self._random.uniform(0.1, 5.0), self._world.group.start_bridge)

    def _kill(self, bridge: SimBridge) -> None:
        bridge.kill()
        self._world.after(self._random.uniform(0.1, SESSION), lambda: self._world.group.count_out(bridge))

    def leave(self) -> None:
        """A bridge is stopped and takes its time to end; another is started."""
        draw, able = self._world.draw("leave"), self._world.group.able
        if able:
            draw.choice(able).leave()
            self._world.after(draw.uniform(0.1, 5.0), self._world.group.start_bridge)

    def freeze(self) -> None:
        """A bridge stands still for longer than its session, and wakes up as a zombie."""
        if (bridge := self._any_member()) is not None:
            bridge.frozen = True
            self._world.after(SESSION, lambda: self._world.group.count_out(bridge))
            self._world.after(SESSION + self._random.uniform(1.0, 30.0), lambda: self._wake(bridge))

    def _wake(self, bridge: SimBridge) -> None:
        bridge.thaw()
        self._world.after(self._random.choice((0.0, 0.5, 5.0)), lambda: self._join_again(bridge))

    def _join_again(self, bridge: SimBridge) -> None:
        """It learns that it was counted out. In a closed group it tries to come in until it may."""
        lost = tuple(bridge.core.partitions)
        for tp in lost:
            bridge.fetching.pop(tp, None)
        bridge.deliver(ev.Lost(lost))
        if self._world.group.closed:
            self._world.after(1.0, lambda: self._join_again(bridge))
        else:
            bridge.member = bridge.alive and not bridge.fenced
            bridge.generation += 1

    def pause(self) -> None:
        """A bridge stands still, but not for long enough to be missed."""
        if (bridge := self._any_member()) is not None:
            bridge.frozen = True
            self._world.after(self._random.uniform(0.1, SESSION), bridge.thaw)

    # --- partitions ------------------------------------------------------------------------------------------------

    def move(self) -> None:
        """A rebalance takes a partition from one member and gives it to another, or the same."""
        owners = self._world.group.owners
        owned = [(tp, owner) for tp, owner in owners.items() if owner is not None and owner.is_able]
        if owned:
            tp, owner = self._random.choice(owned)
            self._take(tp, owner)

    def _take(self, tp: TopicPartition, owner: SimBridge) -> None:
        group = self._world.group
        owner.fetching.pop(tp, None)
        owner.deliver(ev.Revoked((tp,)))
        group.owners[tp] = None
        self._world.soon(lambda: group.give_after_commits(tp, owner))

    def eager(self) -> None:
        """All members that run give all their partitions back; when all have, everything is dealt anew."""
        group, taken = self._world.group, []
        for bridge in group.able:
            held = tuple(tp for tp, owner in group.owners.items() if owner is bridge)
            for tp in held:
                bridge.fetching.pop(tp, None)
                group.owners[tp] = None
            if held:
                bridge.deliver(ev.Revoked(held))
                taken.append((bridge, held))
        self._world.soon(lambda: group.deal_after_commits(taken))

    def storm(self) -> None:
        """For some seconds members come and go, by stop or by kill -9, and partitions move each time."""
        world, draw = self._world, self._world.draw("storm")
        self._blow(world.now + draw.uniform(4.0, 12.0))

    def _blow(self, until: float) -> None:
        world, group, draw = self._world, self._world.group, self._world.draw("storm")
        able = group.able
        if world.now > until or not world.has_faults:
            for _ in range(world.mix.bridges - len(able)):
                group.start_bridge()
            return
        if len(able) > 1 and draw.random() < 0.5:
            bridge = draw.choice(able)
            (bridge.leave if draw.random() < 0.6 else lambda: self._kill(bridge))()
        elif len(able) < world.mix.bridges + 2:
            group.start_bridge()
        for tp, owner in list(group.owners.items()):
            if owner is not None and owner.is_able and draw.random() < 0.4:
                self._take(tp, owner)
        world.after(draw.uniform(0.05, 0.5), lambda: self._blow(until))

    # --- operators -------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """An operator stops all bridges, one way or the other, moves committed offsets when the group is empty, and
        starts bridges. One that stands still cannot be stopped: it wakes up when all is over."""
        group = self._world.group
        if group.closed:
            return
        group.closed = True
        self._reset_when_empty(max(1, len(group.able)))

    def _reset_when_empty(self, bridges: int) -> None:
        world, draw = self._world, self._world.draw("reset")
        if not world.group.is_empty:
            for bridge in world.group.able:
                if draw.random() < 0.6:
                    bridge.leave()
                else:
                    self._kill(bridge)
            world.after(0.5, lambda: self._reset_when_empty(bridges))
            return
        for tp in world.kafka.logs:
            if draw.random() < 0.8:
                self._move_offset(tp)
        world.group.closed = False
        for _ in range(bridges):
            world.after(draw.uniform(0.0, 5.0), world.group.start_bridge)

    def _move_offset(self, tp: TopicPartition) -> None:
        world, draw = self._world, self._world.draw("reset")
        log = world.kafka.logs[tp]
        was = world.kafka.committed.get(tp, (log.start, ""))[0]
        wanted = draw.choice((log.start, was - draw.randint(1, 20), was, was + draw.randint(1, 10), log.end))
        offset = min(max(wanted, log.start), log.end)
        world.say("", f"an operator sets {tp} to {offset}, it was {was}")
        world.kafka.committed[tp] = offset, draw.choice(("", "by hand"))
        world.truth.reset(tp, offset)
