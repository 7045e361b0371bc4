"""Values of records: JSON as services write it, each a little different, so that compression finds what it finds in
real topics and not more."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

#: so many different ones, a prime: whatever the number of partitions, each gets all of them
DISTINCT = 20_011

_WORDS = """
    account amount approved article balance basket branch carrier cash category charge city claim code colour
    contract country coupon credit currency customer debit delivery deposit discount email express fee gift
    gross heavy invoice item label large ledger limit line loyalty medium merchant method monthly net note offer
    open order origin parcel partner payment pending phone pickup price priority product quantity rate receipt
    refund region rental return route sale scheduled section sector seller shipment shop size small standard
    state status stock store street sum supplier tariff tax terminal total transfer unit update urgent value
    vendor volume voucher warehouse weekly weight
"""


def values(size: int) -> Sequence[bytes]:
    """DISTINCT values of exactly `size` bytes (at least 80)."""
    chance, words = random.Random(size), _WORDS.split()
    return [_value(chance, words, size) for _ in range(DISTINCT)]


def _value(chance: random.Random, words: Sequence[str], size: int) -> bytes:
    about = {
        "order": chance.randrange(10**8),
        "customer": f"c-{chance.randrange(10**5):05}",
        "amount": chance.randrange(10**6) / 100,
        "note": "",
    }
    missing = size - len(json.dumps(about))
    about["note"] = " ".join(chance.choices(words, k=missing // 4 + 1))[:missing]
    return json.dumps(about).encode()
