"""What is said to a bridge at once, by PUBLISH: a chain has an outcome; a link met an error that Celery stores nowhere.

Rules: a notice may be lost, the sweep finds the same in the ledger; the ledger alone decides what an outcome is worth.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import msgpack

from bridge.entries import Outcome, Seen
from bridge.ledger.keys import split_partition_text
from bridge.ledger.outcomes import decode_outcome
from bridge.records import TopicPartition

_errors = msgpack.Decoder(tuple[str, str, str, str, str])


class Notice(NamedTuple):
    """A chain has an outcome; `seen` is the lane as the ledger then held it."""

    tp: TopicPartition
    lane: int
    seen: Seen
    outcome: Outcome


class ErrorNotice(NamedTuple):
    """A link met an error: `status` is FAILURE or REVOKED, `worker` the id of the worker that says so."""

    link_id: str
    status: str
    exception: str
    message: str
    worker: str


def ack_channel(bridge: str) -> str:
    """Where a bridge hears outcomes."""
    return f"lanebridge.ack.{bridge}"


def error_channel(bridge: str) -> str:
    """Where a bridge hears errors that Celery does not store at the ledger."""
    return f"lanebridge.error.{bridge}"


def read_notice(message: bytes) -> Notice:
    """A message of the ack channel, as the scripts build it: texts, one a line, then the outcome's bytes."""
    partition, lane, chain, link, claim, outcome = message.split(b"\n", 5)
    return Notice(
        split_partition_text(partition.decode())[1],
        int(lane),
        Seen(chain.decode(), int(link), claim.decode(), outcome),
        decode_outcome(outcome),
    )


def encode_error(notice: ErrorNotice) -> bytes:
    """A message of the error channel."""
    return msgpack.encode(notice)


def read_error(message: bytes) -> ErrorNotice:
    """The notice that `encode_error` turned into `message`."""
    return ErrorNotice(*_errors.decode(message))
