"""What a train may carry (P11, a promise to tasks): no batch of more than `batch_size` records, or beyond `batch_bytes`
unless it is one record; all batches together within `batch_bytes`; nothing that the same owner has dispatched before.
"""

from __future__ import annotations

from collections import defaultdict

from bridge.core.batching import rows_bytes
from bridge.core.effects import Dispatch
from bridge.entries import Owner
from bridge.records import OFFSET, PipelineRules, TopicPartition
from tests.simulation.truth import Violation


class Trains:
    """What each owner has dispatched."""

    def __init__(self) -> None:
        self._dispatched: defaultdict[tuple[TopicPartition, Owner], set[int]] = defaultdict(set)
        #: how many chains carried several batches, and the most that one did
        self.count = self.longest = 0

    def check_dispatch(self, effect: Dispatch, rules: PipelineRules) -> None:
        """The ledger has taken a dispatch."""
        chain, batches = effect.chain, effect.chain.batches
        offsets = {row[OFFSET] for row in effect.rows}
        before = self._dispatched[effect.tp, effect.owner]
        if chain.count != len(offsets) or chain.batches[-1].last != chain.last:
            raise Violation(f"P11: {chain.id} says that it carries {batches}, not {sorted(offsets)}")
        if effect.judged is None and any(batch.count > rules.batch_size for batch in batches):
            raise Violation(f"P11: {chain.id} has a batch of more than {rules.batch_size} records: {batches}")
        if len(batches) > 1:
            self.count, self.longest = self.count + 1, max(self.longest, len(batches))
            if again := sorted(offsets & before):
                raise Violation(f"P11: {chain.id} is a train, {again} have been dispatched before")
            if len(batches) > rules.max_batches_per_chain or rows_bytes(effect.rows) > rules.batch_bytes:
                raise Violation(f"P11: {chain.id} is too long: {batches}")
        before |= offsets
