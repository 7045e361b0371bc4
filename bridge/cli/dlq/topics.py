"""Where dead letters are: the topics of the app's pipelines, or those that are named; and how they are reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from bridge.cli.errors import Failed
from bridge.cli.plans import resolve_bridge
from bridge.kafka.admin import Admin
from bridge.kafka.dead_letter_reading import DeadLetterReader
from bridge.kafka.dead_letters import create_command
from bridge.kafka.profile import ConsumerSettings
from bridge.records import TopicPartition
from bridge.runtime.kafka_settings import consumer_settings

if TYPE_CHECKING:
    from bridge.app import Bridge

#: seconds that one question may take
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Kafka, the dead letter topics that are asked for, and the partitions of each that is there."""

    settings: ConsumerSettings
    admin: Admin
    asked: tuple[str, ...]
    partitions: Mapping[str, tuple[TopicPartition, ...]]

    def replay_group(self, topic: str) -> str:
        """The group that remembers what was replayed from a dead letter topic."""
        return f"{self.settings.group_id}.dlq-replay.{topic}"

    @contextmanager
    def reader(self, group: str = "") -> Iterator[DeadLetterReader]:
        """A reader, with `group` (else the bridge's own, in which nothing is committed) to keep progress in."""
        reader = DeadLetterReader(replace(self.settings, group_id=group or self.settings.group_id))
        try:
            yield reader
        finally:
            reader.close()


@contextmanager
def cluster(context: click.Context, topics: Sequence[str], given: Mapping[str, object]) -> Iterator[Cluster]:
    """The dead letter topics that a command asks for. Raises as `cluster_of`."""
    with cluster_of(resolve_bridge(context, given), topics) as found:
        yield found


@contextmanager
def cluster_of(bridge: Bridge, topics: Sequence[str] = ()) -> Iterator[Cluster]:
    """The dead letter topics that are named (^: a regular expression), or else those of the app's pipelines that exist.

    Raises Failed when a topic that is named does not exist, KafkaUnavailable.
    """
    options = bridge.settings
    settings = consumer_settings(options)
    admin = Admin(settings, timeout=TIMEOUT)
    try:
        wanted = topics or _of_pipelines(bridge, admin)
        found: dict[str, tuple[TopicPartition, ...]] = {}
        for tp in admin.expand(wanted):
            found[tp.topic] = (*found.get(tp.topic, ()), tp)
        if missing := [topic for topic in topics if topic not in found and not topic.startswith("^")]:
            raise Failed(
                f"Kafka at {options.bootstrap_servers} has no topic {missing[0]}: correct --topic, or create it: "
                f"{create_command(settings, missing[0], 0)}"
            )
        yield Cluster(settings, admin, tuple(wanted), found)
    finally:
        admin.close()


def _of_pipelines(bridge: Bridge, admin: Admin) -> list[str]:
    """A regular expression stands for the topics that it matches now."""
    found: dict[str, None] = {}
    for pipeline in bridge.pipelines:
        named = [topic for topic in pipeline.topics if not topic.startswith("^")]
        patterns = [topic for topic in pipeline.topics if topic.startswith("^")]
        matched = sorted({tp.topic for tp in admin.expand(patterns)}) if patterns else []
        found |= {pipeline.rules.dead_letters_of(topic): None for topic in (*named, *matched)}
    return list(found)
