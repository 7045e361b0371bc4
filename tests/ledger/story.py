"""A lane's life told step by step: what the contract tests have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import redis

from bridge.entries import NOTHING_SEEN, Counters, Failure, LaneEntry, Outcome, Owner, PartitionEntry, Rejection
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import ClaimAnswer, DispatchCommand
from bridge.records import TopicPartition

TP = TopicPartition("orders", 3)

OK = Outcome("ok", 10)
FAILED = Outcome("failed", 5, Failure(5, named=True, exception="ValueError", message="no number"))
PARTIAL = Outcome("partial", 8, Failure(8), (Rejection(6, "bad"), Rejection(7, "worse")))
REVOKED = Outcome("failed", 5, Failure(5, kind="revoked"))


class AnyLedger(Protocol):
    """The steps, whoever carries them out."""

    def assign(self, tp: TopicPartition, bridge: str, metadata_owner: int) -> PartitionEntry: ...
    def restore(
        self, tp: TopicPartition, owner: Owner, watermarks: dict[int, int], *, rule: str, topic_id: str, base: int
    ) -> bool: ...
    def clear(self, tp: TopicPartition, owner: Owner, ended: Sequence[str]) -> bool: ...
    def change_rule(self, tp: TopicPartition, owner: Owner, rule: str, base: int) -> bool: ...
    def dispatch(self, commands: list[DispatchCommand]) -> list[str]: ...
    def settle(self, tp: TopicPartition, owner: Owner, lane: int, chain: str, upto: int, base: int) -> bool: ...
    def dispose(self, tp: TopicPartition, owner: Owner, lane: int, chain: str) -> bool: ...
    def keep(self, tp: TopicPartition, owner: Owner) -> bool: ...
    def fault(
        self, tp: TopicPartition, lane: int, chain: str, link: int, claimed_by: str, outcome: Outcome
    ) -> bool: ...
    def read(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, PartitionEntry]: ...
    def claim(self, handle: Handle, worker: str, nonce: str) -> ClaimAnswer: ...
    def advance(self, handle: Handle, nonce: str, payload: bytes | None, took_s: float = 0.0) -> bool: ...
    def complete(self, handle: Handle, worker: str, nonce: str, outcome: Outcome) -> bool: ...


class Story:
    """Lane 0 of one partition: offsets 5 to 9 in a chain of two links, worked on by worker `w` with nonce `n`."""

    def __init__(self, ledger: AnyLedger, group: str) -> None:
        self.ledger = ledger
        self.group = group
        self.owner = Owner(0, "")

    # --- what is there -----------------------------------------------------------------------------------------------

    def entry(self) -> PartitionEntry:
        """The partition."""
        return self.ledger.read([TP])[TP]

    def lane(self, lane: int = 0) -> LaneEntry:
        """A lane."""
        return self.entry().lanes[lane]

    def handle(self, link: int = 1, chain: str = "first") -> Handle:
        """A link of a chain of lane 0."""
        return Handle.of(self.group, TP, 0, chain, link)

    def command(self, chain: str = "first", **fields: Any) -> DispatchCommand:
        """A dispatch of offsets 5 to 9 by the owner, onto a lane that never had a chain."""
        given: dict[str, Any] = {
            "tp": TP,
            "owner": self.owner,
            "lane": 0,
            "chain": chain,
            "first": 5,
            "last": 9,
            "links": 2,
            "expect": NOTHING_SEEN,
            "base": 5,
            "counters": Counters(),
            "payload": b"records of " + chain.encode(),
        }
        return DispatchCommand(**(given | fields))

    def asking(self, chain: str, **fields: Any) -> DispatchCommand:
        """A dispatch of a chain of one link that is asked about the outcome that the lane has now."""
        lane = self.lane()
        return self.command(chain, **{"links": 1, "expect": lane.seen, "judged": lane.outcome, **fields})

    # --- how it gets there -------------------------------------------------------------------------------------------

    def own(self, bridge: str = "me") -> Story:
        """The partition has an owner."""
        self.owner = self.ledger.assign(TP, bridge, 0).owner
        return self

    def dispatched(self) -> Story:
        """Link 1 is current, unclaimed."""
        self.own()
        assert self.ledger.dispatch([self.command()]) == ["ok"]
        return self

    def claimed(self) -> Story:
        """Link 1 is claimed."""
        self.dispatched()
        assert self.ledger.claim(self.handle(), "w", "n")[:2] == (b"records of first", "")
        return self

    def advanced(self) -> Story:
        """Link 2 is current, unclaimed."""
        self.claimed()
        assert self.ledger.advance(self.handle(), "n", b"cut")
        return self

    def completed(self, outcome: Outcome = OK) -> Story:
        """The chain has an outcome, reported from link 1."""
        self.claimed()
        assert self.ledger.complete(self.handle(), "w", "n", outcome)
        return self

    def taken_over(self) -> Owner:
        """Another bridge owns the partition; the owner before it wakes up."""
        return self.ledger.assign(TP, "other", 0).owner


def keys_of(client: redis.Redis, group: str) -> set[str]:
    """Names of all keys of a group's partitions on a server, without the part that they have in common."""
    start = f"lanebridge:{{{group}/"
    return {key.decode().removeprefix(start) for key in client.scan_iter(f"{start}*", count=1000)}


def hash_of(group: str) -> str:
    """The key of the partition's hash."""
    return f"lanebridge:{{{group}/orders/3}}"
