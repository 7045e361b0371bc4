"""`dlq replay`: one dead letter topic after another, and what to say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import click

from bridge.cli.dlq.claim import Claim
from bridge.cli.dlq.interrupts import StopAsked
from bridge.cli.dlq.letters import Filters
from bridge.cli.dlq.reading import progress, span_of
from bridge.cli.dlq.replaying import Replay, Report, Wish, describe
from bridge.cli.dlq.topics import Cluster, cluster
from bridge.cli.errors import Failed
from bridge.kafka.dead_letter_sending import AcknowledgedProducer
from bridge.records import TopicPartition

#: seconds for the producer to end
_CLOSE_TIMEOUT_S = 5.0


def replay_all(context: click.Context, given: dict[str, Any]) -> Report:
    """Replay what the command line asks for, and print what was done, also when it fails. Raises Failed and what the
    parts raise."""
    topics = given.pop("topics")
    partitions = frozenset(given.pop("partitions"))
    wish = _take_wish(given)
    with cluster(context, topics, given) as found, StopAsked() as stopping:
        return replay_chosen(found, _chosen(found, partitions), wish, stopping, click.echo)


def replay_chosen(
    found: Cluster,
    chosen: Mapping[str, tuple[TopicPartition, ...]],
    wish: Wish,
    stopping: Callable[[], bool],
    say: Callable[[str], object],
) -> Report:
    """Replay what `wish` chooses of these partitions by topic, until `stopping` says so, and `say` what was done, line
    by line, also when it fails. Raises what the parts raise."""
    producer = AcknowledgedProducer(found.settings)
    work = Replay(found.settings, producer, _partitions_of(found), wish, stopping)
    try:
        for topic, tps in chosen.items():
            if not work.report.was_stopped:
                _replay_topic(found, work, topic, tps, wish.dry_run)
    finally:
        producer.close(_CLOSE_TIMEOUT_S)
        for line in describe(work.report, wish):
            say(line)
    return work.report


def _take_wish(given: dict[str, Any]) -> Wish:
    """Leaves the options of the settings in `given`."""
    sources, dispositions, exceptions = (
        tuple(sorted(set(given.pop(name)))) for name in ("sources", "dispositions", "exceptions")
    )
    filters = Filters(sources, dispositions, exceptions, given.pop("since"), given.pop("until"))
    names = ("offsets", "max_replays", "again", "dry_run")
    return replace(Wish(filters), **{name: given.pop(name) for name in names})


def _chosen(found: Cluster, partitions: frozenset[int]) -> Mapping[str, tuple[TopicPartition, ...]]:
    if not found.partitions:
        raise Failed("none of the app's dead letter topics exists: there is nothing to replay")
    if not partitions:
        return found.partitions
    chosen = {topic: tuple(tp for tp in tps if tp.partition in partitions) for topic, tps in found.partitions.items()}
    if not any(chosen.values()):
        raise Failed(f"no dead letter topic has a partition {', '.join(map(str, sorted(partitions)))}")
    return {topic: tps for topic, tps in chosen.items() if tps}


def _partitions_of(found: Cluster) -> Callable[[str], int]:
    @cache
    def count(topic: str) -> int:
        return len(found.admin.expand([topic]))

    return count


def _replay_topic(found: Cluster, work: Replay, topic: str, tps: tuple[TopicPartition, ...], dry_run: bool) -> None:
    group = found.replay_group(topic)
    with found.reader(group) as reader, found.reader(f"{group}.claims") as claims:
        check_claim = _no_claim if dry_run else Claim(claims, tps).check
        going, ranges = work.plan(reader, tps, found.admin.topic_ids([topic]).get(topic, ""))
        with progress(f"Replaying {topic}", span_of(ranges)) as advance:
            work.run(reader, going, ranges, check_claim, advance)


def _no_claim() -> None:
    """A dry run writes nothing, and disturbs nobody."""
