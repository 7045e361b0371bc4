"""A chain under way, as the bridge knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.core.isolation import count_up_to
from bridge.entries import BatchHeader, Claim, Outcome
from bridge.records import PipelineRules, Row


@dataclass(slots=True)
class Flight:
    """A chain, and the rows of its batches that are not finished. A batch that is being split goes in parts: the chain
    carries its rows up to `part_last` only. While no chain is under way: what is left of the last one's batch."""

    chain: str
    first: int
    last: int
    part_last: int
    trigger: str = "size"
    rows: list[Row] = field(default_factory=list)
    size_bytes: int = 0
    #: the batches that it was dispatched with, as long as what is left of them may have to go one by one (None: an
    #: earlier owner dispatched it, nobody knows)
    batches: tuple[BatchHeader, ...] | None = None
    link: int = 1
    #: how many links the chain was dispatched with; a chain of another length was made by an earlier declaration
    links: int = 1
    claim: Claim | None = None
    attempt: int = 1
    #: when this link was published or seen unclaimed last, and how often it was published since
    published_at: float = 0.0
    publishes: int = 0
    #: not published before this time, or until the superseded link `waits_for` has ended (it may still be running)
    publish_after: float = 0.0
    waits_for: str = ""
    dispatched_at: float = 0.0
    claimed_at: float = 0.0
    #: the ledger's clock when the claim was first seen, and the heartbeats since that do not list it
    claim_seen_ms: int = 0
    missed: set[int] = field(default_factory=set)
    #: the outcome that the pipeline's on_failed task is asked about with this chain (None: an attempt at the batch)
    judged: Outcome | None = None
    #: readings of the ledger with a number up to this one may be older than the flight
    reading: int = 0

    @property
    def is_hook(self) -> bool:
        """The chain is no attempt at the batch: the on_failed task is asked what to do with records."""
        return self.judged is not None

    def links_wanted(self, rules: PipelineRules) -> int:
        """How many links such a chain has as the pipeline is declared now."""
        return 1 if self.is_hook else rules.links

    def task(self, rules: PipelineRules, link: int) -> str:
        """The task of a link, as the pipeline is declared now."""
        return rules.on_failed if self.is_hook else rules.tasks[min(link, rules.links) - 1]

    def queue_link(self, link: int) -> int:
        """The link's number as `queue_of` knows it: 0 is the on_failed task."""
        return 0 if self.is_hook else link

    @property
    def part_rows(self) -> int:
        """How many unfinished rows the chain carries, or carried."""
        return count_up_to(self.rows, self.part_last)


def name_and_attempt(flight: Flight | None) -> tuple[str, int]:
    """The id of a chain, and which attempt it is: "" and 0 for none."""
    return ("", 0) if flight is None else (flight.chain, flight.attempt)
