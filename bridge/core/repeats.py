"""Effects that failed because Redis, Kafka or the Celery broker could not be reached are repeated with a growing pause.

Whether an effect that failed has happened all the same is unknown; every effect is safe to repeat. Of effects that
mean the same one waits, so that an outage of any length leaves no pile behind.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from bridge.core.effects import AskKafka, Commit, Effect, PublishLink, Report, Settle, TerminateLinks, WriteDeadLetters

if TYPE_CHECKING:
    from bridge.core.bridge import Core

#: the first pause and the longest one, in seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Service(Enum):
    """What may be out of reach."""

    KAFKA = "Kafka"
    LEDGER = "the ledger"
    CELERY = "the Celery broker"
    DEAD_LETTERS = "the dead letter topics"


#: who carries an effect out; whatever is not here goes to the ledger
SERVICE_OF: dict[type, Service] = {
    AskKafka: Service.KAFKA,
    Commit: Service.KAFKA,
    PublishLink: Service.CELERY,
    TerminateLinks: Service.CELERY,
    WriteDeadLetters: Service.DEAD_LETTERS,
}


class Repeats:
    """What waits to be tried again."""

    def __init__(self) -> None:
        self._waiting: dict[object, Effect] = {}
        self._times: list[tuple[float, int, object]] = []
        self._number = 0
        self._failures: dict[Service, int] = {}
        self._grows_at: dict[Service, float] = {}
        self._troubles: dict[Service, str] = {}

    @property
    def trouble(self) -> str:
        """What every lane needs and cannot be reached, in words ("" when all answers)."""
        return "; ".join(text for service, text in self._troubles.items() if service is not Service.DEAD_LETTERS)

    def failed(self, effect: Effect, error: str, now: float, emit: Callable[[Effect], None]) -> None:
        """The effect could not be carried out, or nobody knows whether it was."""
        service = SERVICE_OF.get(type(effect), Service.LEDGER)
        failures = self._failures.get(service, 0)
        if not failures and service is not Service.DEAD_LETTERS:  # each lane says that for itself
            emit(Report("warning", "unreachable", f"{error}; trying again until it answers"))
        self._troubles[service] = error
        pause = min(FIRST_PAUSE * 2.0 ** min(failures, 16), LONGEST_PAUSE)
        if now >= self._grows_at.get(service, 0.0):
            self._failures[service] = failures + 1
            self._grows_at[service] = now + pause
        key = _meaning(effect)
        if key not in self._waiting:
            self._number += 1
            heapq.heappush(self._times, (now + pause, self._number, key))
        self._waiting[key] = effect

    def succeeded(self, service: Service) -> None:
        """It answered."""
        if self._troubles:
            self._troubles.pop(service, None)
            self._failures.pop(service, None)

    def due(self, now: float) -> list[Effect]:
        """The effects whose pause is over; they are not held any more."""
        ready = []
        while self._times and self._times[0][0] <= now:
            ready.append(self._waiting.pop(heapq.heappop(self._times)[2]))
        return ready

    @property
    def wake_at(self) -> float:
        """When the next pause is over."""
        return self._times[0][0] if self._times else float("inf")


def _meaning(effect: Effect) -> object:
    """Effects with the same answer wait only once; a later one replaces an earlier one."""
    names = ("tp", "serial", "lane", "number", "chain", "links", "link")
    parts = (getattr(effect, name, None) for name in names)
    return type(effect), *(getattr(part, "id", part) for part in parts)


def is_sensible(core: Core, effect: Effect) -> bool:
    """An effect that failed is worth repeating: what it belongs to is still there."""
    if isinstance(effect, TerminateLinks):
        return any(core.dispatching.is_superseded(link) for link in effect.links)
    if isinstance(effect, (WriteDeadLetters, Settle)):
        return core.disposing.is_under_way(effect)
    tp, serial, chain = (getattr(effect, name, None) for name in ("tp", "serial", "chain"))
    if tp is None or (serial is not None and core.live(tp, serial) is None):
        return False
    if chain is None:
        return serial is not None
    return getattr(chain, "id", chain) in core.chains
