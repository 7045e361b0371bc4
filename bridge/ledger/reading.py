"""From the fields of a partition's hash to the values that the core knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge.entries import Claim, Counters, LaneEntry, Outcome, Owner, PartitionEntry, Seen
from bridge.ledger.formats import check_format
from bridge.ledger.outcomes import decode_counters, decode_outcome

Fields = Mapping[bytes, bytes]


def partition_entry(fields: Fields, now_ms: int) -> PartitionEntry:
    """The entry; an empty one when there are no fields. Raises UnknownFormat."""
    if not fields:
        return PartitionEntry(now_ms=now_ms)
    check_format("a partition's hash in the ledger", int(fields.get(b"format", b"0")))
    base = fields.get(b"base")
    return PartitionEntry(
        owner=Owner(int(fields.get(b"owner", b"0")), fields.get(b"bridge", b"").decode()),
        base=None if base is None else int(base),
        rule=fields.get(b"rule", b"").decode(),
        topic_id=fields.get(b"topic_id", b"").decode(),
        lanes={lane: _lane_entry(lane, values) for lane, values in _by_lane(fields).items()},
        now_ms=now_ms,
    )


def _by_lane(fields: Fields) -> dict[int, dict[bytes, bytes]]:
    lanes: dict[int, dict[bytes, bytes]] = {}
    for field, value in fields.items():
        lane, dot, name = field.partition(b".")
        if dot:
            lanes.setdefault(int(lane), {})[name] = value
    return lanes


def _lane_entry(lane: int, values: Fields) -> LaneEntry:
    watermark = int(values.get(b"mark", b"-1"))
    chain = values.get(b"chain", b"").decode()
    if not chain:
        return LaneEntry(lane, watermark)
    claim, blob = values.get(b"claim", b"").decode(), values.get(b"outcome", b"")
    link = int(values[b"link"])
    counters, settled = values.get(b"counters"), b"unsettled" not in values
    return LaneEntry(
        lane=lane,
        watermark=watermark,
        chain=chain,
        first=int(values[b"first"]),
        last=int(values[b"last"]),
        link=link,
        links=int(values[b"links"]),
        claim=_claim(claim),
        outcome=_outcome(blob, settled=settled),
        counters=Counters() if counters is None else decode_counters(counters),
        publish_after_ms=int(values.get(b"publish_after", b"0")),
        superseded=values.get(b"superseded", b"").decode(),
        judged=_outcome(values.get(b"judged", b""), settled=False),  # as it was asked about
        disposing=b"disposing" in values,
        seen=Seen(chain, link, claim, blob),
    )


def claim_text(worker: str, nonce: str) -> str:
    """A claim as the ledger holds it."""
    return f"{worker} {nonce}"


def _claim(text: str) -> Claim | None:
    if not text:
        return None
    worker, _, nonce = text.rpartition(" ")
    return Claim(worker, nonce)


def _outcome(blob: bytes, *, settled: bool) -> Outcome | None:
    if not blob:
        return None
    outcome = decode_outcome(blob)
    return replace(outcome, rejected=()) if settled and outcome.rejected else outcome
