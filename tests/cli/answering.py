"""Lanes that wait, as a bridge shows them, and a thread that answers in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from bridge.core.view import FlightView, LaneView
from bridge.instructions import Request
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.records import TopicPartition
from tests.cli.conftest import publish
from tests.ops.samples import ACTIVE, IDLE, RUNNING, document

STOPPED = replace(
    IDLE,
    state="stopped",
    reason="stopped at record 42",
    attempt=5,
    max_attempts=5,
    last_error="ValueError: boom",
    first_unfinished=42,
    at_stake=(42,),
)
RETRYING = replace(STOPPED, state="retrying", attempt=2, first_unfinished=40, at_stake=(41,), retry_in=9.0)
STALLED = replace(IDLE, state="stalled", reason="no worker consumes lane-3", first_unfinished=50)
ON_ITS_WAY = replace(RUNNING, first_unfinished=80, in_flight=FlightView("chain", 1, "", 0.2))
UNCLAIMED = replace(ON_ITS_WAY, in_flight=FlightView("chain", 1, "", 3.0))
PAUSED = replace(STOPPED, state="paused", paused="orders/1/0 is paused by anna")

TRIED = "it is tried again now"


def show(ledger: Ledger, *lanes: LaneView, partition: int = 1) -> None:
    """A bridge has these lanes."""
    numbered = tuple(replace(lane, lane=index) for index, lane in enumerate(lanes))
    publish(ledger, document(replace(ACTIVE, tp=TopicPartition("orders", partition), lanes=numbered)))


@contextmanager
def bridge(operators: Operators, answer: Callable[[Request], str], *, done: bool = True) -> Iterator[list[Request]]:
    """Answers each request, "" not now, until the end of the block, as `done` or not; gives what was asked."""
    seen, is_over = list[Request](), threading.Event()

    def run() -> None:
        while not is_over.wait(0.01):
            for request in operators.read().requests:
                if result := answer(request):
                    seen.append(request)
                    operators.answer(request, result, done=done, bridge="bridge-a", at_ms=1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def asked(requests: list[Request] | tuple[Request, ...]) -> list[tuple[str, str, int, str]]:
    return [(each.action, str(each.target), each.offset, each.who) for each in requests]


def left_alone(operators: Operators) -> bool:
    return operators.audit() == ()
