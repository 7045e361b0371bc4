"""An operator wants a record skipped: it is passed by the way of every record that is given up, without a dead letter.

Only what stopped a chain can be skipped, and only behind that chain's outcome: the ledger settles both or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.core.lane import Lane, Phase
from bridge.entries import Outcome

if TYPE_CHECKING:
    from bridge.core.bridge import Core


def wanted_skips(core: Core, lane: Lane) -> frozenset[int]:
    """The offsets at stake just now that operators want skipped."""
    return core.operators.skips_of(lane).intersection(lane.at_stake)


def begin_skipping(core: Core, lane: Lane, now: float) -> bool:
    """Turn the lane to disposing of the records that are to be skipped; whether there are any that it may pass."""
    skips = wanted_skips(core, lane)
    if not skips:
        return False
    assert lane.outcome is not None
    if lane.phase is Phase.STOPPED and _still_stops(lane, lane.outcome, skips):
        return False
    if lane.phase is not Phase.DISPOSING:
        lane.dispose(now)
    elif lane.writing is not None and lane.stalled and skips - lane.writing.skipped:
        lane.writing, lane.stalled = None, False  # its dead letters cannot be written: some are not needed any more
    return True


def _still_stops(lane: Lane, outcome: Outcome, skips: frozenset[int]) -> bool:
    """Another record at stake stops the lane all the same."""
    decided = {each.offset: each.action for each in outcome.decided}
    left = [offset for offset in outcome.at_stake if offset not in skips]
    return any(decided.get(offset, lane.rules.on_exhausted) == "stop" for offset in left)
