"""R8: a finished record never runs again, but for `claims.repeats`, and what Redis or the group's offsets have lost.

Finished here: surely acknowledged. What may have been done and not acknowledged: the last run of a process that was
killed, a run whose chain was superseded, one during which Redis lost its data. The runs of one link of a chain (a
train) are acknowledged together: what is true of one of them is true of all.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.faults import checker
from tests.faults.claims import Claims
from tests.faults.events import CommitOk, Committed, Dispatched, Killed, Letters, RedisLost, Reset, Settled
from tests.faults.finished import NEVER, Finished
from tests.faults.history import History, Run
from tests.faults.places import Partition, Place, Stream

#: seconds from the injector's line, which comes first, until Redis has really lost its data
LOSS_TAKES = 1.0


def repeated(history: History, claims: Claims, finished: Finished) -> Iterator[str]:
    """R8: records that ran again after they were finished."""
    done = _surely_finished(history, claims)
    found = _again(history, done, _forgotten(history))
    if len(found) > claims.repeats:
        place, run = next(iter(found.items()))
        text = f"{place} in {run.link} of {run.chain} at {run.begin:.3f}, finished at {done[place][0]:.3f}"
        yield f"R8 repeats: {len(found)} records, first {text}"


def ran_again(history: History, claims: Claims) -> int:
    """How many records ran again after they were finished, whatever may excuse it."""
    return len(_again(history, _surely_finished(history, claims), ()))


def _again(
    history: History, done: Mapping[Place, Sequence[float]], forgotten: Sequence[_Forgotten]
) -> Mapping[Place, Run]:
    chains: dict[str, float] = {}
    found: dict[Place, Run] = {}
    for run in history.runs:
        chains.setdefault(run.chain, run.begin)
        for offset in run.offsets:
            times = done.get((*run.tp, offset), ())
            before = bisect_left(times, run.begin)
            if before and not any(
                each.excuses(run, offset, times[before - 1], chains[run.chain]) for each in forgotten
            ):
                found.setdefault((*run.tp, offset), run)
    return found


def _surely_finished(history: History, claims: Claims) -> dict[Place, list[float]]:
    """When each record was finished, each time, in order."""
    killed = {pid for said in history.injected if isinstance(said, Killed) for pid in said.pids}
    times: dict[Place, list[float]] = defaultdict(list)
    for run in _current(checker.surely_acknowledged(history.runs, killed), history):
        if run.link == claims.links[-1] and run.ended is not None:
            for offset in run.succeeded:
                insort(times[*run.tp, offset], run.ended)
    for said in history.bridges:
        if isinstance(said, Letters):
            for place in said.places:
                insort(times[place], said.at)
        elif isinstance(said, Settled):
            for offset in said.skipped:
                insort(times[*said.tp, offset], said.at)
    return times


def _current(runs: Sequence[Run], history: History) -> Iterator[Run]:
    """The runs of links during which no other chain of their lane appeared, and Redis lost nothing."""
    others: dict[Stream, list[tuple[float, str]]] = defaultdict(list)
    for run in runs:
        others[run.stream].append((run.begin, run.chain))
    for said in history.bridges:
        if isinstance(said, Dispatched):
            others[*said.tp, said.lane].append((said.asked, said.chain))
    for seen in others.values():
        seen.sort()
    losses = [said.at for said in history.injected if isinstance(said, RedisLost)]
    links: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        links[run.chain, run.link].append(run)
    for train in links.values():
        begin, end = train[0].begin, train[-1].ended
        if end is None or any(begin < at + LOSS_TAKES and at < end for at in losses):
            continue
        seen = others[train[0].stream]
        during = seen[bisect_left(seen, (begin, "")) : bisect_left(seen, (end, ""))]
        if all(chain == train[0].chain for _, chain in during):
            yield from train


@dataclass(frozen=True, slots=True)
class _Forgotten:
    """At `at` it was forgotten that records are finished: those from `since` on; of old chains any (`old_chains`)."""

    at: float
    since: Mapping[Partition, int]
    old_chains: bool = False

    def excuses(self, run: Run, offset: int, finished_at: float, chain_since: float) -> bool:
        """The record may run again: since its end it was forgotten that it is finished."""
        if not finished_at < self.at < run.begin:
            return False
        is_old = self.old_chains and chain_since < self.at
        return is_old or offset >= self.since.get(run.tp, NEVER)


def _forgotten(history: History) -> list[_Forgotten]:
    """What Redis has lost is what was not committed at that time; a move of the group's offsets forgets all behind."""
    found: list[_Forgotten] = []
    committed: dict[Partition, int] = defaultdict(int)
    for said in sorted([*history.injected, *history.bridges, *history.samples], key=lambda said: said.at):
        if isinstance(said, CommitOk):
            committed.update({tp: max(offset, committed[tp]) for tp, offset, _, _ in said.entries})
        elif isinstance(said, Committed):
            committed.update({tp: max(offset, committed[tp]) for tp, offset in said.offsets.items()})
        elif isinstance(said, Reset):
            committed.update(said.offsets)
            found.append(_Forgotten(said.at, said.offsets))
        elif isinstance(said, RedisLost):
            since = {run.tp: committed[run.tp] for run in history.runs}
            found.append(_Forgotten(said.at, since, old_chains=said.rolled_back))
    return found
