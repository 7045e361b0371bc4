"""How long a record takes at low load, in milliseconds: from the call that produces it to the start of its task, and
until its offset is committed.

50 records per second, 10 to 30 ms apart at random (an even beat could fall in with one of ours), dealt over 12
partitions. A record's value says when it was given to the producer, the task notes when it began, by the machine's one
monotonic clock: exact to microseconds. When offsets were committed is heard from Kafka's own log of commits, see
commit_log.py: late by one delivery, 0.5 to 2 ms. One record for each partition goes before, so that all connections
are there. Two solo workers. CPU: user and system time of bridge, workers and Redis while records are produced.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks.apps.noted import LATENCY, SENT, read_notes
from benchmarks.case import Case, Shape, WrongRun
from benchmarks.commit_log import CommitLog
from benchmarks.goals import Goal
from benchmarks.processes import Plan, Processes, cores_during
from benchmarks.stack import Stack

PARTITIONS = 12
#: seconds between two records: least and most
GAPS_S = 0.01, 0.03
SECONDS = 20.0
#: what a record weighs
SIZE = 100

#: (partition, offset) -> nanoseconds
Times = dict[tuple[int, int], int]


def latency(options: Mapping[str, Any], stack: Stack, number: int) -> Mapping[str, float]:
    """One window with these options of the pipeline. Raises WrongRun."""
    with Processes(stack, Plan("latency", PARTITIONS, options), number) as processes:
        processes.start()
        with CommitLog(stack, processes.group, processes.topic) as log:
            feed = Feed(stack, processes.topic)
            for partition in range(PARTITIONS):
                feed.send(partition)
            processes.await_committed(PARTITIONS)
            cores = cores_during(processes.clock(), lambda: feed.run(SECONDS, random.Random(number)))
            processes.await_committed(feed.sent)
            processes.check_end()
        started = _started(processes.notes, feed.sent)
    return {**_figures(started, log.heard), **cores}


class Feed:
    """Sends records, each with the time in its value."""

    def __init__(self, stack: Stack, topic: str) -> None:
        options = {"bootstrap.servers": stack.kafka.bootstrap_servers, "linger.ms": 0, "log_level": 0}
        self._producer, self._topic = Producer(options), topic
        self.sent = 0

    def send(self, partition: int) -> None:
        """One record, now."""
        value = SENT.pack(time.monotonic_ns()).ljust(SIZE, b"x")
        self._producer.produce(self._topic, value, partition=partition)
        self._producer.poll(0)
        self.sent += 1

    def run(self, seconds: float, chance: random.Random) -> None:
        """Records for so long, partition after partition."""
        at = time.monotonic()
        end = at + seconds
        while at < end:
            at += chance.uniform(*GAPS_S)
            time.sleep(max(0.0, at - time.monotonic()))
            self.send(self.sent % PARTITIONS)
        self._producer.flush()


def _started(folder: Path, sent: int) -> dict[tuple[int, int], tuple[int, int]]:
    """(partition, offset) -> when it was sent, when its task began. Raises WrongRun unless each record is there once;
    the first of each partition is left out."""
    notes = list(chain.from_iterable(read_notes(folder, LATENCY)))
    found = {(partition, offset): (sent_at, began) for partition, offset, sent_at, began in notes}
    if not len(found) == len(notes) == sent:
        raise WrongRun(f"{sent} records were sent, the tasks saw {len(notes)}, {len(found)} different ones")
    return {place: times for place, times in found.items() if place[1] > 0}


def _figures(
    started: Mapping[tuple[int, int], tuple[int, int]], heard: Sequence[tuple[int, int, int]]
) -> dict[str, float]:
    committed = committed_at(heard)
    missing = len(started.keys() - committed.keys())
    if missing:
        raise WrongRun(f"{missing} records were committed, but no commit of them was heard")
    to_start = [(began - sent) / 1e6 for sent, began in started.values()]
    to_commit = [(committed[place] - sent) / 1e6 for place, (sent, _) in started.items()]
    return {**spread("start", to_start), **spread("committed", to_commit)}


def committed_at(heard: Sequence[tuple[int, int, int]]) -> Times:
    """When each record was committed: with the first commit that lies above it."""
    times: Times = {}
    reached: dict[int, int] = {}
    for at, partition, offset in heard:
        for each in range(reached.get(partition, 0), offset):
            times[partition, each] = at
        reached[partition] = max(offset, reached.get(partition, 0))
    return times


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """What share of the values is at most so much."""
    ordered = sorted(values)
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    found = {
        f"{name}_{rank}_ms": ordered[min(int(share * len(ordered)), len(ordered) - 1)] for rank, share in ranks.items()
    }
    return {**found, f"{name}_max_ms": ordered[-1]}


def _case(name: str, **options: Any) -> Case:
    return Case(f"latency/{name}", Shape(PARTITIONS, SIZE, 0), partial(latency, options), quick=1, seconds=SECONDS + 5)


CASES = (
    _case("defaults"),
    _case("timeout-50ms", batch_timeout=0.05),
    _case("smallest", batch_size=1),
)

GOALS = (
    Goal("latency/timeout-50ms", "start_p50_ms", at_most=54),
    Goal("latency/timeout-50ms", "start_p99_ms", at_most=65),
    Goal("latency/smallest", "start_p50_ms", at_most=4),
    Goal("latency/smallest", "start_p99_ms", at_most=12),
    *(Goal(case.id, "cores", at_most=0.1) for case in CASES),
)
