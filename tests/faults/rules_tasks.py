"""What tasks were given: nothing lost (R1), in order (R5, R6, R14), one at a time (R7), once (R8), unchanged (R13)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.faults import checker
from tests.faults.claims import Claims
from tests.faults.events import (
    Assigned,
    CommitOk,
    Committed,
    Dispatched,
    Fault,
    Killed,
    LetterRead,
    Letters,
    RedisLost,
    Reset,
    Settled,
    Start,
)
from tests.faults.finished import NEVER, Finished
from tests.faults.history import History, Run
from tests.faults.places import Partition, Place, Stream


def lost(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R1: every record was handled in every link, or given up as claimed; in the end everything is committed."""
    wanted = {
        tp: [offset for offset in offsets.offsets if (*tp, offset) not in finished.disposed]
        for tp, offsets in finished.partitions.items()
    }
    yield from (f"R1 loss: {text}" for text in checker.lost(history.runs, claims.links, wanted))
    yield from _given_up(history, claims)
    committed = [said.offsets for said in history.samples if isinstance(said, Committed)]
    for tp, end in claims.ends.items():
        last = committed[-1].get(tp, 0) if committed else 0
        if last != end:
            yield f"R1 drain: {tp[0]}[{tp[1]}]: committed is {last} of {end}"


def _given_up(history: History, claims: Claims) -> Iterator[str]:
    written = {place for said in history.bridges if isinstance(said, Letters) for place in said.places}
    read = Counter(said.place for said in history.samples if isinstance(said, LetterRead))
    found = written | set(read)
    for place in sorted(found ^ set(claims.letters)):
        how = "dead-lettered" if place in found else "not dead-lettered"
        yield f"R1 given up: {place} is {how}, claimed is the opposite"
    for said in history.bridges:
        if isinstance(said, Settled):
            yield from (
                f"R1 given up: {(*said.tp, offset)} is skipped, no row asks for that" for offset in said.skipped
            )
    if any(isinstance(said, (Fault, Killed)) for said in history.injected):
        return  # what was written and not heard of is written again
    for place, copies in read.items():
        if copies > 1:
            yield f"R1 given up: {place} is {copies} times in the dead letter topic, without any fault"


# --- order ------------------------------------------------------------------------------------------------------------


