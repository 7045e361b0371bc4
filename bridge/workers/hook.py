"""A pipeline's `on_failed` task: it is asked what becomes of records that are given up.

Rules: it gets the records as Kafka delivered them, never decoded: what a decoder dies of must not kill the hook too.
Whatever goes wrong here, the records go to the dead letter topic, the outcome says why, and Celery shows the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from bridge.entries import DISPOSITIONS, Decided, Outcome, failure_of
from bridge.ledger.payload import Payload
from bridge.records import Action, Batch, Failed, Record
from bridge.workers.batches import batch_of
from bridge.workers.describe import message_of
from bridge.workers.errors import ClaimRefused, NoDecision, ends_the_process
from bridge.workers.link import Delivery, shown
from bridge.workers.outcomes import told_by

_ACTIONS: tuple[Action, ...] = get_args(Action)


def ask(delivery: Delivery, payload: Payload, judged: Outcome, decide: Callable[[Batch], object]) -> None:
    """Call the task, and report what it decides. Raises what the task raised, or NoDecision, once that is reported."""
    records, (header, *_) = payload.records(), payload.header.batches
    try:
        delivery.check()
        batch = batch_of(payload, header, records, failures_of(judged, records))
        decided = read_decisions(decide(batch), payload.offsets)
    except ClaimRefused:
        raise
    except BaseException as error:
        if ends_the_process(error):
            raise
        failed, told = error, told_by(error)
    else:
        return delivery.complete(replace(judged, decided=decided, hook_error=""))
    text = f"{type(told).__name__}: {message_of(told)}"
    letters = tuple(Decided(offset, "dead_letter") for offset in payload.offsets)
    delivery.complete(replace(judged, decided=letters, hook_error=text))
    raise shown(failed, f"the failed records go to the dead letter topic: {text}")


def failures_of(judged: Outcome, records: Sequence[Record]) -> list[Failed]:
    """Why each of the records is given up."""
    why: tuple[str, str, str, str, str, int]
    rejected = {each.offset: each for each in judged.rejected}
    failure = failure_of(judged)
    disposition = DISPOSITIONS.get(failure.kind, "exhausted")
    found = []
    for record in records:
        if each := rejected.get(record.offset):
            why = (each.disposition, each.exception, each.reason, each.traceback, each.task, each.link)
        else:
            why = (disposition, failure.exception, failure.message, failure.traceback, failure.task, failure.link)
        found.append(Failed(record, *why))
    return found


def read_decisions(answer: object, offsets: Sequence[int]) -> tuple[Decided, ...]:
    """What is to be done with each record, from what the task returned. Raises NoDecision."""
    if isinstance(answer, str):
        answer = [answer] * len(offsets)
    if isinstance(answer, Mapping):
        if set(answer) != set(offsets):
            raise NoDecision(f"it returned words for {len(answer)} offsets, not for exactly those of its records")
        answer = [answer[offset] for offset in offsets]
    if not isinstance(answer, Sequence) or isinstance(answer, (bytes, bytearray)):
        raise NoDecision(f"it returned {answer!r:.100}")
    if len(answer) != len(offsets):
        raise NoDecision(f"it returned {len(answer)} words for {len(offsets)} records")
    for word in answer:
        if word not in _ACTIONS:
            raise NoDecision(f"it returned {word!r:.100} for a record")
    words = [_ACTIONS[_ACTIONS.index(word)] for word in answer]  # its own may be of a class that cannot be stored
    return tuple(Decided(offset, word) for offset, word in zip(offsets, words, strict=True))
