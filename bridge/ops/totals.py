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


class Work(msgspec.Struct, frozen=True):
    """What was done with records. `finished` counts records: of chains that this bridge dispatched and that reported
    them as finished, of acknowledged dead letters, and skipped ones; those of adopted chains are not counted, because
    nothing says how many they carry. `batches` counts those dispatched for the first time, by trigger; `sizes` their
    records; `round_trips` the seconds from a chain's dispatch to its outcome; `failures` the chains that reported one,
    by kind (failed, timeout, worker_lost, revoked, not_registered); `retries` the chains with records that had been
    dispatched before; `disposed` records that were given up, by what became of them (exhausted, rejected, undecodable,
    timeout, worker_lost: dead letters; skipped); `letters_pending` the dead letters that the broker has not
    acknowledged yet; `handoffs` the chains of other owners that were adopted."""

    finished: int = 0
    batches: dict[str, int] = {}
    sizes: Distribution = Distribution()
    round_trips: Distribution = Distribution()
    failures: dict[str, int] = {}
    retries: int = 0
    disposed: dict[str, int] = {}
    letters_pending: int = 0
    handoffs: int = 0


class Totals(Work, frozen=True):
    """Since the bridge started: the work of all topics together, and of each. `commits` that the broker has confirmed,
    `commit_errors` those that it has not; `rebalances` are the last ones that changed something, oldest first,
    `rebalance_counts` all of them by kind; `errors` steps that a service did not answer (kafka, ledger, celery,
    dead_letters)."""

    topics: dict[str, Work] = {}
    commits: int = 0
    commit_errors: int = 0
    rebalances: tuple[Rebalance, ...] = ()
    rebalance_counts: dict[str, int] = {}
    errors: dict[str, int] = {}
