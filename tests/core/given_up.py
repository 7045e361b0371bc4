"""A bench with a lane whose records are given up, and the bridge that takes over from one that has crashed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.lane import Phase
from bridge.entries import Failure, Outcome, Rejection
from bridge.records import Action, PipelineRules, Retry
from tests.core.bench import RULES, TP, Bench

ONCE = replace(RULES, retry=Retry(1))
ASKS = replace(ONCE, on_failed="rescue")
SKIPS = replace(ONCE, on_exhausted="skip")
STOPS = replace(ONCE, on_exhausted="stop")
KEYED = replace(ONCE, order_by="key", lanes=2)

#: what a chain reports
REJECTED = (Rejection(0, "bad", 1, "store"), Rejection(1, "bad", 1, "store"))
FAILED = Failure(2, "failed", True, 1, "store", "ValueError", "no")
OUTCOMES = [
    Outcome("partial", 2, FAILED),
    Outcome("failed", 0, replace(FAILED, offset=0)),
    Outcome("partial", 3, rejected=REJECTED),
    Outcome("partial", 2, FAILED, REJECTED),
]


def running(rules: PipelineRules = ONCE, **config: Any) -> Bench:
    """0, 1 and 2 are in flight, 3 and 4 wait behind them."""
    bench = Bench(rules, **config).assign()
    bench.fetch(0, 1, 2, 3, 4)
    return bench


def chain_of(bench: Bench) -> str:
    flight = bench.lane().flight
    assert flight is not None
    return flight.chain


def asked(bench: Bench) -> list[list[int]]:
    """What the on_failed task was asked about since that was taken last."""
    return [[r[0] for r in effect.rows] for effect in bench.take(ef.Dispatch) if effect.judged is not None]


def heir(old: Bench, rules: PipelineRules, *read: int) -> Bench:
    """The bridge has crashed; another one takes over and reads what is left of these records."""
    old.handle(ev.Lost((TP,)))
    bench = Bench(rules, beside=old, name=f"{old.name}+").assign()
    start = bench.take(ef.StartFetching)[-1].offset
    if rest := [offset for offset in read or range(5) if offset >= start]:
        bench.fetch(*rest)
    bench.handle(ev.EndOfLog(TP, 5))
    return bench


def finish(bench: Bench) -> None:
    """Everything that is still to come succeeds."""
    for _ in range(40):
        bench.carry_out_kept()
        if bench.lane().phase in (Phase.RUNNING, Phase.ADOPTED):
            if bench.ledger.read([TP])[TP].lanes[0].judged is None:
                bench.complete()
            else:
                for_all: list[Action] = ["dead_letter"] * len(bench.payload().rows)
                bench.decide(*for_all)
        bench.wait(1)
    assert bench.lane().phase is Phase.FREE
    assert bench.committed() == 5
