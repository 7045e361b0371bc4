"""Effects that failed because Redis or Kafka could not be reached are repeated with a growing pause.

Whether an effect that failed has happened all the same is unknown; every effect is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.effects import Effect, Report

#: the first pause and the longest one, in seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Repeats:
    """What waits to be tried again."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, Effect]] = []
        self._failures = 0
        self._grows_at = 0.0
        #: what could not be reached, in words ("" when all answers)
        self.trouble = ""

    def failed(self, effect: Effect, error: str, now: float, emit: Callable[[Effect], None]) -> None:
        """The effect could not be carried out, or nobody knows whether it was."""
        if not self._failures:
            emit(Report("warning", "unreachable", f"{error}; trying again until it answers"))
        self.trouble = error
        pause = min(FIRST_PAUSE * 2.0 ** min(self._failures, 16), LONGEST_PAUSE)
        if now >= self._grows_at:
            self._failures += 1
            self._grows_at = now + pause
        self._waiting.append((now + pause, effect))

    def succeeded(self) -> None:
        """Something answered."""
        self._failures = 0
        self.trouble = ""

    def due(self, now: float) -> list[Effect]:
        """The effects whose pause is over; they are not held any more."""
        ready = [effect for at, effect in self._waiting if at <= now]
        if ready:
            self._waiting = [(at, effect) for at, effect in self._waiting if at > now]
        return ready

    @property
    def wake_at(self) -> float:
        """When the next pause is over."""
        return min((at for at, _ in self._waiting), default=float("inf"))
