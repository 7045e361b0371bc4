"""What `skip` does: which lane stands, at what, and whether that is really meant."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.cli.errors import Failed
from bridge.cli.logs import one_line
from bridge.cli.operators.answers import conclude, printer
from bridge.cli.operators.asking import ask
from bridge.cli.operators.desk import Desk
from bridge.cli.operators.targets import check_known, lanes_of, target_of
from bridge.core.view import NAMED_OFFSETS
from bridge.instructions import Target
from bridge.ops.state import Lane


def skip_at(desk: Desk, target: Target, offset: int | None, timeout: float, *, yes: bool, as_json: bool) -> bool:
    """Ask for the records that the lane stands at, or for one of them, when that is confirmed; whether all are skipped.
    Raises Misused for an unknown name, Failed when there is nothing to skip."""
    check_known(desk, target)
    lane = _standing_lane(desk, target)
    offsets = lane.at_stake if offset is None else (offset,)
    if offset is not None and offset not in lane.at_stake and len(lane.at_stake) < NAMED_OFFSETS:
        raise Failed(f"{target_of(lane)} does not stand at record {offset}, but at {records(lane.at_stake)}")
    for text in _described(lane, offsets):
        click.echo(one_line(text), err=True)
    if not yes and not click.confirm(f"Skip {'it' if len(offsets) == 1 else 'them'}?", err=True):
        raise Failed("nothing is skipped")
    answers = ask(desk, "skip", [(target_of(lane), each) for each in offsets], timeout, printer(as_json))
    return conclude(answers, as_json=as_json)


def _standing_lane(desk: Desk, target: Target) -> Lane:
    lanes = lanes_of(desk.state, [target])
    if not lanes:
        raise Failed(f"no bridge shows {target} now: what it stands at is not known")
    standing = [lane for lane in lanes if lane.at_stake]
    if not standing:
        say = f": {lanes[0].state}, {lanes[0].reason}" if len(lanes) == 1 else ""
        raise Failed(f"{target} stands at no record that failed: there is nothing to skip{say}")
    if len(standing) > 1:
        named = ", ".join(f"{target_of(lane)} at {records(lane.at_stake)}" for lane in standing)
        raise Failed(f"{len(standing)} lanes of {target} stand: {named}. Name one of them")
    return standing[0]


def _described(lane: Lane, offsets: Sequence[int]) -> list[str]:
    tries = f"{lane.attempt} of {lane.max_attempts} attempts" if lane.max_attempts else f"{lane.attempt} attempts"
    return [
        f"{target_of(lane)} ({lane.state}) stands at {records(lane.at_stake)} after {tries}: "
        f"{lane.last_error or lane.reason}",
        f"To be skipped: {records(offsets)}. It is never handled, and no dead letter is written."
        if len(offsets) == 1
        else f"To be skipped: {records(offsets)}. They are never handled, and no dead letters are written.",
    ]


def records(offsets: Sequence[int]) -> str:
    """`record 7`, `records 7, 8, 9`."""
    return f"record{'' if len(offsets) == 1 else 's'} {', '.join(map(str, offsets))}"
