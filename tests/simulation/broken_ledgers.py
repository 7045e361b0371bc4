"""Ledgers that leave one check out: the defects that mutations put into the ledger of the simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridge.entries import Outcome
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import ClaimAnswer, DispatchCommand
from tests.simulation.ledger import Ledger


class NeverCompares(Ledger):
    """Dispatch replaces whatever the lane holds."""

    def _dispatch(self, command: DispatchCommand) -> str:
        held = self._lane(command.tp, command.lane)
        return super()._dispatch(replace(command, expect=held.seen))


class ClaimsAnyLink(Ledger):
    """A claim does not ask whether its chain and link are the current ones; every payload is still there."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms)
        self._of_link: dict[tuple[str, int], bytes] = {}

    def _dispatch(self, command: DispatchCommand) -> str:
        self._of_link.setdefault((command.chain, 1), command.payload)
        return super()._dispatch(command)

    def advance(self, handle: Handle, nonce: str, payload: bytes | None, took_s: float = 0.0) -> bool:
        if payload is not None:
            self._of_link.setdefault((handle.chain, handle.link + 1), payload)
        return super().advance(handle, nonce, payload, took_s)

    def claim(self, handle: Handle, worker: str, nonce: str) -> ClaimAnswer:
        held = self._lane(handle.tp, handle.lane)
        if not held.chain or held.is_at(handle.chain, handle.link):
            return super().claim(handle, worker, nonce)
        return ClaimAnswer(self._of_link.get((handle.chain, handle.link)), "")


class ClaimsTwice(Ledger):
    """A claim does not ask whether somebody else has claimed the link."""

    def claim(self, handle: Handle, worker: str, nonce: str) -> ClaimAnswer:
        self._lane(handle.tp, handle.lane).claim = None
        return super().claim(handle, worker, nonce)


class CompletesForAnybody(Ledger):
    """An outcome is taken for what the lane holds now, whoever reports it."""

    def complete(self, handle: Handle, worker: str, nonce: str, outcome: Outcome) -> bool:
        held = self._lane(handle.tp, handle.lane)
        return bool(held.chain) and self._conclude(handle.tp, handle.lane, held, outcome)
