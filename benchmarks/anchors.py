"""BroadwayKafka's figures, which we measured once on the same class of machine (2 cores, shared with the broker), the
same broker and the same kind of topic: 12 partitions, 1,000,000 records of 100 bytes, a handler that does nothing.

BroadwayKafka 0.4.4, Broadway 1.3.0, brod 4.6.2, Elixir 1.14 on Erlang 25; settings found by trying about 30: 4
producers, receive_interval 10 ms, max_wait_time 10 ms, max_bytes 128 KiB, 12 processors with max_demand 100, 12 batch
processors.
Medians of the quietest series; a rate is that from the first record to 90 % acknowledged.
"""

from dataclasses import dataclass

NOTE = (
    "BroadwayKafka 0.4.4 (Broadway 1.3.0, brod 4.6.2, Erlang 25) as we measured it on the same class of machine with "
    "the same broker: 1,000,000 records of 100 bytes, 12 partitions, a handler that does nothing, the best of about 30 "
    "settings (4 producers). It is not measured again by `./run bench`."
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Records per second, and milliseconds of processor time per 1,000 records."""

    name: str
    rate: float
    cpu_ms: float


BROADWAY = (
    Anchor("BroadwayKafka, batch 100, commit per batch", 201_000, 7.3),
    Anchor("BroadwayKafka, batch 500, commit per batch", 270_000, 6.4),
    Anchor("BroadwayKafka, batch 100, commits every 5 s", 340_000, 5.3),
)
