"""Histories made by hand, for the tests of the rules: one bridge carries nine records of t[0] in three batches."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.claims import Claims
from tests.faults.events import (
    Assigned,
    CommitOk,
    Committed,
    CommitTry,
    Dispatched,
    Exited,
    Fault,
    Health,
    Letters,
    Reset,
    Said,
    Sample,
    Start,
    Taken,
)
from tests.faults.history import History, Run

#: the partition, the processes, the owner number
TP = ("t", 0)
BRIDGE, WORKER, STAGE = 1, 2, 3
OWNER = 10


def sums(offsets: range | tuple[int, ...]) -> tuple[int, ...]:
    """What the records at these offsets carry."""
    return tuple(1000 + offset for offset in offsets)


def a_run(offsets: range | tuple[int, ...], begin: float, *, chain: str, link: str = "link1") -> Run:
    """A run of half a second that succeeds."""
    place = (link, *TP, 0, chain, tuple(offsets))
    return Run(*place, begin, begin + 0.5, WORKER, "w", "lane-0", sums=sums(offsets))


def failed(run: Run, *done: int) -> Run:
    """The run raised behind the records `done`."""
    return replace(run, end=None, error="boom", failed_at=run.end, done=done)


def dispatched(offsets: range, asked: float, *, chain: str) -> Dispatched:
    """The ledger took a chain."""
    return Dispatched(asked + 0.1, BRIDGE, TP, 0, chain, OWNER, tuple(offsets), asked)


def commit(offset: int, tried: float, *, owner: int = OWNER, pid: int = BRIDGE) -> list[Said]:
    """A commit, taken by the broker after a tenth of a second."""
    return [
        CommitTry(tried, pid, ((TP, offset, owner),)),
        CommitOk(tried + 0.1, pid, ((TP, offset, owner, tried),)),
    ]


def committed(offset: int, at: float) -> Committed:
    """What the broker says."""
    return Committed(at, STAGE, {TP: offset})


def fault(at: float, *, on: bool, name: str = "cut") -> Fault:
    """A fault begins or is over."""
    return Fault(at, STAGE, name, on)


def letters(at: float, *offsets: int) -> Letters:
    """Dead letters are acknowledged."""
    return Letters(at, BRIDGE, tuple((*TP, offset) for offset in offsets))


def with_bridge(history: History, *more: Said) -> History:
    """The bridge says more."""
    return replace(history, bridges=sorted([*history.bridges, *more], key=lambda said: said.at))


def with_samples(history: History, *more: Said) -> History:
    """The sampler has seen more."""
    return replace(history, samples=sorted([*history.samples, *more], key=lambda said: said.at))


def with_faults(history: History, *more: Said) -> History:
    """The injector did this."""
    return replace(history, injected=sorted([*history.injected, *more], key=lambda said: said.at))


def with_runs(history: History, *runs: Run) -> History:
    """More runs."""
    return replace(history, runs=sorted([*history.runs, *runs], key=lambda run: run.begin))


def instead(history: History, chain: str, *runs: Run) -> History:
    """These runs instead of those of the chain."""
    return with_runs(replace(history, runs=[run for run in history.runs if run.chain != chain]), *runs)


A, B, C = range(3), range(3, 6), range(6, 9)

GOOD = History(
    runs=[a_run(A, 2.0, chain="a"), a_run(B, 4.0, chain="b"), a_run(C, 6.0, chain="c")],
    produced={TP: dict(zip(range(9), sums(range(9)), strict=True))},
    bridges=[
        Assigned(0.0, BRIDGE, (TP,)),
        *commit(0, 0.5),
        Start(1.0, BRIDGE, TP, 0),
        dispatched(A, 1.5, chain="a"),
        *commit(3, 3.0),
        dispatched(B, 3.5, chain="b"),
        *commit(6, 5.0),
        dispatched(C, 5.5, chain="c"),
        *commit(9, 7.0),
        Taken(8.0, BRIDGE, (TP,)),
    ],
    samples=[
        Sample(2.0, STAGE, BRIDGE, 50 * 2**20),
        Health(2.1, STAGE, BRIDGE, 200),
        committed(3, 4.0),
        Health(4.1, STAGE, BRIDGE, 200),
        committed(9, 7.5),
        Exited(8.5, STAGE, "b0", 0, "SIGTERM", 0.5),
    ],
)

CLAIMS = Claims(ends={TP: 9}, memory=100 * 2**20)

TWO_LINKS = replace(
    GOOD,
    runs=[
        *(a_run(offsets, at, chain=chain) for offsets, at, chain in ((A, 2.0, "a"), (B, 4.0, "b"), (C, 6.0, "c"))),
        *(
            replace(a_run(offsets, at, chain=chain, link="link2"), end=at + 0.3)
            for offsets, at, chain in ((A, 2.6, "a"), (B, 4.6, "b"), (C, 6.6, "c"))
        ),
    ],
)
TWO_LINKS = replace(TWO_LINKS, runs=sorted(TWO_LINKS.runs, key=lambda run: run.begin))

#: the second link of c was still to run when the offsets were moved back to 3
LATE_LINK = with_faults(
    with_samples(
        with_runs(
            instead(TWO_LINKS, "c", a_run(C, 6.0, chain="c"), a_run(C, 9.2, chain="c", link="link2")),
            a_run(B, 10.0, chain="b2"),
            a_run(B, 10.6, chain="b2", link="link2"),
        ),
        committed(3, 9.5),
        committed(9, 12.0),
    ),
    Reset(9.0, STAGE, {TP: 3}),
)
LATE_LINK = replace(
    LATE_LINK,
    bridges=[said for said in LATE_LINK.bridges if said.at < 7.0],
    samples=[said for said in LATE_LINK.samples if said != committed(9, 7.5)],
)
