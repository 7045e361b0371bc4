"""Which lane a record belongs to: a pure function of the record.

blake2b and not crc32: producers choose the partition with crc32 or murmur2, and lanes made by the same hash would
collapse. All records without a key are in one lane.
"""

from __future__ import annotations

from hashlib import blake2b


def lane_of(key: bytes | None, lanes: int) -> int:
    """The lane of a record with this key, 0 <= lane < lanes; without a key: 0."""
    if key is None:
        return 0
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") % lanes


def lane_count(rule: str) -> int:
    """How many lanes a rule as the ledger names it (`partition` or `key:<lanes>`) makes of a partition."""
    return 1 if rule == "partition" else int(rule.partition(":")[2])
