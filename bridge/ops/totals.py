"""What a bridge has done since it started, in numbers that only grow: part of its state, source of its metrics.

Buckets are those of Prometheus: one count for each upper bound, not cumulative, the last for all above.
"""

from __future__ import annotations

import msgspec

#: upper bounds: records of a batch; seconds from a chain's dispatch to its outcome
SIZE_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
SECONDS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

#: rebalances that are remembered
REBALANCES = 20


class Distribution(msgspec.Struct, frozen=True):
    """How many values fell under each bound (one more count for those above all), and their sum."""

    counts: tuple[int, ...] = ()
    sum: float = 0.0


class Rebalance(msgspec.Struct, frozen=True):
    """The group gave or took partitions: `kind` is assigned, revoked or lost; `partitions` as `orders[3]`."""

    at_ms: int
    kind: str
    partitions: tuple[str, ...]


class Totals(msgspec.Struct, frozen=True):
    """Since the bridge started. `finished` counts records; `batches` those dispatched for the first time, by trigger;
    `sizes` their records; `round_trips` the seconds from dispatch to outcome; `failures` by kind (failed, timeout,
    worker_lost, revoked, not_registered); `disposed` records that were given up, by what became of them (exhausted,
    rejected, undecodable, timeout, worker_lost: dead letters; skipped)."""

    finished: int = 0
    batches: dict[str, int] = {}
    sizes: Distribution = Distribution()
    round_trips: Distribution = Distribution()
    failures: dict[str, int] = {}
    retries: int = 0
    disposed: dict[str, int] = {}
    commits: int = 0
    commit_errors: int = 0
    handoffs: int = 0
    rebalances: tuple[Rebalance, ...] = ()
