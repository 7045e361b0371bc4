"""Writes dead letters, and returns when the broker has acknowledged every one of them.

Rules: key, value and the record's own headers stay byte for byte; source partition p goes to partition p modulo the
topic's partitions; a topic that is missing is never created. What the topic's size limit refuses is written again as a
stub: without its largest part, then without the next one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from confluent_kafka import KafkaError

from bridge.entries import DeadLetter
from bridge.errors import LanebridgeError
from bridge.kafka.admin import Admin
from bridge.kafka.dead_letter_headers import Profile, Sender, letter_headers, record_headers
from bridge.kafka.dead_letter_sending import DELIVERY_TIMEOUT_S, AcknowledgedProducer, Outgoing
from bridge.kafka.errors import BrokerError, KafkaUnavailable, code_of, explain
from bridge.kafka.profile import ConsumerSettings
from bridge.records import HEADERS, KEY, OFFSET, VALUE, TopicPartition

logger = logging.getLogger(__name__)

#: seconds for which the number of a topic's partitions is not asked again
_REMEMBER_S = 60.0


class DeadLetterFailed(LanebridgeError):
    """Dead letters could not be written; none, some or all of them are in the topic."""


class DeadLetterProducer:
    """Writes the dead letters of one bridge. `group` and `version` are told in each letter. One thread at a time."""

    def __init__(
        self,
        settings: ConsumerSettings,
        admin: Admin,
        *,
        group: str,
        version: str,
        profile: Profile = "kafka",
        delivery_timeout: float = DELIVERY_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._sender = Sender(group, version, profile)
        self._clock = clock
        self._producer = AcknowledgedProducer(settings, delivery_timeout)
        self._partitions: dict[str, tuple[int, float]] = {}

    def write(
        self, topic: str, lots: Sequence[tuple[TopicPartition, Sequence[DeadLetter]]]
    ) -> list[DeadLetterFailed | None]:
        """Write lots of letters, each of one partition, to `topic`, and wait until the fate of all is known.

        For each lot: None when the broker has acknowledged every letter of it, else what names topic, cause and remedy.
        Writing the whole lot again is safe. A lot that fails holds up no other.

        Raises BadKafkaOption when the client refuses the options.
        """
        failed: list[DeadLetterFailed | None] = [None] * len(lots)
        drafts: list[tuple[int, TopicPartition, _Draft]] = []
        for number, (tp, letters) in enumerate(lots):
            try:
                target = TopicPartition(topic, tp.partition % self._partition_count(tp, topic))
            except DeadLetterFailed as error:
                failed[number] = error
            else:
                drafts += [(number, target, _Draft(tp, letter, self._sender)) for letter in letters]
        while drafts:
            fates = self._producer.send([draft.outgoing(target) for _, target, draft in drafts])
            smaller: list[tuple[int, TopicPartition, _Draft]] = []
            for (number, target, draft), problem in zip(drafts, fates, strict=True):
                if problem is not None and failed[number] is None:
                    try:
                        smaller.append((number, target, self._smaller(draft, problem, topic)))
                    except DeadLetterFailed as error:
                        failed[number] = error
            drafts = [each for each in smaller if failed[each[0]] is None]
        return failed

    def close(self, timeout: float) -> None:
        """End the connections, within about `timeout` seconds."""
        self._producer.close(timeout)

    def _smaller(self, draft: _Draft, error: KafkaError, topic: str) -> _Draft:
        """The stub to write instead of what was too large; any other error is raised."""
        if code_of(error) not in _TOO_LARGE:
            self._partitions.pop(topic, None)
            raise self._failed(draft.tp, topic, error)
        stub = draft.without_its_largest_part()
        if stub is None:
            self._partitions.pop(topic, None)
            raise DeadLetterFailed(
                f"dead letters of {draft.tp} cannot be written: {topic} takes not even a stub of "
                f"{draft.outgoing(draft.tp).size} bytes; set a higher max.message.bytes on it"
            )
        where = f"{draft.tp} offset {draft.letter.row[OFFSET]}"
        logger.warning(
            "%s: its dead letter is too large for %s and is written as a stub, without %s; the record itself is in the "
            "source topic as long as that keeps it",
            where,
            topic,
            stub.omitted,
            extra={"action": "dead_letter"},
        )
        return stub

    def _partition_count(self, tp: TopicPartition, topic: str) -> int:
        count, until = self._partitions.get(topic, (0, 0.0))
        if count and self._clock() < until:
            return count
        try:
            known = self._admin.expand([topic, tp.topic])
        except KafkaUnavailable as error:
            raise DeadLetterFailed(f"dead letters of {tp} cannot be written to {topic}: {error}") from error
        count = sum(each.topic == topic for each in known)
        if not count:
            raise DeadLetterFailed(self._missing(tp, topic, sum(each.topic == tp.topic for each in known)))
        self._partitions[topic] = count, self._clock() + _REMEMBER_S
        return count

    def _is_missing(self, topic: str) -> bool:
        try:
            return bool(self._admin.missing_topics([topic]))
        except KafkaUnavailable as unknown:
            logger.debug("whether %s exists is not known: %s", topic, unknown, extra={"action": "dead_letter"})
            return False

    def _missing(self, tp: TopicPartition, topic: str, partitions: int) -> str:
        user = self._settings.kafka.get("sasl.username", "")
        unseen = f", or {user!r} may not Describe it" if user else ""
        return (
            f"dead letters of {tp} cannot be written: Kafka has no topic {topic}{unseen}; create it: "
            f"{create_command(self._settings, topic, partitions)}"
        )

    def _failed(self, tp: TopicPartition, topic: str, error: KafkaError) -> DeadLetterFailed:
        if code_of(error) in _PERHAPS_MISSING and self._is_missing(topic):
            return DeadLetterFailed(self._missing(tp, topic, 0))
        why = explain_write(error, self._settings, topic)
        return DeadLetterFailed(f"dead letters of {tp} cannot be written to {topic}: {why}")


def explain_write(error: KafkaError, settings: ConsumerSettings, topic: str) -> BrokerError:
    """The error of a write to a topic, with its remedy."""
    known = explain(error, settings)
    if known.code not in _REMEDIES:
        return known
    user = settings.kafka.get("sasl.username", "")
    return replace(known, remedy=_REMEDIES[known.code].format(topic=topic, user=user))


def create_command(settings: ConsumerSettings, topic: str, partitions: int) -> str:
    """The command that creates a topic with as many partitions (0: not known)."""
    return (
        f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers} --create --topic {topic} "
        f"--partitions {partitions or 'N'}"
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A letter as it is to be written; `left_out` names the parts of the record that are not."""

    tp: TopicPartition
    letter: DeadLetter
    sender: Sender
    left_out: tuple[str, ...] = ()

    @property
    def omitted(self) -> str:
        """`value (1048576 bytes), headers (20 bytes)`."""
        sizes = self._sizes()
        return ", ".join(f"{name} ({sizes[name]} bytes)" for name in self.left_out)

    def outgoing(self, target: TopicPartition) -> Outgoing:
        """The letter as a record for `target`."""
        row = self.letter.row
        added = letter_headers(self.tp, self.letter, self.sender, self.omitted)
        own = () if "headers" in self.left_out else record_headers(row[HEADERS], self.sender.profile)
        return Outgoing(
            target,
            None if "key" in self.left_out else row[KEY],
            None if "value" in self.left_out else row[VALUE],
            (*own, *added),
        )

    def without_its_largest_part(self) -> _Draft | None:
        """None when nothing is left to leave out."""
        left = {name: size for name, size in self._sizes().items() if size and name not in self.left_out}
        largest = max(left, key=lambda name: left[name], default=None)
        return None if largest is None else replace(self, left_out=(*self.left_out, largest))

    def _sizes(self) -> dict[str, int]:
        row = self.letter.row
        own = record_headers(row[HEADERS], self.sender.profile)
        headers = sum(len(name.encode()) + len(value or b"") for name, value in own)
        return {"value": len(row[VALUE] or b""), "headers": headers, "key": len(row[KEY] or b"")}


_TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"})

#: a topic that is deleted while it is written to is at first only silent
_PERHAPS_MISSING = frozenset({"_MSG_TIMED_OUT", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})

_REMEDIES = {
    "TOPIC_AUTHORIZATION_FAILED": "grant sasl.username={user!r} Write and Describe on the topic {topic}",
    "CLUSTER_AUTHORIZATION_FAILED": "grant sasl.username={user!r} IdempotentWrite on the cluster",
    "_UNKNOWN_PARTITION": "the topic has fewer partitions than before: was it created anew?",
    "NOT_ENOUGH_REPLICAS": "fewer brokers hold {topic} than its min.insync.replicas wants: bring them back",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": "fewer brokers hold {topic} than its min.insync.replicas wants",
    "INVALID_RECORD": "{topic} refuses such records: set cleanup.policy=delete on it, dead letters may have no key",
    "MSG_SIZE_TOO_LARGE": "set a higher max.message.bytes on {topic}",
    "_MSG_TIMED_OUT": "the broker did not acknowledge in time: check that the leader of {topic} runs",
}
