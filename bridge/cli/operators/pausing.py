"""What `pause` and `resume` do, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from bridge.cli.logs import one_line
from bridge.cli.operators.desk import Desk, now_ms
from bridge.cli.operators.said import echo_json, fields_of
from bridge.cli.operators.targets import check_known, chosen, lanes_of
from bridge.instructions import Pause, Target


def pause_all(desk: Desk, targets: Sequence[Target], pipelines: Sequence[str], note: str, *, as_json: bool) -> None:
    """Pause each target, unless somebody has paused it before. Raises Misused before anything is paused."""
    wanted = chosen(desk, targets, pipelines)
    for target in wanted:
        check_known(desk, target)
    rows = []
    for target in wanted:
        standing = desk.operators.read().pauses
        before = next((pause for pause in standing if pause.target == target), None)
        pause = before or Pause(target, desk.who, now_ms(), note)
        if before is None:
            desk.operators.pause(pause)
        rows.append({**fields_of(pause), "was_paused": before is not None})
        if not as_json:
            click.echo(one_line(_paused(desk, pause, standing, before)))
    if as_json:
        echo_json({"paused": rows})


def _paused(desk: Desk, pause: Pause, standing: Iterable[Pause], before: Pause | None) -> str:
    if before is not None:
        return f"Already so: {before}"
    lanes = lanes_of(desk.state, [pause.target])
    in_flight = sum(lane.in_flight is not None for lane in lanes)
    text = f"{pause.target} is paused: nothing more of it is dispatched until it is resumed"
    if not lanes:
        text += "; no bridge shows it now, it holds as soon as one has it"
    elif in_flight:
        text += f"; the {'chain' if in_flight == 1 else f'{in_flight} chains'} in flight will end"
    wider = _wider(standing, pause.target)
    return f"{text}. Besides, {wider}: both must be resumed" if wider is not None else text


def resume_all(desk: Desk, targets: Sequence[Target], pipelines: Sequence[str], *, as_json: bool) -> bool:
    """Resume each target with its parts. False: something is still paused, as a part of a wider target. Raises Misused
    for a name that means nothing."""
    paused = [pause.target for pause in desk.operators.read().pauses]
    wanted = chosen(desk, targets, pipelines, [target.topic for target in paused])
    for target in wanted:
        if not any(target.covers(each) or each.covers(target) for each in paused):
            check_known(desk, target)
    ended, left = list[Pause](), list[Pause]()
    for target in wanted:
        now = desk.operators.resume(target, who=desk.who, at_ms=now_ms())
        wider = _wider(desk.operators.read().pauses, target)
        ended += now
        left += [] if wider is None else [wider]
        if not as_json:
            _say_resumed(target, now, wider)
    if as_json:
        echo_json({"resumed": [fields_of(pause) for pause in ended], "still_paused": [fields_of(p) for p in left]})
    return not left


def _say_resumed(target: Target, ended: Sequence[Pause], wider: Pause | None) -> None:
    for pause in ended:
        click.echo(one_line(f"{pause.target} is resumed; before: {pause}"))
    if wider is not None:
        still = "does not go on yet:" if ended else "is not paused by itself, but"
        text = f"{target} {still} {wider}. Resume that: lanebridge resume {wider.target}"
        click.echo(f"Error: {one_line(text)}", err=True)
    elif not ended:
        click.echo(f"{target} is not paused")


def _wider(pauses: Iterable[Pause], target: Target) -> Pause | None:
    """What keeps the target from going on, though it is not paused itself."""
    return next((pause for pause in pauses if pause.target != target and pause.target.covers(target)), None)
