"""Every arrow of the lane's table, taken by the real core: the phase it starts from, what happens, where it leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.core import effects as ef
from bridge.core import events as ev
from bridge.core.lane import TABLE, Lane, Phase, Signal
from bridge.entries import Failure, Outcome, Rejection
from bridge.records import PipelineRules, Retry
from tests.core.bench import RULES, TP, Bench

RULES_OF_TABLE = replace(RULES, retry=Retry(5, delay=4.0, jitter=0.0))
ASKS = replace(RULES_OF_TABLE, on_failed="rescue")
STOPS = replace(RULES_OF_TABLE, on_exhausted="stop")
BROKEN = Outcome("failed", 0, Failure(0, named=True, retryable=False))


class Story(Bench):
    """A lane whose first chain has failed; `older` is the ledger as it was while that one ran."""

    older: object

    def begin(self) -> Story:
        """The first chain is about to report."""
        self.assign()
        self.fetch(0, 1, 2)
        self.claim()
        self.older = self.ledger.save()
        return self

    def reassign(self) -> None:
        """The owner draws a new number and takes up what the ledger holds."""
        self.partition().reassign("a test")
        self.handle(ev.Tick())

    def read_on(self) -> None:
        """The log goes on behind records that are not there any more."""
        self.broker.start = 3
        self.handle(ev.OffsetMissing(TP))
        self.handle(ev.EndOfLog(TP, 3))
        self.wait(10)


# --- where it starts --------------------------------------------------------------------------------------------------


def free() -> Story:
    story = Story(RULES_OF_TABLE)
    story.assign()
    return story


def retrying(rules: PipelineRules = RULES_OF_TABLE) -> Story:
    story = Story(rules).begin()
    story.fail(0)
    story.wait(4.1)
    story.fail(0)
    return story


def dispatching() -> Story:
    story = retrying()
    story.silent = {ef.Dispatch}
    story.wait(8.1)
    story.silent = set()
    return story


def running(rules: PipelineRules = RULES_OF_TABLE) -> Story:
    story = retrying(rules)
    story.wait(8.1)
    return story


def adopted() -> Story:
    old = running()
    old.handle(ev.Revoked((TP,)))
    story = Story(RULES_OF_TABLE, beside=old, name="b2")
    story.assign()
    story.fetch(0, 1, 2)
    story.older = old.older
    return story


def disposing(rules: PipelineRules = RULES_OF_TABLE, outcome: Outcome = BROKEN) -> Story:
    old = running(rules)
    old.complete(outcome, heard=False)
    old.handle(ev.Revoked((TP,)))
    story = Story(rules, beside=old, name="b2")
    story.assign()
    story.fetch(0, 1, 2)
    story.older = old.older
    return story  # which waits until it has seen its other lanes


def stopped() -> Story:
    story = running(STOPS)
    story.complete(BROKEN)
    return story


START: dict[Phase, Callable[[], Story]] = {
    Phase.FREE: free,
    Phase.DISPATCHING: dispatching,
    Phase.RUNNING: running,
    Phase.ADOPTED: adopted,
    Phase.RETRYING: retrying,
    Phase.DISPOSING: disposing,
    Phase.STOPPED: stopped,
}

#: arrows that begin with other rules, or with another outcome
BEGINS: dict[tuple[Phase, Signal], Callable[[], Story]] = {
    (Phase.DISPOSING, Signal.DISPATCH): lambda: disposing(ASKS),
    (Phase.DISPOSING, Signal.STOP): lambda: disposing(STOPS),
    (Phase.DISPOSING, Signal.FINISH): lambda: disposing(outcome=Outcome("partial", 3, rejected=(Rejection(0, "bad"),))),
}


def start(phase: Phase, signal: Signal) -> Story:
    return BEGINS.get((phase, signal), START[phase])()


# --- what happens -----------------------------------------------------------------------------------------------------


def dispatch(story: Story) -> None:
    if story.lane().phase is Phase.FREE:
        story.fetch(0, 1, 2)
    else:
        story.wait(8.1)


def refuse(story: Story) -> None:
    story.ledger.assign(TP, "zombie", 0)
    story.carry_out_kept()


def report(story: Story, outcome: Outcome | None) -> None:
    """A chain whose dispatch has not been answered may have reported all the same."""
    for effect in story.kept:
        assert isinstance(effect, ef.Dispatch)
        story.ledger.dispatch_effect(effect)
    story.complete(outcome)


def finish(story: Story) -> None:
    if story.lane().phase is Phase.RETRYING:
        story.handle(ev.Revoked((TP,)))  # the records were deleted from the log before the next owner could read them
        story.broker.start = 2
        story.assign()
        story.read_on()
    elif story.lane().phase is Phase.DISPOSING:
        story.wait(3.1)
    else:
        report(story, None)


def vanish(story: Story) -> None:
    story.ledger.flush()
    story.reassign()


def adopt(story: Story) -> None:
    if story.lane().phase is Phase.FREE:
        other = Story(RULES_OF_TABLE, beside=story, name="b2")
        other.assign()
        other.fetch(0, 1, 2)
        other.handle(ev.Lost((TP,)))
        story.reassign()
        story.fetch(0, 1, 2)
    else:
        story.ledger.roll_back(story.older)
        story.reassign()


def fail(story: Story) -> None:
    if story.lane().phase is Phase.DISPOSING:
        story.wait(3.1)  # the dead letter of the first record is acknowledged, the others go on
    elif story.lane().phase is Phase.STOPPED:
        story.ask("retry", 0)
    else:
        report(story, Outcome("failed", 0, Failure(0)))


def dispose(story: Story) -> None:
    story.silent = {ef.WriteDeadLetters, ef.Settle}
    if story.lane().phase in (Phase.RETRYING, Phase.STOPPED):
        story.ask("skip", 0)
    else:
        report(story, BROKEN)
    story.silent = set()


HAPPENS: dict[Signal, Callable[[Story], None]] = {
    Signal.DISPATCH: dispatch,
    Signal.ACCEPT: Story.carry_out_kept,
    Signal.REFUSE: refuse,
    Signal.FINISH: finish,
    Signal.FAIL: fail,
    Signal.DISPOSE: dispose,
    Signal.STOP: lambda story: story.wait(3.1),
    Signal.VANISH: vanish,
    Signal.ADOPT: adopt,
}


@pytest.mark.parametrize(
    ("phase", "signal"), TABLE, ids=[f"{phase.value}-{signal.name.lower()}" for phase, signal in TABLE]
)
def test_the_arrow_is_taken(phase: Phase, signal: Signal, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[Phase, Signal]] = []
    move: Callable[[Lane, Signal], None] = Lane.move

    def record(lane: Lane, by: Signal) -> None:
        taken.append((lane.phase, by))
        move(lane, by)
        assert lane.phase is TABLE[taken[-1]]

    story = start(phase, signal)
    assert story.lane().phase is phase
    monkeypatch.setattr(Lane, "move", record)
    HAPPENS[signal](story)
    assert (phase, signal) in taken, taken


def test_every_phase_and_signal_has_its_place() -> None:
    assert {phase for phase, _ in TABLE} == set(START) == set(Phase)
    assert {signal for _, signal in TABLE} == set(HAPPENS) == set(Signal)


def test_whatever_happens_to_a_story_its_records_are_finished_in_the_end() -> None:
    for phase, signal in TABLE:
        story: Any = start(phase, signal)
        if Phase.STOPPED in (phase, TABLE[phase, signal]) or signal is Signal.FINISH:
            continue
        HAPPENS[signal](story)
        for _ in range(60):
            story.carry_out_kept()
            story.wait(1)
            if story.lane().phase in (Phase.RUNNING, Phase.ADOPTED):
                story.decide("skip") if story.lane().flight.is_hook else story.complete()
        assert story.lane().phase is Phase.FREE, (phase, signal)
        assert story.committed() == 3, (phase, signal)
