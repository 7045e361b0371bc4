"""What `retry` does: which lanes wait, and what is asked of the bridges that have them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.cli.logs import one_line
from bridge.cli.operators.answers import conclude, printer
from bridge.cli.operators.asking import ask
from bridge.cli.operators.desk import Desk
from bridge.cli.operators.targets import check_known, lanes_of, target_of
from bridge.instructions import Target
from bridge.ops.state import Lane

#: a link that nobody has taken for so many seconds is not only on its way
_UNCLAIMED_AFTER_S = 1.0


def retry_all(desk: Desk, targets: Sequence[Target], timeout: float, *, as_json: bool) -> bool:
    """Ask for a try in every lane of the targets that waits; whether all have got one. Raises Misused."""
    for target in targets:
        check_known(desk, target)
    lanes = lanes_of(desk.state, targets)
    not_asked = [text for lane in lanes if (text := _why_not(lane))]
    if not lanes:
        not_asked = [f"no bridge shows a lane of {' or '.join(map(str, targets))} now"]
    wanted = [(target_of(lane), offset) for lane in lanes if waits(lane) and (offset := _offset(lane)) is not None]
    if not as_json:
        for text in not_asked:
            click.echo(one_line(text), err=True)
        if not wanted and not not_asked:
            click.echo(f"No lane of {', '.join(map(str, targets))} waits: there is nothing to try again")
    answers = ask(desk, "retry", wanted, timeout, printer(as_json))
    if len(answers) < len(wanted):
        not_asked.append(f"{len(wanted) - len(answers)} more lanes are not asked before these are answered")
        if not as_json:
            click.echo(not_asked[-1], err=True)
    return conclude(answers, as_json=as_json, not_asked=not_asked)


def waits(lane: Lane) -> bool:
    """Whether a try now would help."""
    if lane.state in {"retrying", "stopped", "stalled"}:
        return True
    flight = lane.in_flight
    return flight is not None and flight.worker is None and flight.age_seconds >= _UNCLAIMED_AFTER_S


def _offset(lane: Lane) -> int | None:
    return lane.first_unfinished if lane.first_unfinished is not None else min(lane.at_stake, default=None)


def _why_not(lane: Lane) -> str:
    """Why a lane that stands still is not asked for, "" otherwise."""
    if lane.state == "paused" and lane.at_stake:
        return f"{target_of(lane)}: {lane.paused or 'it is paused'}: resume it first"
    if waits(lane) and _offset(lane) is None:
        return f"{target_of(lane)}: it has no record to try again: {lane.reason}"
    return ""
