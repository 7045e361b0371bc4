"""Who is in the consumer group, as the broker sees it: for people who look for what is wrong."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

from bridge.kafka.errors import KafkaUnavailable, code_of, error_of, explain
from bridge.kafka.profile import ConsumerSettings, admin_profile
from bridge.records import TopicPartition

#: what our consumers call themselves begins with this
OUR_CLIENTS = "lanebridge-"

_NO_GROUP = frozenset({"GROUP_ID_NOT_FOUND"})

#: a young broker has no coordinator yet; seconds between two tries
_COORDINATOR_MOVES = frozenset({"NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE"})
_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One consumer of the group."""

    client_id: str
    host: str
    partitions: tuple[TopicPartition, ...]

    @property
    def is_ours(self) -> bool:
        """It is a bridge."""
        return self.client_id.startswith(OUR_CLIENTS)


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """`state` in Kafka's words (`stable`, `empty`, ...); "dead" when there is no such group."""

    state: str
    members: tuple[GroupMember, ...] = ()


def describe_group(settings: ConsumerSettings, timeout: float = 5.0) -> GroupFacts:
    """The group and its members, asked within `timeout` seconds. Raises KafkaUnavailable."""
    client = AdminClient(admin_profile(settings))  # type: ignore[arg-type]
    group, deadline = settings.group_id, time.monotonic() + timeout
    while True:
        left = max(0.1, deadline - time.monotonic())
        try:
            return _facts(client.describe_consumer_groups([group], request_timeout=left)[group].result(left + 1.0))
        except TimeoutError as error:
            raise KafkaUnavailable(f"Kafka did not describe the group {group} within {timeout:g} s") from error
        except KafkaException as error:
            known = error_of(error)
            if code_of(known) in _NO_GROUP:
                return GroupFacts("dead")
            if code_of(known) not in _COORDINATOR_MOVES or time.monotonic() >= deadline:
                text = f"Kafka does not describe the group {group}: {explain(known, settings)}"
                raise KafkaUnavailable(text) from error
        time.sleep(_RETRY_S)


def _facts(found: ConsumerGroupDescription) -> GroupFacts:
    members = tuple(
        GroupMember(
            member.client_id,
            member.host.lstrip("/"),
            tuple(TopicPartition(item.topic, item.partition) for item in member.assignment.topic_partitions),
        )
        for member in found.members
    )
    return GroupFacts(str(found.state.name).lower().replace("_", " "), members)
