"""What the Celery message of a link carries: where the link's records are, never the records themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.entries import FORMAT, link_id
from bridge.ledger.formats import check_format
from bridge.ledger.keys import hash_key, partition_text, payload_key, split_partition_text
from bridge.records import TopicPartition

_FORMAT, _PARTITION, _LANE, _CHAIN, _LINK = "lb", "p", "l", "c", "k"


@dataclass(frozen=True, slots=True)
class Handle:
    """Link `link` (from 1) of a chain. `partition` is the text of group, topic and partition."""

    partition: str
    lane: int
    chain: str
    link: int

    @classmethod
    def of(cls, group: str, tp: TopicPartition, lane: int, chain: str, link: int) -> Handle:
        """The handle of a link."""
        return cls(partition_text(group, tp), lane, chain, link)

    @classmethod
    def from_message(cls, message: Any) -> Handle:
        """The handle that `to_message` turned into `message`. Raises UnknownFormat, or ValueError when `message`
        is no handle at all."""
        if not is_handle(message):
            raise ValueError(f"not the handle of a link: {message!r:.200}")
        check_format("the handle in the Celery message of a link", message[_FORMAT])
        return cls(message[_PARTITION], message[_LANE], message[_CHAIN], message[_LINK])

    def to_message(self) -> dict[str, str | int]:
        """The form that travels in a Celery message: names and numbers, fit for JSON."""
        return {
            _FORMAT: FORMAT,
            _PARTITION: self.partition,
            _LANE: self.lane,
            _CHAIN: self.chain,
            _LINK: self.link,
        }

    @property
    def tp(self) -> TopicPartition:
        """The partition."""
        return split_partition_text(self.partition)[1]

    @property
    def group(self) -> str:
        """The consumer group."""
        return split_partition_text(self.partition)[0]

    @property
    def link_id(self) -> str:
        """The Celery task id of the link."""
        return link_id(self.chain, self.link)

    @property
    def hash_key(self) -> str:
        """The ledger's hash of the partition."""
        return hash_key(self.partition)

    @property
    def payload_key(self) -> str:
        """The records that this link works on."""
        return payload_key(self.partition, self.chain, self.link)

    def next(self) -> Handle:
        """The handle of the link behind this one."""
        return Handle(self.partition, self.lane, self.chain, self.link + 1)


def is_handle(message: object) -> bool:
    """Whether a task was called with a link's handle (of any format), and not with a record or batch."""
    return isinstance(message, Mapping) and _FORMAT in message and _CHAIN in message
