"""What the broker's answers to commits mean, and which commit an answer belongs to.

Rules: commits are asynchronous, and their answers may come in another order. `retriable()` is wrong for some codes
(NOT_COORDINATOR), so the table here decides. A partition stays dirty until "ok"; only "fenced" ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import confluent_kafka as ck
from confluent_kafka import KafkaError

from bridge.kafka.errors import code_of
from bridge.records import TopicPartition


class Answer(StrEnum):
    """The broker's answer to a commit of one partition."""

    OK = "ok"
    AGAIN = "again"
    FENCED = "fenced"


#: the answers that were thought about; what is not here is tried again, too: an error that is worth giving a partition
#: up for takes the partition by a callback
ANSWERS: Mapping[str, Answer] = {
    # the coordinator is away, moving or starting
    "NOT_COORDINATOR": Answer.AGAIN,
    "_WAIT_COORD": Answer.AGAIN,
    "COORDINATOR_NOT_AVAILABLE": Answer.AGAIN,
    "COORDINATOR_LOAD_IN_PROGRESS": Answer.AGAIN,
    "_TRANSPORT": Answer.AGAIN,
    "_TIMED_OUT": Answer.AGAIN,
    "REQUEST_TIMED_OUT": Answer.AGAIN,
    # membership in motion: a callback takes the partition, or the next commit succeeds
    "REBALANCE_IN_PROGRESS": Answer.AGAIN,
    "ILLEGAL_GENERATION": Answer.AGAIN,
    "STALE_MEMBER_EPOCH": Answer.AGAIN,
    "UNKNOWN_MEMBER_ID": Answer.AGAIN,
    # one unknown topic spoils the answer for all partitions of the call, also for those that were committed
    "UNKNOWN_TOPIC_OR_PART": Answer.AGAIN,
    # somebody else holds our place for good
    "FENCED_INSTANCE_ID": Answer.FENCED,
    "FENCED_MEMBER_EPOCH": Answer.FENCED,
    "_FENCED": Answer.FENCED,
    "_FATAL": Answer.FENCED,
}


class CommitEntry(Protocol):
    """What is committed for one partition; `serial` says for which assignment."""

    @property
    def serial(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def metadata(self) -> str: ...


#: serial, offset, answer, error text
Answered = tuple[int, int, Answer, str]


def classify(error: KafkaError | None) -> tuple[Answer, str]:
    """The answer that an error means, with its text."""
    if error is None or error.code() == KafkaError.NO_ERROR:
        return Answer.OK, ""
    answer = Answer.FENCED if error.fatal() else ANSWERS.get(code_of(error), Answer.AGAIN)
    return answer, f"{error.str()} ({code_of(error)})"


@dataclass(slots=True)
class _Submitted:
    serial: int
    offset: int
    metadata: str


class CommitBook:
    """The commits under way. An answer is matched by partition, offset and metadata: the client gives no number."""

    def __init__(self) -> None:
        self._open: dict[TopicPartition, list[_Submitted]] = {}

    def submit(self, entries: Mapping[TopicPartition, CommitEntry]) -> list[ck.TopicPartition]:
        """Remember the entries; gives them as the client wants them."""
        offsets = []
        for tp, entry in entries.items():
            self._open.setdefault(tp, []).append(_Submitted(entry.serial, entry.offset, entry.metadata))
            offsets.append(ck.TopicPartition(tp.topic, tp.partition, entry.offset, entry.metadata))
        return offsets

    def answer(self, error: KafkaError | None, offsets: Sequence[ck.TopicPartition]) -> dict[TopicPartition, Answered]:
        """What the broker said about each partition; a partition that was not submitted is left out."""
        answers: dict[TopicPartition, Answered] = {}
        for item in offsets:
            tp = TopicPartition(item.topic, item.partition)
            submitted = self._take(tp, item.offset, item.metadata or "")
            if submitted is not None:
                answers[tp] = (submitted.serial, submitted.offset, *classify(item.error or error))
        return answers

    def _take(self, tp: TopicPartition, offset: int, metadata: str) -> _Submitted | None:
        waiting = self._open.get(tp, [])
        for index, submitted in enumerate(waiting):
            if (submitted.offset, submitted.metadata) == (offset, metadata):
                del waiting[index]
                if not waiting:
                    del self._open[tp]
                return submitted
        return None
