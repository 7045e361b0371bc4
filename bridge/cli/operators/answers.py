"""What is said of answers to requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from bridge.cli.logs import one_line
from bridge.cli.operators.asking import Answer
from bridge.cli.operators.said import echo_json, fields_of


def printer(as_json: bool) -> Callable[[Answer], None]:
    """Prints each answer as it comes; nothing of them with `as_json`."""

    def say(answer: Answer) -> None:
        if not as_json:
            click.echo(one_line(f"{answer.request.target}: {answer.result}"), err=not answer.is_done)

    return say


def conclude(answers: Sequence[Answer], *, as_json: bool, not_asked: Sequence[str] = ()) -> bool:
    """Say what was not answered, or all of it as JSON; whether all is done."""
    pending = [answer.request for answer in answers if answer.result is None]
    if as_json:
        rows = [{**fields_of(a.request), "result": a.result, "done": a.is_done} for a in answers]
        echo_json({"requests": rows, "not_asked": not_asked})
    for request in () if as_json else pending:
        click.echo(
            f"{request.target}: {request.action} of record {request.offset} is not answered yet. It "
            "stays asked for, and is done as soon as a bridge has the lane. To take it back: lanebridge "
            f"{request.action} {request.target} --withdraw",
            err=True,
        )
    return not not_asked and all(answer.is_done for answer in answers)
