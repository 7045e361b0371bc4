"""The defects that the simulation must find: each a patch of the core or a ledger that leaves a check out.

A check that nothing turns red checks nothing. `./run simulate --mutation NAME` puts one in.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tests.simulation import broken_core as core
from tests.simulation.broken_ledgers import ClaimsAnyLink, ClaimsTwice, CompletesForAnybody, NeverCompares
from tests.simulation.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Mutation:
    """A defect: `what` in one sentence, the mix of faults that shows it, the promises of which one must then be broken
    ("P1", ...), and the defect itself: a patch while its context is open, a ledger, or both."""

    name: str
    what: str
    mix: str
    promises: tuple[str, ...]
    patch: Callable[[], AbstractContextManager[None]] = nullcontext
    ledger: type[Ledger] = Ledger


_ALL = (
    Mutation(
        "commit-highest",
        "The highest finished position is committed, not the first unfinished one.",
        "keys",
        ("P1",),
        core.commits_the_highest,
    ),
    Mutation("commit-fetched", "What was fetched is committed.", "calm", ("P1",), core.commits_what_was_fetched),
    Mutation(
        "clean-on-send",
        "A commit counts as confirmed when it is sent, whatever the broker answers.",
        "group",
        ("P4", "P5", "P9"),
        core.counts_commits_when_sent,
    ),
    Mutation(
        "no-confirming-commit",
        "An owner acts before the broker has taken its first commit.",
        "flush",
        ("P4", "P9"),
        core.confirms_nothing,
    ),
    Mutation(
        "positions-from-lane-entries",
        "A new owner starts where the first of several lanes stands in the ledger.",
        "group",
        ("P1",),
        core.starts_where_a_lane_stands,
    ),
    Mutation(
        "ignore-operator-reset",
        "An offset that an operator has set does not clear the ledger.",
        "resets",
        ("P1", "P2", "P5"),
        core.ignores_the_operator,
    ),
    Mutation(
        "dispatch-early",
        "A lane's next batch is dispatched before the last is resolved.",
        "calm",
        ("P1", "P2"),
        core.dispatches_early,
    ),
    Mutation(
        "retry-behind",
        "What failed is tried again behind the records that wait.",
        "workers",
        ("P1", "P2"),
        core.retries_behind,
    ),
    Mutation(
        "train-after-failure",
        "What was behind the batch that stopped a train rides in the next train.",
        "trains",
        ("P11",),
        core.forgets_what_stopped,
    ),
    Mutation(
        "forget-seen",
        "A lane forgets that its dispatch was refused, and does not look at what the ledger holds instead.",
        "rollback",
        ("P4", "P5"),
        core.forgets_refusals,
    ),
    Mutation("nobody-wakes", "A lane that waits for a time is not woken.", "calm", ("P5",), core.wakes_nobody),
    Mutation(
        "lost-notice-as-success",
        "A chain of which nothing was heard for 5 seconds counts as finished.",
        "noise",
        ("P1",),
        core.takes_silence_for_success,
    ),
    Mutation(
        "timeout-as-success",
        "A chain that ran into its time limit counts as finished.",
        "hang",
        ("P1", "P2"),
        core.takes_timeouts_for_successes,
    ),
    Mutation(
        "dead-letter-without-ack",
        "Offsets pass a record before its dead letter is acknowledged.",
        "gaps in the answers",
        ("P1",),
        core.waits_for_no_dead_letter,
    ),
    Mutation(
        "drop-after-failed",
        "What follows a record that is given up in its batch counts as finished.",
        "gaps in the answers",
        ("P1",),
        core.drops_what_follows,
    ),
    Mutation(
        "no-pauses",
        "What an operator has paused goes on.",
        "pauses and requests",
        ("P10",),
        core.knows_no_pauses,
    ),
    Mutation(
        "skip-unasked",
        "A record that a lane stands at is skipped, though no operator has asked for that.",
        "pauses and requests",
        ("P1", "P6"),
        core.skips_what_nobody_asked_for,
    ),
    Mutation(
        "no-compare-in-dispatch",
        "The ledger's dispatch replaces whatever the lane holds.",
        "noise",
        ("P2", "P3", "P4"),
        ledger=NeverCompares,
    ),
    Mutation(
        "no-current-chain-in-claim",
        "The ledger lets a worker claim a link that is not the current one.",
        "noise",
        ("P3",),
        ledger=ClaimsAnyLink,
    ),
    Mutation(
        "two-claims-of-one-link",
        "The ledger lets two workers claim the same link.",
        "noise",
        ("P3",),
        ledger=ClaimsTwice,
    ),
    Mutation(
        "complete-without-claim",
        "The ledger takes an outcome from a worker that does not hold the claim.",
        "noise",
        ("P3", "P4"),
        ledger=CompletesForAnybody,
    ),
)

MUTATIONS = {mutation.name: mutation for mutation in _ALL}
