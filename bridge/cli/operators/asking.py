"""Leaves requests for the bridges and waits for their answers, which come in the audit list.

Rules: who asks for what somebody has asked for already waits for that answer; only so many are under way at once, so
that bridges and the audit list can take them; what is not answered in time stays asked for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bridge.cli.operators.desk import Desk, now_ms
from bridge.instructions import Request, RequestAction, Target

#: requests under way at once
_AT_ONCE = 100

#: seconds between two looks
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request; `result` is None while there is no answer, `is_done`: what was asked for is done."""

    request: Request
    result: str | None
    is_done: bool = False


def ask(
    desk: Desk,
    action: RequestAction,
    wanted: Sequence[tuple[Target, int]],
    timeout: float,
    say: Callable[[Answer], None],
) -> list[Answer]:
    """Ask for each lane and offset, and wait up to `timeout` seconds for all answers together; Ctrl-C ends the waiting.
    `say` is called with each answer as it comes. Those without one come last. Raises redis' errors."""
    deadline = time.monotonic() + timeout
    answers, left = list[Answer](), dict[str, Request]()
    try:
        for first in range(0, len(wanted), _AT_ONCE):
            _leave(desk, action, wanted[first : first + _AT_ONCE], left)
            for answer in _answers(desk, left, deadline):
                answers.append(answer)
                say(answer)
            if left:
                break
    except KeyboardInterrupt:
        pass  # whoever is tired of waiting: what is asked for stays
    return [*answers, *(Answer(request, None) for request in left.values())]


def _leave(desk: Desk, action: RequestAction, wanted: Sequence[tuple[Target, int]], left: dict[str, Request]) -> None:
    waiting = {(each.target, each.offset): each for each in desk.operators.read().requests if each.action == action}
    for target, offset in wanted:
        before = waiting.get((target, offset))
        request = before or Request(secrets.token_hex(8), action, target, offset, desk.who, now_ms())
        left[request.id] = request
        if before is None:
            desk.operators.ask(request)


def _answers(desk: Desk, left: dict[str, Request], deadline: float) -> Iterator[Answer]:
    """In the order in which they come; each takes its request out of `left`."""
    while True:
        for line in desk.operators.audit():
            if line.result and line.request in left:
                yield Answer(left.pop(line.request), line.result, line.done)
        if not left or time.monotonic() >= deadline:
            return
        time.sleep(_LOOK_EVERY_S)
