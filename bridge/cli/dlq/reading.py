"""Goes through dead letter topics with a progress bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

from bridge.cli.dlq.letters import FoundLetter
from bridge.cli.dlq.progress import Progress, decode
from bridge.cli.dlq.topics import Cluster
from bridge.records import TopicPartition

#: told how many offsets have been gone through since the last call
Advance = Callable[[int], object]


@contextmanager
def progress(label: str, length: int) -> Iterator[Advance]:
    """A progress bar on standard error when that is a terminal, else nothing."""
    if not sys.stderr.isatty() or not length:
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr, show_pos=True) as bar:
        yield bar.update


def all_letters(cluster: Cluster) -> Iterator[FoundLetter]:
    """Every dead letter that is there now, topic by topic."""
    with cluster.reader() as reader:
        ranges = reader.bounds(tp for tps in cluster.partitions.values() for tp in tps)
        with progress("Reading", span_of(ranges)) as advance:
            at = {tp: start for tp, (start, _) in ranges.items()}
            for runs in reader.read(ranges):
                for run in runs:
                    advance(run.upto - at[run.tp])
                    at[run.tp] = run.upto
                    yield from (FoundLetter.of(run.tp, row) for row in run.rows)


def earlier_replays(cluster: Cluster) -> dict[TopicPartition, Progress]:
    """What was replayed of each partition. Raises ProgressUnreadable, KafkaUnavailable."""
    ids = cluster.admin.topic_ids(cluster.partitions)
    found: dict[TopicPartition, Progress] = {}
    for topic, tps in cluster.partitions.items():
        with cluster.reader(cluster.replay_group(topic)) as reader:
            kept = reader.kept(tps)
        found |= {tp: decode(kept[tp], ids.get(topic, "")) for tp in tps}
    return found


def span_of(ranges: Mapping[TopicPartition, tuple[int, int]]) -> int:
    """How many offsets the ranges hold."""
    return sum(max(0, end - start) for start, end in ranges.values())
