"""A bridge process of the simulation: it runs, stands still or is killed, and hands events to the real core."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from bridge.core import events as ev
from bridge.core.bridge import Core, CoreConfig
from bridge.core.failures import Limits
from bridge.records import PipelineRules
from tests.simulation.ledger import GROUP
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World


class Process:
    """`frozen`: the process does not run; what comes for it is handled when it runs again."""

    #: who carries each effect out
    _perform: ClassVar[dict[type, Callable[[Any, Any], None]]]

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
        self.alive, self.frozen = True, False
        self.inbox: list[ev.Event] = []
        self.thawed: list[Callable[[], None]] = []
        self._tick_at = float("inf")

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
            if not self.alive:
                return
            self.world.say(self.name, effect)
            self._perform[type(effect)](self, effect)
        self.world.inspect(self)  # type: ignore[arg-type]
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

    def when_running(self, call: Callable[[], None]) -> None:
        """A step of one of the process's threads."""
        if self.frozen:
            self.thawed.append(call)
        elif self.alive:
            call()
