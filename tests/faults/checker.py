"""The rules, as a pure function over what was written down. Each rule has a bad history in test_checker.py.

A record is handled in a link when a run with it succeeded, or failed at a later record and said so. `P1`..`P4` are the
promises of docs/architecture.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from tests.faults import places
from tests.faults.history import Run
from tests.faults.places import Stream

Partition = places.Partition


@dataclass(frozen=True, slots=True)
class Expected:
    """What the cell knows by itself: the offsets that exist, the links in order, what the broker says at the end.

    `repeats`: how many records may be handled more than once. `overlaps`: how many pairs of runs of one lane may
    overlap. `stopped`: records whose lane is meant to stop; what lies at or behind them is not asked for. `killed`:
    processes that got SIGKILL.
    """

    offsets: Mapping[Partition, Sequence[int]]
    links: Sequence[str]
    committed: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    repeats: int = 0
    overlaps: int = 0
    stopped: Mapping[Partition, int] = field(default_factory=dict)
    killed: Collection[int] = ()


def violations(runs: Sequence[Run], expected: Expected) -> list[str]:
    """Every rule that the history breaks, in words; empty when none."""
    return [
        *lost(runs, expected.links, _wanted(expected)),
        *_repeated(surely_acknowledged(runs, expected.killed), expected),
        *out_of_order(runs),
        *_overlaps(runs, expected),
        *links_out_of_order(runs, expected.links),
        *_wrong_commits(runs, expected),
    ]


def surely_acknowledged(runs: Sequence[Run], killed: Collection[int]) -> list[Run]:
    """The last run of a process that was killed, what ran before it in the same link (a train is acknowledged as a
    whole), and what it did beside it, may have been written down and not acknowledged: it may run again."""
    last = {run.pid: run for run in runs if run.pid in killed}
    return [replace(run, end=None, done=None) if _is_beside(run, last.get(run.pid)) else run for run in runs]


def _is_beside(run: Run, last: Run | None) -> bool:
    if last is None:
        return False
    is_same_link = (run.chain, run.link) == (last.chain, last.link)
    return run.ended is None or is_same_link or run.ended > last.begin


def handled(runs: Iterable[Run], link: str) -> Counter[tuple[str, int, int]]:
    """How often each record was handled successfully in this link."""
    return Counter((run.topic, run.partition, offset) for run in runs if run.link == link for offset in run.succeeded)


def _wanted(expected: Expected) -> dict[Partition, Sequence[int]]:
    """What must be handled: everything before a record whose lane is meant to stop."""
    ends = {tp: expected.stopped.get(tp, float("inf")) for tp in expected.offsets}
    return {tp: [each for each in offsets if each < ends[tp]] for tp, offsets in expected.offsets.items()}


def lost(runs: Sequence[Run], links: Sequence[str], wanted: Mapping[Partition, Sequence[int]]) -> list[str]:
    """Each of these records was handled in each link."""
    found = []
    for link in links:
        seen = handled(runs, link)
        for (topic, partition), offsets in wanted.items():
            gone = [offset for offset in offsets if not seen[topic, partition, offset]]
            if gone:
                found.append(f"P1 lost: {topic}[{partition}] {link}: {len(gone)} records, first {gone[0]}")
    return found


def _repeated(runs: Sequence[Run], expected: Expected) -> list[str]:
    found = []
    for link in expected.links:
        repeated = {record: times for record, times in handled(runs, link).items() if times > 1}
        if len(repeated) > expected.repeats:
            record, times = next(iter(repeated.items()))
            found.append(f"P4 repeated: {link}: {len(repeated)} records, {record} {times} times")
    return found


def out_of_order(runs: Sequence[Run]) -> list[str]:
    """Inside a batch, from batch to batch and for each record's first run, in each link: offsets go up."""
    highest: dict[tuple[str, int, int, str], int] = {}
    found = []
    for run in runs:
        key = (*run.stream, run.link)
        if list(run.offsets) != sorted(set(run.offsets)):
            found.append(f"P2 order inside a batch: {key} {run.offsets[:5]}")
        fresh = [offset for offset in run.offsets if offset > highest.get(key, -1)]
        known = [offset for offset in run.offsets if offset <= highest.get(key, -1)]
        if fresh and known and min(fresh) < max(known):
            found.append(f"P2 order: {key}: {min(fresh)} after {max(known)}")
        if run.offsets:
            highest[key] = max(highest.get(key, -1), run.offsets[-1])
    return [*found, *_first_runs(runs)]


def _first_runs(runs: Sequence[Run]) -> list[str]:
    """The first begins of a lane's records are in offset order, in each link."""
    firsts: dict[tuple[str, int, int, str], list[int]] = defaultdict(list)
    seen: set[tuple[str, int, int, str, int]] = set()
    for run in runs:
        key = (*run.stream, run.link)
        for offset in run.offsets:
            if (*key, offset) not in seen:
                seen.add((*key, offset))
                firsts[key].append(offset)
    return [
        f"P2 order of first runs: {key}: {next((a, b) for a, b in pairwise(offsets) if a > b)}"
        for key, offsets in firsts.items()
        if offsets != sorted(offsets)
    ]


def overlapping(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """The pairs of runs of one lane that ran at the same time: each run with that of those before it that ended last. A
    run that was killed, nobody knows when, does not hide a longer one before it."""
    latest: dict[Stream, tuple[float, Run]] = {}
    pairs = []
    for run in runs:
        until, before = latest.get(run.stream, (run.begin, run))
        if until > run.begin:
            pairs.append((before, run))
        if run.ended is not None and run.ended >= until:
            latest[run.stream] = run.ended, run
    return pairs


def _overlaps(runs: Sequence[Run], expected: Expected) -> list[str]:
    pairs = overlapping(runs)
    if len(pairs) <= expected.overlaps:
        return []
    first, second = pairs[0]
    return [f"P3 overlap: {len(pairs)} pairs, {first.chain} {first.link} and {second.chain} {second.link}"]


def links_out_of_order(runs: Sequence[Run], links: Sequence[str]) -> list[str]:
    """A link begins after the link before it has ended, in its chain."""
    ended: dict[tuple[str, str], float] = {}
    found = []
    for run in runs:
        number = links.index(run.link)
        if number and ended.get((run.chain, links[number - 1]), float("inf")) > run.begin:
            found.append(f"P2 links: {run.chain} {run.link} began before {links[number - 1]} had ended")
        if run.succeeded:
            ended[run.chain, run.link] = run.ended or float("inf")
    return found


def _wrong_commits(runs: Sequence[Run], expected: Expected) -> list[str]:
    found = []
    seen = handled(runs, expected.links[-1])
    for tp, end in expected.ends.items():
        committed = expected.committed.get(tp, 0)
        stop = expected.stopped.get(tp)
        if stop is None and committed != end:
            found.append(f"committed {committed} is not the end {end} of {tp[0]}[{tp[1]}]")
        if stop is not None and committed > stop:
            found.append(f"P6 committed {committed} is past the failed record {stop} of {tp[0]}[{tp[1]}]")
        early = [o for o in expected.offsets[tp] if o < committed and not seen[(*tp, o)]]
        if early:
            found.append(f"P1 committed {committed} of {tp[0]}[{tp[1]}], but {early[0]} was never handled")
    return found
