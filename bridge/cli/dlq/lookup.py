"""Finds single dead letters."""

from __future__ import annotations

from bridge.cli.dlq.letters import FoundLetter
from bridge.cli.dlq.reading import all_letters
from bridge.cli.dlq.topics import Cluster
from bridge.cli.errors import Failed
from bridge.records import TopicPartition


def at_place(cluster: Cluster, topic: str | None, partition: int | None, offset: int | None) -> list[FoundLetter]:
    """The dead letter at this place. Raises Failed when there is none."""
    assert topic is not None
    assert partition is not None
    assert offset is not None
    tp = TopicPartition(topic, partition)
    if tp not in cluster.partitions[topic]:
        raise Failed(f"{topic} has no partition {partition}: it has {len(cluster.partitions[topic])}, from 0")
    with cluster.reader() as reader:
        low, high = reader.bounds([tp])[tp]
        found = [
            FoundLetter.of(tp, row)
            for runs in reader.read({tp: (max(low, offset), min(high, offset + 1))})
            for run in runs
            for row in run.rows
        ]
    if not found:
        raise Failed(f"{tp} has no record at offset {offset}: it holds offsets {low} to {high - 1}")
    return found


def of_record(cluster: Cluster, tp: TopicPartition, offset: int) -> list[FoundLetter]:
    """All dead letters of a record. Raises Failed when there are none."""
    found = [
        letter
        for letter in all_letters(cluster)
        if letter.about is not None and (letter.about.tp, letter.about.offset) == (tp, offset)
    ]
    if not found:
        names = ", ".join(cluster.partitions) or "the app's dead letter topics, none of which exists"
        raise Failed(f"there is no dead letter of {tp} offset {offset} in {names}")
    return found
