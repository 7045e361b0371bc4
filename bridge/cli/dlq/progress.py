"""What earlier replays of a dead letter topic have done: the memory that keeps a letter from being replayed twice.

Rules: pure. A partition's memory is a list of passes: from where to where a replay has gone, and what it chose. A
letter is done when any pass went over it and chose it, whatever is chosen now: nothing is guessed, and filters may
change from run to run. It is kept as the metadata of the offset that the replay's group has committed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from bridge.cli.dlq.letters import Filters, FoundLetter
from bridge.errors import LanebridgeError
from bridge.kafka.dead_letter_reading import Kept

FORMAT = 1

#: bytes of metadata that a broker takes (offset.metadata.max.bytes is 4096), less a margin
METADATA_BYTES = 3900

#: beyond every limit of replays: of a group whose offset was set by hand
_NO_LIMIT = 1_000_000_000


class ProgressUnreadable(LanebridgeError):
    """What earlier replays have kept cannot be read."""


class ProgressFull(LanebridgeError):
    """Earlier replays, with ever different filters, have left no room to keep this one."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A replay went over the offsets in [first, upto) and wrote back what it chose, but not letters that had been
    replayed `max_replays` times, and no stubs."""

    first: int
    upto: int
    filters: Filters
    max_replays: int

    def has_done(self, letter: FoundLetter) -> bool:
        """Whether this pass wrote the letter back."""
        about = letter.about
        return (
            about is not None
            and not about.omitted
            and self.first <= letter.offset < self.upto
            and about.replays < self.max_replays
            and self.filters.chooses(letter)
        )

    def is_like(self, other: Pass) -> bool:
        """Whether both choose the same."""
        return (self.filters, self.max_replays) == (other.filters, other.max_replays)

    def includes(self, other: Pass) -> bool:
        """Whether whatever the other has done, this one has done too."""
        chooses_all = self.filters == Filters() or self.filters == other.filters
        spans = self.first <= other.first and other.upto <= self.upto
        return chooses_all and spans and other.max_replays <= self.max_replays


@dataclass(frozen=True, slots=True)
class Progress:
    """The passes over one partition. `topic_id` tells it from a topic of the same name that was deleted."""

    topic_id: str = ""
    passes: tuple[Pass, ...] = ()

    def has_done(self, letter: FoundLetter) -> bool:
        """Whether an earlier replay wrote the letter back."""
        return any(each.has_done(letter) for each in self.passes)

    def resume_at(self, start: int, wanted: Pass) -> int:
        """The first offset at or above `start` that is not below the end of a pass that has done all that is wanted."""
        moved = True
        while moved:
            moved = False
            for each in self.passes:
                if each.first <= start < each.upto and each.includes(replace(wanted, first=start, upto=each.upto)):
                    start, moved = each.upto, True
        return start

    def with_pass(self, done: Pass) -> Progress:
        """This progress and one pass more; passes that touch and choose the same become one."""
        rest = list[Pass]()
        for each in self.passes:
            if each.is_like(done) and each.first <= done.upto and done.first <= each.upto:
                done = replace(done, first=min(each.first, done.first), upto=max(each.upto, done.upto))
            else:
                rest.append(each)
        kept = [each for each in rest if not done.includes(each)]
        return replace(self, passes=(*kept, done))

    def from_offset(self, low: int) -> Progress:
        """Without the passes over what the topic no longer has."""
        return replace(self, passes=tuple(each for each in self.passes if each.upto > low))

    def encode(self, offset: int) -> Kept:
        """As it is committed, with `offset` for people who look at the group. Raises ProgressFull."""
        passes = [[each.first, each.upto, each.max_replays, each.filters.as_json()] for each in self.passes]
        text = json.dumps({"lb": FORMAT, "topic": self.topic_id, "passes": passes}, separators=(",", ":"))
        if len(text) > METADATA_BYTES:
            raise ProgressFull(
                f"{len(passes)} earlier replays with different filters are remembered, and there is no room for one "
                "more; replay without filters what is left, or delete the group that remembers them (its letters can "
                "then be replayed once more)"
            )
        return Kept(offset, text)


def decode(kept: Kept, topic_id: str) -> Progress:
    """What was committed for a partition of the topic that now has this id ("" not known). Raises ProgressUnreadable.

    An offset without our metadata was set by hand: all below it counts as done.
    """
    if kept.offset is None:
        return Progress(topic_id)
    if not kept.metadata:
        return Progress(topic_id, (Pass(0, kept.offset, Filters(), _NO_LIMIT),))
    try:
        found = json.loads(kept.metadata)
        if found["lb"] != FORMAT:
            raise ValueError(f"format {found['lb']}, this version knows {FORMAT}")
        passes = tuple(
            Pass(first, upto, Filters.from_json(filters), most) for first, upto, most, filters in found["passes"]
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ProgressUnreadable(
            f"what earlier replays have kept cannot be read ({error}); use the version of lanebridge that wrote it, or "
            "delete the group"
        ) from error
    is_another = bool(topic_id and found["topic"]) and topic_id != found["topic"]
    return Progress(topic_id) if is_another else Progress(topic_id or found["topic"], passes)
