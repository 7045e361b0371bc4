"""The rules find each kind of violation: a good history, and for every rule histories that break just that one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.faults.claims import Claims
from tests.faults.events import (
    Assigned,
    Exited,
    Health,
    Killed,
    LetterRead,
    RedisLost,
    Reset,
    Sample,
    Settled,
    Start,
    Taken,
)
from tests.faults.history import History
from tests.faults.rules import RULES, violations
from tests.faults.stories import (
    BRIDGE,
    CLAIMS,
    GOOD,
    LATE_LINK,
    OWNER,
    STAGE,
    TP,
    TWO_LINKS,
    WORKER,
    A,
    B,
    C,
    a_run,
    commit,
    committed,
    dispatched,
    failed,
    fault,
    instead,
    letters,
    sums,
    with_bridge,
    with_faults,
    with_runs,
    with_samples,
)


def _without(history: History, kind: type, at: float) -> History:
    kept = [said for said in history.bridges if not (isinstance(said, kind) and said.at == at)]
    return replace(history, bridges=kept)


# --- good histories ---------------------------------------------------------------------------------------------------

#: record 4 fails behind 3, gets its dead letter, and 5 goes on in a chain of its own
GIVEN_UP = with_bridge(
    instead(
        GOOD, "b", failed(replace(a_run(B, 4.0, chain="b"), end=4.2), 3), replace(a_run((5,), 4.6, chain="b2"), end=4.9)
    ),
    letters(4.4, 4),
)
GIVEN_UP_CLAIMS = replace(CLAIMS, letters={(*TP, 4)})
#: the chain b leaves 4 out, which cannot be decoded
UNDECODABLE = with_bridge(instead(GOOD, "b", replace(a_run((3, 5), 4.0, chain="b"), end=4.2)), letters(4.4, 4))
SKIPPED = with_bridge(_without(GIVEN_UP, type(letters(0)), 4.4), Settled(4.4, BRIDGE, TP, 0, 5, (4,)))

#: a run with the record that was given up
RESCUED = failed(replace(a_run((4, 5), 4.52, chain="b1"), end=4.55))

#: Redis was emptied at 6.8: what is not committed by then, the batch c (and b, before its commit), may run again
AGAIN = a_run(C, 7.2, chain="c2")
FLUSHED = with_faults(with_runs(GOOD, AGAIN), RedisLost(6.8, STAGE, rolled_back=False))

#: the worker was killed when the run of c had ended, nobody knows whether that was acknowledged
KILLED = with_faults(with_runs(GOOD, replace(AGAIN, pid=WORKER + 7)), Killed(6.6, STAGE, "w", (WORKER,)))

#: the chain b carries two batches; the batch c goes in a train that a killed worker left behind its first batch
TRAIN = (replace(a_run((3, 4), 4.0, chain="b"), end=4.2), replace(a_run((5,), 4.3, chain="b"), end=4.5))
TRAIN_OF_C = (replace(a_run((6, 7), 6.0, chain="c"), end=6.2), replace(a_run((8,), 6.3, chain="c"), end=6.5))
BROKEN_TRAIN = (
    replace(a_run((6, 7), 6.0, chain="c"), end=6.2),
    replace(a_run((8,), 6.3, chain="c"), end=None),
    replace(a_run((6, 7), 6.5, chain="c1"), end=6.6, pid=WORKER + 7),
    replace(a_run((8,), 6.7, chain="c2"), end=6.8, pid=WORKER + 7),
)

#: Redis was emptied when only the batch a was committed: b and c run again
EMPTIED = with_faults(
    with_runs(
        replace(GOOD, bridges=[said for said in GOOD.bridges if not 4.9 < said.at < 5.2]),
        a_run(B, 8.0, chain="b2"),
        a_run(C, 9.0, chain="c2"),
    ),
    RedisLost(6.8, STAGE, rolled_back=False),
)

MOVED_BACK = with_faults(
    with_samples(with_runs(GOOD, a_run(C, 10.0, chain="c2")), committed(6, 9.5)), Reset(9.0, STAGE, {TP: 6})
)

#: even offsets are in one lane, odd ones in another, which is slower
TWO_LANES = replace(
    GOOD,
    runs=[
        a_run((0, 2, 4, 6, 8), 2.0, chain="a"),
        replace(a_run((1, 3), 2.1, chain="b"), lane=1),
        replace(a_run((5, 7), 5.0, chain="c"), lane=1),
    ],
    bridges=[
        *GOOD.bridges[:4],
        replace(dispatched(range(0, 9, 2), 1.5, chain="a")),
        replace(dispatched(range(1, 4, 2), 1.5, chain="b"), lane=1),
        *commit(3, 3.0),
        replace(dispatched(range(5, 8, 2), 3.5, chain="c"), lane=1),
        *commit(9, 7.0),
    ],
)

#: the run of b was so slow that another chain was made of its records while it ran
SUPERSEDED = instead(
    GOOD, "b", replace(a_run(B, 3.6, chain="b"), end=4.6), replace(a_run(B, 4.0, chain="b2"), end=4.5, pid=WORKER + 7)
)

GOOD_ONES: Mapping[str, tuple[History, Claims]] = {
    "three batches": (GOOD, CLAIMS),
    "two links": (TWO_LINKS, replace(CLAIMS, links=("link1", "link2"))),
    "offsets that nobody produced": (
        replace(
            instead(GOOD, "b", a_run((3, 5), 4.0, chain="b")),
            produced={TP: {offset: 1000 + offset for offset in range(9) if offset != 4}},
        ),
        CLAIMS,
    ),
    "a record that cannot be decoded": (UNDECODABLE, replace(GIVEN_UP_CLAIMS, undecodable={(*TP, 4)})),
    "nobody said what was produced": (replace(GOOD, produced={}), CLAIMS),
    "an attempt that failed": (with_runs(GOOD, failed(replace(a_run(B, 3.6, chain="b0"), end=3.8))), CLAIMS),
    "a dead letter": (GIVEN_UP, GIVEN_UP_CLAIMS),
    "a dead letter that was written twice around a fault": (
        with_faults(
            with_samples(GIVEN_UP, *(LetterRead(8.0, STAGE, (*TP, 4), 1004) for _ in range(2))),
            Killed(4.3, STAGE, "b0", (7,)),
        ),
        GIVEN_UP_CLAIMS,
    ),
    "a relocated partition": (with_bridge(GOOD, Start(3.2, BRIDGE, TP, 5, relocated=True)), CLAIMS),
    "what Redis has lost runs again": (FLUSHED, CLAIMS),
    "an old state of Redis shows a chain in flight": (
        with_faults(with_runs(GOOD, a_run(C, 7.6, chain="c")), RedisLost(7.5, STAGE, rolled_back=True)),
        CLAIMS,
    ),
    "behind a chain that an old state of Redis shows, what was finished since does not run again": (
        with_faults(with_runs(GOOD, a_run(A, 5.0, chain="a")), RedisLost(4.7, STAGE, rolled_back=True)),
        CLAIMS,
    ),
    "a later link of a chain that an old state of Redis shows": (
        with_faults(
            with_runs(TWO_LINKS, replace(a_run(B, 6.52, chain="b", link="link2"), end=6.55)),
            RedisLost(6.3, STAGE, rolled_back=True),
        ),
        replace(CLAIMS, links=("link1", "link2"), overlaps=1),
    ),
    "what a killed worker may have done runs again": (KILLED, CLAIMS),
    "a train": (instead(GOOD, "b", *TRAIN), CLAIMS),
    "a train of which the second batch failed": (
        instead(GOOD, "b", TRAIN[0], failed(TRAIN[1]), replace(a_run((5,), 4.6, chain="b1"), end=4.7)),
        CLAIMS,
    ),
    "a train whose process was killed": (instead(GOOD, "c", *BROKEN_TRAIN), CLAIMS),
    "a train whose worker was killed between two batches": (
        with_faults(
            instead(GOOD, "c", *(run for run in BROKEN_TRAIN if run.end is not None)),
            Killed(6.25, STAGE, "w", (WORKER,)),
        ),
        CLAIMS,
    ),
    "a superseded run beside its successor": (SUPERSEDED, replace(CLAIMS, overlaps=1)),
    "offsets moved back on purpose": (with_samples(MOVED_BACK, committed(9, 11.0)), CLAIMS),
    "a link of a chain from before the offsets were moved": (LATE_LINK, replace(CLAIMS, links=("link1", "link2"))),
    "offsets moved back on purpose, and Redis emptied": (
        with_samples(
            with_faults(with_runs(MOVED_BACK, a_run(C, 13.0, chain="c3")), RedisLost(11.0, STAGE, rolled_back=False)),
            committed(9, 14.0),
        ),
        CLAIMS,
    ),
    "all lost that was not committed": (EMPTIED, CLAIMS),
    "two lanes": (TWO_LANES, CLAIMS),
    "memory is not looked at": (GOOD, replace(CLAIMS, memory=None)),
    "an answer to the last commit that is heard late": (
        with_bridge(GOOD, *commit(9, 7.6, owner=OWNER + 1, pid=5)[1:], replace(commit(9, 7.0)[1], at=7.9)),
        CLAIMS,
    ),
    "a fault, and on it goes": (
        with_faults(GOOD, fault(2.2, on=True), fault(3.0, on=False)),
        replace(CLAIMS, liveness=2.0),
    ),
    "a fault when all is done": (with_faults(GOOD, fault(7.2, on=True), fault(7.4, on=False)), CLAIMS),
    "a fault within another": (
        with_faults(GOOD, fault(2.2, on=True, name="long"), fault(2.3, on=True), fault(2.4, on=False)),
        replace(CLAIMS, liveness=0.01),
    ),
    "a fault that blocks, and health that says so": (
        with_samples(
            with_faults(GOOD, fault(10.0, on=True), fault(30.0, on=False)),
            Health(20.0, STAGE, BRIDGE, 503, ("no Kafka",)),
            Health(31.0, STAGE, BRIDGE, 200),
        ),
        replace(CLAIMS, blocks={"cut"}),
    ),
    "an exit code that is claimed": (
        with_samples(GOOD, Exited(9.0, STAGE, "b1", 3, "", 0.0)),
        replace(CLAIMS, exits={"b1": 3}),
    ),
}


@pytest.mark.parametrize("name", GOOD_ONES)
def test_a_good_history_has_no_violation(name: str) -> None:
    assert violations(*GOOD_ONES[name]) == []


# --- bad ones ---------------------------------------------------------------------------------------------------------

_MORE = {TP: {offset: 1000 + offset for offset in range(10)}}

BAD: Mapping[str, tuple[History, Claims]] = {
    "R1 a record is lost": (replace(GOOD, produced=_MORE), CLAIMS),
    "R1 a record is lost in one of the links": (
        instead(TWO_LINKS, "c", a_run((6, 7), 6.0, chain="c"), a_run(C, 6.5, chain="c", link="link2")),
        replace(CLAIMS, links=("link1", "link2")),
    ),
    "R1 not all is committed": (GOOD, replace(CLAIMS, ends={TP: 10})),
    "R1 a dead letter that nobody claims": (GIVEN_UP, CLAIMS),
    "R1 a dead letter that is missing": (GOOD, GIVEN_UP_CLAIMS),
    "R1 a record is skipped": (SKIPPED, CLAIMS),
    "R1 a dead letter twice without any fault": (
        with_samples(GIVEN_UP, *(LetterRead(8.0, STAGE, (*TP, 4), 1004) for _ in range(2))),
        GIVEN_UP_CLAIMS,
    ),
    "R2 a commit before the end": (with_bridge(GOOD, *commit(9, 6.4)), CLAIMS),
    "R2 the broker knows a commit before the end": (with_samples(GOOD, committed(6, 4.2)), CLAIMS),
    "R2 a commit before the last link has ended": (
        with_bridge(TWO_LINKS, *commit(9, 6.55)),
        replace(CLAIMS, links=("link1", "link2")),
    ),
    "R2 a commit before the dead letter is acknowledged": (
        with_bridge(instead(GOOD, "b", failed(a_run(B, 4.0, chain="b"), 3, 4)), letters(5.2, 5)),
        replace(CLAIMS, letters={(*TP, 5)}),
    ),
    "R3 a commit below one before": (with_bridge(GOOD, *commit(6, 7.3)), CLAIMS),
    "R3 the broker says less than before": (
        with_samples(GOOD, committed(6, 5.5), committed(3, 6.0)),
        CLAIMS,
    ),
    "R3 the broker says less than it said": (
        with_samples(
            replace(GOOD, bridges=[said for said in GOOD.bridges if not 4.9 < said.at < 5.2]),
            committed(6, 5.5),
            committed(3, 6.0),
        ),
        CLAIMS,
    ),
    "R4 a commit behind the revocation": (with_bridge(GOOD, *commit(9, 8.2)), CLAIMS),
    "R4 a commit by somebody who was never assigned": (with_bridge(GOOD, *commit(9, 7.4, pid=5)), CLAIMS),
    "R4 a lower owner number behind a higher one": (
        with_bridge(GOOD, *commit(9, 7.3, owner=OWNER - 1)),
        CLAIMS,
    ),
    "R5 order inside a batch": (instead(GOOD, "b", a_run((3, 5, 4, 5), 4.0, chain="b")), CLAIMS),
    "R5 order inside a batch behind a move of the offsets": (
        with_samples(instead(MOVED_BACK, "c2", a_run((6, 8, 7), 10.0, chain="c2")), committed(9, 11.0)),
        CLAIMS,
    ),
    "R5 a record is left out of a batch": (
        with_bridge(instead(GOOD, "b", replace(a_run((3, 5), 4.0, chain="b"), end=4.2)), letters(4.4, 4)),
        GIVEN_UP_CLAIMS,
    ),
    "R5 a link before the one before it has ended": (
        with_runs(GOOD, *(replace(run, link="link2", begin=run.begin + 0.1) for run in GOOD.runs)),
        replace(CLAIMS, links=("link1", "link2"), overlaps=3),
    ),
    "R5 a batch begins before the dead letter is acknowledged": (
        with_bridge(_without(GIVEN_UP, type(letters(0)), 4.4), letters(4.7, 4)),
        GIVEN_UP_CLAIMS,
    ),
    "R5 a batch of a train runs behind one that failed": (
        instead(GOOD, "b", failed(TRAIN[0], 3), TRAIN[1], replace(a_run((4, 5), 4.6, chain="b1"), end=4.7)),
        replace(CLAIMS, repeats=1),
    ),
    "R6 a start behind what was committed": (
        replace(
            GOOD, bridges=[Start(1.0, BRIDGE, TP, 3) if isinstance(said, Start) else said for said in GOOD.bridges]
        ),
        CLAIMS,
    ),
    "R6 a start without a commit of its own": (with_bridge(GOOD, Start(7.5, 5, TP, 9)), CLAIMS),
    "R6 a start with the commit of an earlier assignment": (
        with_bridge(GOOD, Taken(7.3, BRIDGE, (TP,)), Assigned(7.4, BRIDGE, (TP,)), Start(7.5, BRIDGE, TP, 9)),
        CLAIMS,
    ),
    "R6 a lane goes back without a reason": (with_runs(GOOD, a_run(A, 7.2, chain="a2")), replace(CLAIMS, repeats=3)),
    "R6 a replay leaves records out": (
        with_faults(
            with_runs(GOOD, a_run(A, 8.0, chain="a2"), a_run(C, 9.0, chain="c2")),
            RedisLost(7.7, STAGE, rolled_back=False),
        ),
        replace(CLAIMS, repeats=9),
    ),
    "R7 two runs at the same time": (SUPERSEDED, CLAIMS),
    "R7 a later link of an older chain": (
        with_runs(TWO_LINKS, replace(a_run(B, 6.52, chain="b", link="link2"), end=6.55)),
        replace(CLAIMS, links=("link1", "link2"), repeats=3),
    ),
    "R8 a finished record runs again": (with_runs(GOOD, AGAIN), CLAIMS),
    "R8 a batch of a train that was acknowledged runs again": (
        with_runs(instead(GOOD, "c", *TRAIN_OF_C), replace(a_run((6, 7), 6.55, chain="c1"), end=6.6)),
        CLAIMS,
    ),
    "R8 a dead letter runs again": (with_runs(GIVEN_UP, RESCUED), GIVEN_UP_CLAIMS),
    "R8 Redis was emptied, but it was committed": (
        with_faults(with_runs(GOOD, a_run(C, 8.5, chain="c2")), RedisLost(7.2, STAGE, rolled_back=False)),
        CLAIMS,
    ),
    "R8 Redis was emptied, but the broker knew it as committed": (
        with_faults(
            with_runs(
                replace(GOOD, bridges=[*GOOD.bridges[:-2], *GOOD.bridges[-1:]]), replace(AGAIN, begin=9.0, end=9.5)
            ),
            RedisLost(7.6, STAGE, rolled_back=False),
        ),
        CLAIMS,
    ),
    "R8 twice after Redis was emptied once": (
        with_runs(FLUSHED, *(a_run(C, at, chain=f"c{at}") for at in (8.0, 9.0))),
        CLAIMS,
    ),
    "R8 not the last run of the killed worker": (
        with_faults(
            with_runs(GOOD, a_run((5,), 4.6, chain="b2")),
            Killed(6.6, STAGE, "w", (WORKER,)),
        ),
        CLAIMS,
    ),
    "R9 nothing goes on after a fault": (
        with_faults(GOOD, fault(2.2, on=True), fault(2.6, on=False)),
        replace(CLAIMS, liveness=1.5),
    ),
    "R9 nothing goes on until the next fault": (
        with_faults(GOOD, fault(2.2, on=True), fault(2.6, on=False), fault(4.3, on=True), fault(6.6, on=False)),
        replace(CLAIMS, liveness=1.5),
    ),
    "R10 too much memory": (with_samples(GOOD, Sample(3.0, STAGE, BRIDGE, 165 * 2**20)), CLAIMS),
    "R10 nobody has looked": (
        replace(GOOD, samples=[said for said in GOOD.samples if not isinstance(said, Sample)]),
        CLAIMS,
    ),
    "R11 ready while a fault blocks": (
        with_samples(
            with_faults(GOOD, fault(10.0, on=True), fault(30.0, on=False)),
            Health(20.0, STAGE, BRIDGE, 200),
        ),
        replace(CLAIMS, blocks={"cut"}),
    ),
    "R11 never ready again": (
        with_samples(
            with_faults(GOOD, fault(10.0, on=True), fault(30.0, on=False)),
            Health(20.0, STAGE, BRIDGE, 503, ("no Kafka",)),
            Health(31.0, STAGE, BRIDGE, 503, ("no Kafka",)),
        ),
        replace(CLAIMS, blocks={"cut"}),
    ),
    "R12 another exit code": (with_samples(GOOD, Exited(9.0, STAGE, "b1", 1, "SIGTERM", 0.5)), CLAIMS),
    "R12 too late": (with_samples(GOOD, Exited(9.0, STAGE, "b1", 0, "SIGTERM", 31.0)), CLAIMS),
    "R12 killed by nobody": (with_samples(GOOD, Exited(9.0, STAGE, "b1", -9, "", 0.0)), CLAIMS),
    "R13 a task got something else": (
        instead(GOOD, "b", replace(a_run(B, 4.0, chain="b"), sums=sums((3, 4, 4)))),
        CLAIMS,
    ),
    "R13 a dead letter is something else": (
        with_samples(GIVEN_UP, LetterRead(8.0, STAGE, (*TP, 4), 7)),
        GIVEN_UP_CLAIMS,
    ),
    "R14 a chain before its predecessor has ended": (
        with_bridge(_without(GOOD, type(dispatched(C, 0, chain="c")), 5.6), dispatched(C, 4.4, chain="c")),
        CLAIMS,
    ),
    "R14 a chain that leaves a record out": (
        with_bridge(GOOD, replace(dispatched(C, 5.6, chain="x"), offsets=(6, 8))),
        CLAIMS,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_history_that_breaks_a_rule_is_found_by_that_rule_only(name: str) -> None:
    found = violations(*BAD[name])
    assert {text.split()[0] for text in found} == {name.split(maxsplit=1)[0]}, found


def test_every_rule_has_a_history_that_breaks_it() -> None:
    assert {name.split()[0] for name in BAD} == set(RULES)


def test_of_many_breaches_of_one_rule_the_first_are_told_and_how_many_more() -> None:
    found = violations(GOOD, replace(CLAIMS, letters={(*TP, offset) for offset in range(9)}))
    assert [text.split()[0] for text in found] == ["R1"] * 6
    assert found[-1] == "R1 and 4 more"