def out_of_order(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R5: offsets go up in each lane and link, links follow each other, a chain's first batch begins when all records
    of its lane before it are finished, and each further one (of a train) behind one that got through."""
    runs = [run for run in history.runs if run.link in claims.links]
    for stretch in _stretches(runs, history):
        yield from (f"R5 order: {text}" for text in checker.out_of_order(stretch))
    yield from (f"R5 order: {text}" for text in checker.links_out_of_order(runs, claims.links))
    yield from _behind_a_stop(runs)
    left_out, carried = _left_out(history, claims), defaultdict[str, set[int]](set)
    for run in runs:
        if run.link == claims.links[0] and run.offsets:
            mine = carried[run.chain]
            mine.update(run.offsets)
            mine.update(offset for offset in left_out.get(run.chain, ()) if offset < run.offsets[-1])
            yield from _early("R5 order", run.stream, sorted(mine), run.begin, finished)


def _behind_a_stop(runs: Sequence[Run]) -> Iterator[str]:
    """Batches of a train that ran although one before it, in the same link, had not got through."""
    last: dict[tuple[str, str], Run] = {}
    for run in runs:
        before = last.get((run.chain, run.link))
        # what begins anew with the chain (an older Redis has shown it again) is for R8 to judge
        if before is not None and before.end is None and run.offsets[:1] > before.offsets[-1:]:
            yield f"R5 order: {run.chain} {run.link}: {run.offsets[:1]} began, the batch before it had stopped"
        last[run.chain, run.link] = run


def _left_out(history: History, claims: Claims) -> dict[str, list[int]]:
    """The records of each chain that its tasks are not given."""
    if not claims.undecodable:
        return {}
    return {
        said.chain: [offset for offset in said.offsets if (*said.tp, offset) in claims.undecodable]
        for said in history.bridges
        if isinstance(said, Dispatched)
    }


def _stretches(runs: Sequence[Run], history: History) -> Iterator[list[Run]]:
    """The runs before, between and after deliberate moves of the group's offsets: in each the order begins anew. Left
    out is what a chain that was handed over before a move runs after it: it belongs to neither order."""
    moves = sorted(said.at for said in history.injected if isinstance(said, Reset))
    begun: dict[str, float] = {}
    for chain, at in [(said.chain, said.asked) for said in history.bridges if isinstance(said, Dispatched)]:
        begun.setdefault(chain, at)
    stretches: list[list[Run]] = [[] for _ in range(len(moves) + 1)]
    for run in runs:
        since = min(begun.get(run.chain, run.begin), run.begin)
        begun[run.chain] = since
        if (number := bisect_right(moves, run.begin)) == bisect_right(moves, since):
            stretches[number].append(run)
    yield from stretches


def _early(rule: str, stream: Stream, offsets: Sequence[int], at: float, finished: Finished) -> Iterator[str]:
    """Records of the lane that lie before, or between, these offsets and were not finished at that time."""
    lane = finished.lanes[stream]
    late, which = lane.below(offsets[0])
    if late > at:
        yield f"{rule}: {stream}: {offsets[0]} at {at:.3f}, but {which} was finished at {late:.3f}"
    mine = set(offsets)
    for offset in lane.between(offsets[0], offsets[-1]):
        if offset not in mine and finished.at.get((*stream[:2], offset), NEVER) > at:
            yield f"{rule}: {stream}: {offset} is left out of {offsets[0]}..{offsets[-1]} at {at:.3f}"


def wrong_replays(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R6: an assignment starts at what its owner has just committed; a lane goes back only when Redis or the group's
    offsets were lost or moved, and goes on from there without leaving anything out."""
    committed: dict[tuple[int, Partition], int] = {}
    for said in history.bridges:
        if isinstance(said, Assigned):
            for tp in said.partitions:
                committed.pop((said.pid, tp), None)
        elif isinstance(said, CommitOk):
            committed.update({(said.pid, tp): offset for tp, offset, _, _ in said.entries})
        elif isinstance(said, Start) and not said.relocated and committed.get((said.pid, said.tp)) != said.offset:
            mine = committed.get((said.pid, said.tp))
            yield f"R6 replay: {said.tp} is read from {said.offset} on, its new owner has committed {mine}"
    last: dict[Stream, Run] = {}
    firsts: dict[str, int] = {}
    for run in history.runs:
        if run.link == claims.links[0] and run.offsets:
            firsts.setdefault(run.chain, run.offsets[0])
            if (before := last.get(run.stream)) is not None:
                yield from _jump(before, firsts[before.chain], run, history, finished)
            last[run.stream] = run


def _jump(before: Run, first: int, run: Run, history: History, finished: Finished) -> Iterator[str]:
    """`first`: where the chain of the run before began; what it left of a train may go back to there."""
    excuses = [said for said in history.injected if isinstance(said, (RedisLost, Reset))]
    if any(before.begin < said.at < run.begin for said in excuses):
        return
    if run.offsets[0] < first:
        yield f"R6 replay: {run.stream}: {run.offsets[0]} after {first}, nothing was lost or moved"
    # behind a chain that an older Redis has shown, what was finished since that state is not run again
    replays = any(isinstance(said, RedisLost) and said.rolled_back and said.at < before.begin for said in excuses)
    for offset in finished.lanes[run.stream].between(before.offsets[-1], run.offsets[0]):
        was_finished = replays and finished.at.get((*run.tp, offset), NEVER) < run.begin
        if (*run.tp, offset) not in finished.disposed and not was_finished:
            yield f"R6 replay: {run.stream}: {run.offsets[0]} after {before.offsets[-1]}, {offset} is left out"
            return


def skipped(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R14: a chain is handed to the ledger when nothing before it in its lane is unfinished or left out."""
    for said in history.bridges:
        if isinstance(said, Dispatched) and said.offsets:
            yield from _early("R14 skip", (*said.tp, said.lane), said.offsets, said.asked, finished)


# --- one at a time, once, unchanged -----------------------------------------------------------------------------------


def overlapping(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R7: runs of a lane do not overlap, but for `claims.overlaps` links that ran when their chain was superseded; no
    link of a chain begins after a newer chain of its lane, unless Redis has forgotten the newer one in between."""
    pairs = checker.overlapping(history.runs)
    if len(pairs) > claims.overlaps:
        first, second = pairs[0]
        text = f"{first.chain} {first.link} and {second.chain} {second.link} from {second.begin:.3f} on"
        yield f"R7 overlap: {len(pairs)} pairs, {text}"
    rolled_back = [said.at for said in history.injected if isinstance(said, RedisLost) and said.rolled_back]
    current: dict[Stream, str] = {}
    old: dict[str, float] = {}
    for run in history.runs:
        if run.chain in old:
            if not any(old[run.chain] < at < run.begin for at in rolled_back):
                newer = current[run.stream]
                yield f"R7 overlap: {run.chain} {run.link} began at {run.begin:.3f}, after the newer {newer}"
        elif current.setdefault(run.stream, run.chain) != run.chain:
            old[current[run.stream]] = run.begin
            current[run.stream] = run.chain


def changed(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R13: what tasks got, and what is in the dead letter topic, is what was produced, byte for byte."""
    wrong: dict[str, list[Place]] = defaultdict(list)
    for run in history.runs:
        produced = history.produced.get(run.tp, {})
        for offset, found in zip(run.offsets, run.sums, strict=bool(run.sums)):
            if produced and produced.get(offset) != found:
                wrong[run.link].append((*run.tp, offset))
    for said in history.samples:
        if isinstance(said, LetterRead):
            topic, partition, offset = said.place
            if history.produced.get((topic, partition), {}).get(offset, said.sum) != said.sum:
                wrong["dead letters"].append(said.place)
    for where, places in wrong.items():
        yield f"R13 identity: {where}: {len(places)} records are not what was produced, first {places[0]}"
