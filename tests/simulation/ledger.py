"""The ledger of the simulation: the model that the contract suite compares with the scripts, plus payloads as objects.

`Ledger` adds what a simulation needs: which rule a partition follows, payloads without encoding, and outcomes as they
are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.effects import Dispatch
from bridge.entries import BatchHeader, Failure, Outcome, Rejection
from bridge.ledger.ledger import DispatchCommand
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
    batches: tuple[BatchHeader, ...] = ()

    def batch_of(self, offset: int) -> BatchHeader:
        """The batch that holds the record."""
        return next(batch for batch in self.batches if offset <= batch.last)


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
            self.put(Payload(effect.rows, chain.last, judged=effect.judged, batches=chain.batches)),
            effect.publish_after_s,
            effect.rule,
            effect.judged,
        )
        return self.dispatch([command])[0]
