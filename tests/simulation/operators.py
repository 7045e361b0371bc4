"""Operators of the simulation: they pause and resume, and ask for retries and skips, some of them foolishly.

What they want lies beside the ledger, in the model that the contract suite compares with the scripts. A dispatch of
what was paused for long, by a bridge that could know, is a violation (P10, a promise to operators).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core import effects as ef
from bridge.instructions import Instructions, Pause, Request, RequestAction, Target
from tests.ledger.operators_model import OperatorsModel
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

#: virtual seconds between two readings of a bridge, and after which each that runs must have heard
INTERVAL, HEARD_AFTER = 1.0, 15.0
#: virtual seconds between two times at which all is resumed when the faults have ended
RESUME_INTERVAL = 5.0


class SimOperators:
    """The operators of one world, and what they want."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.wanted = OperatorsModel()
        #: when what is paused now was paused; nothing that Redis has lost
        self._paused_at: dict[Target, float] = {}
        #: somebody is there at all: else no bridge reads, and histories stay as they were
        self.are_there = bool(world.mix.faults & {"pausing", "asking"})
        if "pausing" in world.mix.faults:
            world.at(world.faults_until, self._resume_all)

    @property
    def _now_ms(self) -> int:
        return int(self._world.now * 1000)

    # --- what they do ------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """A topic, a partition or a lane is paused, and resumed some time later."""
        draw = self._world.draw("pausing")
        tp = draw.choice(list(self._world.kafka.logs))
        target = draw.choice((Target(tp.topic), Target(*tp), Target(*tp, draw.randrange(3))))
        self._world.after(draw.uniform(0.5, 25.0), lambda: self._resume(target))
        if not self._world.redis_is_down:
            self.wanted.pause(Pause(target, "ann", self._now_ms))
            self._paused_at.setdefault(target, self._world.now)

    def _resume(self, target: Target) -> None:
        if self._world.redis_is_down:
            self._world.after(1.0, lambda: self._resume(target))
            return
        self.wanted.resume(target, who="ann", at_ms=self._now_ms)
        self._paused_at = {each: at for each, at in self._paused_at.items() if not target.covers(each)}

    def _resume_all(self) -> None:
        """Again and again: a bridge that wakes up, or an older Redis, may bring a pause back."""
        if not self._world.redis_is_down:
            for pause in self.wanted.read().pauses:
                self._resume(pause.target)
        self._world.after(RESUME_INTERVAL, self._resume_all)

    def ask(self) -> None:
        """For the record that some lane stands at, or for one near it."""
        world, draw = self._world, self._world.draw("asking")
        lanes = [
            lane
            for bridge in world.group.able
            for partition in bridge.core.partitions.values()
            for lane in partition.lanes.values()
            if lane.first_unfinished is not None
        ]
        if not lanes or world.redis_is_down:
            return
        lane = draw.choice(lanes)
        at_stake = lane.at_stake or (lane.first_unfinished or 0,)
        offset = max(0, draw.choice(at_stake) + draw.choice((0, 0, 0, 0, -1, 1)))
        action: RequestAction = draw.choice(("retry", "skip"))
        if action == "skip":
            world.truth.to_skip.add((lane.tp, offset))
        self.wanted.ask(Request(world.number(), action, Target(*lane.tp, lane.index), offset, "bob", self._now_ms))

    # --- what Redis does ---------------------------------------------------------------------------------------------

    def lost(self) -> None:
        """Redis has lost what it held, or went back: who is paused now is not known any more."""
        self._paused_at.clear()

    # --- bridges -----------------------------------------------------------------------------------------------------

    def read(self) -> Instructions:
        """What a bridge reads."""
        return self.wanted.read()

    def answer(self, effect: ef.AnswerRequest, bridge: str) -> None:
        """A bridge has done what it was asked for."""
        self.wanted.answer(effect.request, effect.result, done=effect.is_done, bridge=bridge, at_ms=self._now_ms)

    def keep(self, effect: ef.KeepPauses) -> None:
        """A bridge knows pauses that Redis has lost."""
        self.wanted.keep_pauses(effect.number, effect.pauses)

    def check_dispatch(self, effect: ef.Dispatch) -> None:
        """The ledger has taken a dispatch."""
        place = Target(*effect.tp, effect.chain.lane)
        for target, at in self._paused_at.items():
            could_know = self._world.now - at > HEARD_AFTER and self._world.redis_since < at
            if target.covers(place) and could_know:
                raise Violation(f"P10: {effect.chain.id} dispatched although {target} is paused since {at}")
