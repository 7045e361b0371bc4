"""`--withdraw` of `retry` and `skip`: takes back what no bridge has answered."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bridge.cli.logs import one_line
from bridge.cli.operators.desk import Desk, now_ms
from bridge.cli.operators.said import echo_json, fields_of
from bridge.instructions import Request, RequestAction, Target


def withdraw_all(
    desk: Desk, action: RequestAction, targets: Sequence[Target], offset: int | None = None, *, as_json: bool
) -> bool:
    """Take back the requests of the targets, whoever has asked; whether there were any, and all are taken back."""
    found = [
        request
        for request in desk.operators.read().requests
        if request.action == action
        and any(target.covers(request.target) for target in targets)
        and offset in {None, request.offset}
    ]
    taken = [desk.operators.withdraw(request, who=desk.who, at_ms=now_ms()) for request in found]
    if as_json:
        rows = zip(found, taken, strict=True)
        echo_json({"requests": [{**fields_of(request), "withdrawn": back} for request, back in rows]})
        return all(taken) and bool(taken)
    for request, back in zip(found, taken, strict=True):
        click.echo(one_line(_said(request, back)), err=not back)
    if not found:
        named = ", ".join(map(str, targets))
        click.echo(f"No {action} of {named} waits for an answer; `lanebridge audit` shows what was answered", err=True)
    return all(taken) and bool(taken)


def _said(request: Request, back: bool) -> str:
    what = f"{request.target}: {request.action} of record {request.offset}, asked for by {request.who},"
    return f"{what} is taken back" if back else f"{what} was answered in this moment"
