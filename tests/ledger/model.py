"""The ledger in memory, in plain Python: what the scripts must do, said a second time.

`LedgerModel` has the methods of `Ledger`, and more for simulations: notices are collected, the clock is given, and the
whole may be emptied, saved and rolled back as Redis may.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.entries import (
    NO_ATTEMPTS,
    Claim,
    Counters,
    Heartbeat,
    LaneEntry,
    Outcome,
    Owner,
    PartitionEntry,
    Seen,
    link_id,
)
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import ClaimAnswer, DispatchCommand
from bridge.ledger.notices import ErrorNotice, Notice
from bridge.ledger.outcomes import decode_outcome, encode_outcome
from bridge.records import TopicPartition

_NOBODY = Owner(0, "")


@dataclass(slots=True)
class _Lane:
    watermark: int = -1
    chain: str = ""
    first: int = -1
    last: int = -1
    link: int = 0
    links: int = 1
    claim: Claim | None = None
    advanced: str = ""
    outcome: bytes = b""
    unsettled: bool = False
    counters: Counters = NO_ATTEMPTS
    publish_after_ms: int = 0
    superseded: str = ""
    judged: bytes = b""
    disposing: bool = False
    payload: bytes | None = None
    slowest_us: int = 0

    @property
    def seen(self) -> Seen:
        return Seen(self.chain, self.link, " ".join(self.claim) if self.claim else "", self.outcome)

    def is_at(self, chain: str, link: int) -> bool:
        return bool(chain) and (self.chain, self.link) == (chain, link)


@dataclass(slots=True)
class _Partition:
    owner: Owner = _NOBODY
    base: int | None = None
    rule: str = ""
    topic_id: str = ""
    lanes: dict[int, _Lane] = field(default_factory=dict)

    def raise_base(self, base: int) -> None:
        if base >= 0:
            self.base = base if self.base is None else max(self.base, base)


@dataclass(slots=True)
class _State:
    partitions: dict[TopicPartition, _Partition] = field(default_factory=dict)
    heartbeats: dict[str, tuple[Heartbeat, int]] = field(default_factory=dict)
    states: dict[str, tuple[bytes, int]] = field(default_factory=dict)


class LedgerModel:
    """The ledger of one group. `now_ms` is the server's clock in milliseconds."""

    def __init__(self, now_ms: Callable[[], int] = lambda: 0) -> None:
        self.now_ms = now_ms
        #: what was published: for which bridge, and the notice
        self.notices: list[tuple[str, Notice | ErrorNotice]] = []
        self._state = _State()

    # --- what happens to a Redis -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Redis is emptied."""
        self._state = _State()

    def save(self) -> object:
        """What Redis holds, for `roll_back`."""
        return copy.deepcopy(self._state)

    def roll_back(self, saved: object) -> None:
        """Redis comes back as it was when `saved` was saved."""
        assert isinstance(saved, _State)
        self._state = copy.deepcopy(saved)

    # --- steps of the owner ------------------------------------------------------------------------------------------

    def assign(self, tp: TopicPartition, bridge: str, metadata_owner: int) -> PartitionEntry:
        partition = self._state.partitions.setdefault(tp, _Partition())
        number = max(partition.owner.number, metadata_owner, self.now_ms() // 1000) + 1
        partition.owner = Owner(number, bridge)
        return self.read([tp])[tp]

    def restore(
        self,
        tp: TopicPartition,
        owner: Owner,
        watermarks: Mapping[int, int],
        *,
        rule: str,
        topic_id: str,
        base: int,
    ) -> bool:
        partition = self._owned(tp, owner)
        if partition is None:
            return False
        partition.rule = partition.rule or rule
        partition.topic_id = partition.topic_id or topic_id
        partition.raise_base(base)
        for lane, watermark in watermarks.items():
            if watermark >= 0:
                self._raise(partition, lane, watermark)
        return True

    def clear(self, tp: TopicPartition, owner: Owner, ended: Sequence[str]) -> bool:
        partition = self._owned(tp, owner)
        if partition is None:
            return False
        claimed = [lane for lane in partition.lanes.values() if lane.claim is not None and not lane.outcome]
        if any(link_id(lane.chain, lane.link) not in ended for lane in claimed):
            return False
        self._state.partitions[tp] = _Partition(owner)
        return True

    def change_rule(self, tp: TopicPartition, owner: Owner, rule: str, base: int) -> bool:
        partition = self._owned(tp, owner)
        if partition is None:
            return False
        if partition.rule != rule:
            partition.rule, partition.lanes = rule, {}
            partition.raise_base(base)
        return True

    def dispatch(self, commands: Sequence[DispatchCommand]) -> list[str]:
        return [self._dispatch(command) for command in commands]

    def _dispatch(self, command: DispatchCommand) -> str:
        partition = self._owned(command.tp, command.owner)
        if partition is None or (command.rule and partition.rule != command.rule):
            return "not owner"
        old = partition.lanes.get(command.lane, _Lane())
        if old.chain == command.chain:
            return "ok"
        asks_about_rejected = command.judged is not None and bool(command.judged.rejected)
        if old.seen != command.expect or (old.unsettled and not asks_about_rejected):
            return "changed"
        waits = command.publish_after_s > 0
        partition.lanes[command.lane] = _Lane(
            watermark=old.watermark,
            chain=command.chain,
            first=command.first,
            last=command.last,
            link=1,
            links=command.links,
            counters=command.counters,
            publish_after_ms=self.now_ms() + int(command.publish_after_s * 1000) if waits else 0,
            superseded=link_id(old.chain, old.link) if waits and old.chain else "",
            unsettled=asks_about_rejected,
            judged=b"" if command.judged is None else encode_outcome(command.judged),
            payload=command.payload,
        )
        partition.raise_base(command.base)
        return "ok"

    def dispose(self, tp: TopicPartition, owner: Owner, lane: int, chain: str) -> bool:
        partition = self._owned(tp, owner)
        held = None if partition is None else partition.lanes.get(lane)
        if held is None or held.chain != chain or not held.outcome:
            return False
        held.disposing = True
        return True

    def settle(self, tp: TopicPartition, owner: Owner, lane: int, chain: str, upto: int, base: int) -> bool:
        partition = self._owned(tp, owner)
        held = None if partition is None else partition.lanes.get(lane)
        if partition is None or held is None or held.chain != chain or not held.outcome:
            return False
        held.unsettled = held.disposing = False
        held.watermark = max(held.watermark, upto)
        partition.raise_base(base)
        return True

    def keep(self, tp: TopicPartition, owner: Owner) -> bool:
        return self._owned(tp, owner) is not None

    def fault(self, tp: TopicPartition, lane: int, chain: str, link: int, claimed_by: str, outcome: Outcome) -> bool:
        held = self._lane(tp, lane)
        worker = held.claim.worker if held.claim else ""
        return held.is_at(chain, link) and worker == claimed_by and self._conclude(tp, lane, held, outcome)

    def read(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, PartitionEntry]:
        return {tp: self._entry(self._state.partitions.get(tp, _Partition())) for tp in tps}

    # --- steps of a worker -------------------------------------------------------------------------------------------

    def claim(self, handle: Handle, worker: str, nonce: str) -> ClaimAnswer:
        held = self._lane(handle.tp, handle.lane)
        if not held.is_at(handle.chain, handle.link):
            return ClaimAnswer(None, "not current")
        if held.outcome:
            return ClaimAnswer(None, "outcome")
        if held.claim not in (None, Claim(worker, nonce)):
            return ClaimAnswer(None, "claimed")
        held.claim = Claim(worker, nonce)
        if held.payload is None:
            return ClaimAnswer(None, "no payload")
        return ClaimAnswer(held.payload, "", held.slowest_us / 1e6)

    def advance(self, handle: Handle, nonce: str, payload: bytes | None, took_s: float = 0.0) -> bool:
        held = self._lane(handle.tp, handle.lane)
        if held.is_at(handle.chain, handle.link + 1) and held.advanced == nonce:
            return True
        if not held.is_at(handle.chain, handle.link) or held.outcome or held.claim is None or held.claim.nonce != nonce:
            return False
        held.link, held.claim, held.advanced = handle.link + 1, None, nonce
        held.slowest_us = max(held.slowest_us, int(took_s * 1e6))
        held.payload = held.payload if payload is None else payload
        return True

    def complete(self, handle: Handle, worker: str, nonce: str, outcome: Outcome) -> bool:
        held = self._lane(handle.tp, handle.lane)
        mine = held.is_at(handle.chain, handle.link) and held.claim == Claim(worker, nonce)
        return mine and self._conclude(handle.tp, handle.lane, held, outcome)

    def report_error(self, handle: Handle, notice: ErrorNotice) -> bool:
        partition = self._state.partitions.get(handle.tp)
        if partition is None:
            return False
        self.notices.append((partition.owner.bridge, notice))
        return True

    # --- who lives ---------------------------------------------------------------------------------------------------

    def write_heartbeat(self, heartbeat: Heartbeat, expiry_s: float) -> None:
        now = self.now_ms()
        written = replace(heartbeat, written_ms=now)
        self._state.heartbeats[heartbeat.worker] = written, now + int(expiry_s * 1000)

    def heartbeats(self) -> tuple[Heartbeat, ...]:
        return tuple(heartbeat for heartbeat, end in self._state.heartbeats.values() if end > self.now_ms())

    def forget_worker(self, worker: str) -> None:
        self._state.heartbeats.pop(worker, None)

    def is_alive(self, worker: str) -> bool:
        return any(heartbeat.worker == worker for heartbeat in self.heartbeats())

    def publish_state(self, bridge: str, blob: bytes, expiry_s: float) -> None:
        self._state.states[bridge] = blob, self.now_ms() + int(expiry_s * 1000)

    def forget_state(self, bridge: str) -> None:
        """The bridge has ended."""
        self._state.states.pop(bridge, None)

    def states(self) -> dict[str, bytes]:
        return {bridge: blob for bridge, (blob, end) in self._state.states.items() if end > self.now_ms()}

    # --- inside ------------------------------------------------------------------------------------------------------

    def _owned(self, tp: TopicPartition, owner: Owner) -> _Partition | None:
        partition = self._state.partitions.get(tp)
        return partition if partition is not None and partition.owner == owner else None

    def _lane(self, tp: TopicPartition, lane: int) -> _Lane:
        return self._state.partitions.get(tp, _Partition()).lanes.get(lane, _Lane())

    def _raise(self, partition: _Partition, lane: int, watermark: int) -> None:
        held = partition.lanes.setdefault(lane, _Lane())
        held.watermark = max(held.watermark, watermark)

    def _conclude(self, tp: TopicPartition, lane: int, held: _Lane, outcome: Outcome) -> bool:
        if held.outcome:
            return held.outcome == encode_outcome(outcome)
        held.outcome = encode_outcome(outcome)
        held.unsettled = held.unsettled or bool(outcome.rejected)
        held.watermark = max(held.watermark, outcome.watermark)
        held.payload = None
        bridge = self._state.partitions[tp].owner.bridge
        self.notices.append((bridge, Notice(tp, lane, held.seen, outcome)))
        return True

    def _entry(self, partition: _Partition) -> PartitionEntry:
        return PartitionEntry(
            owner=partition.owner,
            base=partition.base,
            rule=partition.rule,
            topic_id=partition.topic_id,
            lanes={number: _lane_entry(number, lane) for number, lane in partition.lanes.items()},
            now_ms=self.now_ms(),
        )


def _lane_entry(number: int, lane: _Lane) -> LaneEntry:
    return LaneEntry(
        lane=number,
        watermark=lane.watermark,
        chain=lane.chain,
        first=lane.first,
        last=lane.last,
        link=lane.link,
        links=lane.links,
        claim=lane.claim,
        outcome=_outcome(lane.outcome, lane),
        counters=lane.counters,
        publish_after_ms=lane.publish_after_ms,
        superseded=lane.superseded,
        disposing=lane.disposing,
        judged=decode_outcome(lane.judged) if lane.judged else None,
        seen=lane.seen if lane.chain else Seen(),
    )


def _outcome(blob: bytes, lane: _Lane) -> Outcome | None:
    outcome = decode_outcome(blob) if blob else None
    return outcome if outcome is None or lane.unsettled else replace(outcome, rejected=())
