"""The ledger of the simulation: the model that the contract suite compares with the scripts, plus payloads as objects.

`Ledger` adds what a simulation needs: which rule a partition follows, payloads without encoding, and outcomes as they
are taken. Its subclasses at the end are the negative controls: a ledger that leaves one check out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bridge.core.effects import Dispatch
from bridge.entries import Failure, Outcome, Rejection
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import ClaimAnswer, DispatchCommand
from bridge.ledger.notices import Notice
from bridge.records import Row, TopicPartition
from tests.ledger.model import LedgerModel

GROUP = "g"


@dataclass(frozen=True, slots=True)
class Payload:
    """The rows of a link, and what an earlier link carried along; `last` ends the chain's range."""

    rows: tuple[Row, ...]
    last: int
    carried: Failure | None = None
    rejected: tuple[Rejection, ...] = ()
    judged: Outcome | None = None


class Ledger(LedgerModel):
    """The ledger of one group."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms)
        self._payloads: list[Payload] = []

    def put(self, payload: Payload) -> bytes:
        """The bytes that stand for a payload."""
        self._payloads.append(payload)
        return str(len(self._payloads) - 1).encode()

    def payload(self, blob: bytes) -> Payload:
        """What `put` was given."""
        return self._payloads[int(blob)]

    def rule(self, tp: TopicPartition) -> str:
        """The lane rule that the partition follows."""
        partition = self._state.partitions.get(tp)
        return partition.rule if partition is not None else ""

    def chain(self, tp: TopicPartition, lane: int) -> str:
        """The chain that the lane was given last."""
        return self._lane(tp, lane).chain

    def take_notices(self) -> list[tuple[str, Notice]]:
        """The outcomes that were taken since the last call, and which bridge hears of them."""
        taken, self.notices = self.notices, []
        return [(bridge, notice) for bridge, notice in taken if isinstance(notice, Notice)]

    def in_flight(self) -> dict[tuple[TopicPartition, int], str]:
        """The chain without outcome of every lane that has one."""
        return {
            (tp, index): lane.chain
            for tp, partition in self._state.partitions.items()
            for index, lane in partition.lanes.items()
            if lane.chain and not lane.outcome
        }

    def dispatch_effect(self, effect: Dispatch) -> str:
        """Carry out a Dispatch."""
        chain = effect.chain
        command = DispatchCommand(
            effect.tp,
            effect.owner,
            chain.lane,
            chain.id,
            chain.first,
            chain.last,
            effect.links,
            effect.expect,
            effect.base,
            effect.counters,
            self.put(Payload(effect.rows, chain.last, judged=effect.judged)),
            effect.publish_after_s,
            effect.rule,
            effect.judged,
        )
        return self.dispatch([command])[0]


# --- negative controls ------------------------------------------------------------------------------------------------


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

    def advance(self, handle: Handle, nonce: str, payload: bytes | None) -> bool:
        if payload is not None:
            self._of_link.setdefault((handle.chain, handle.link + 1), payload)
        return super().advance(handle, nonce, payload)

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
