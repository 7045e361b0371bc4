"""How much runs at once when only the records of one key must keep their order: the table that Confluent publishes for
its Parallel Consumer, and a topic whose records each take 5 ms.

The table: 10,000 records in one partition, dealt at random over so many keys, each takes 0 to 5 ms at random, 16
executions at once: one worker, `-P threads -c 16` (records that wait need threads, not processes; `-P prefork -c 16`
does the same with 16 times the memory). "rate": all records, from the start of the first task until all is committed,
heard from Kafka's own log of commits. With a lane for each key nothing waits for another key's records: "lanes" is the
least number at which 2 to 20 keys do not collide; where keys are many, any number well above 16 will do. Beside them
the default of 8 lanes, which keys share, and batches of one record, which go in trains.

The topic of 12 partitions: each record takes 5 ms, 1,000 keys in each partition, 16 lanes, two workers of 96 threads.

Each key's order is looked at by the task, and once more in what the tasks have noted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from benchmarks.apps.noted import KEYED, NUMBER, read_notes
from benchmarks.case import Case, Shape, WrongRun
from benchmarks.commit_log import CommitLog
from benchmarks.goals import Goal
from benchmarks.processes import HALVES, Plan, Processes, cores_during
from benchmarks.stack import Stack
from benchmarks.topics import fill
from bridge.core.lanes import lane_of

RECORDS = 10_000
#: records per second that Confluent's Parallel Consumer reaches, by keys
PUBLISHED = {1: 374, 2: 737, 5: 1690, 10: 3021, 20: 4460, 50: 4537, 100: 4591, 1000: 4864, 10000: 4699}
#: with one key nothing can run at once: so much of the published rate is enough
_ONE_KEY_SHARE = 0.95
#: records per second of 5 ms each when each of 12 partitions handles one at a time, measured with BroadwayKafka
ONE_AT_A_TIME = 1990
#: lanes where keys are many
MANY_LANES = 128
DEFAULT_LANES = 8
#: records of a batch: large enough that what is between two batches of a lane does not count, small enough that in
#: the end no thread has nothing to do while another still has a long one
BATCH = 50
SIXTEEN_THREADS = (("-P", "threads", "-c", "16"),)
MANY_THREADS = tuple(("-P", "threads", "-c", "96", "-Q", queues) for queues in HALVES)


@dataclass(frozen=True, slots=True)
class Load:
    """So many records of each partition, dealt over so many keys at random; seconds that each takes, least and most."""

    partitions: int
    records: int
    keys: int
    sleep_s: tuple[float, float]

    def records_of(self, partition: int) -> Iterator[tuple[int, bytes | None, bytes]]:
        """Partition, key and value of each record."""
        chance = random.Random(partition)
        dealt = [number % self.keys for number in range(self.records)]
        chance.shuffle(dealt)
        numbers = [0] * self.keys
        for key in dealt:
            yield partition, b"%d" % key, NUMBER.pack(numbers[key])
            numbers[key] += 1


def lanes_apart(keys: int) -> int:
    """The least number of lanes with which each of the keys has a lane of its own."""
    names = [b"%d" % key for key in range(keys)]
    return next(lanes for lanes in range(keys, 1025) if len({lane_of(name, lanes) for name in names}) == keys)


def keyed(
    load: Load, options: Mapping[str, Any], workers: Sequence[Sequence[str]], stack: Stack, number: int
) -> Mapping[str, float]:
    """One window. Raises WrongRun."""
    least, most = load.sleep_s
    env = {"MEASURED_SLEEP": f"{least},{most}"}
    total = load.partitions * load.records
    plan = Plan("keys", load.partitions, {"order_by": "key", **options}, workers, env=env)
    with Processes(stack, plan, number) as processes:
        fill(stack, processes.topic, chain.from_iterable(map(load.records_of, range(load.partitions))))
        with CommitLog(stack, processes.group, processes.topic) as log:
            processes.start()
            processes.await_committed(1)
            cores = cores_during(processes.clock(), lambda: processes.await_committed(total, 120.0))
            processes.onlooker.check_end()
            time.sleep(0.1)  # the last commit is heard
        notes = read_notes(processes.notes, KEYED)
    check(load, notes)
    took = (max(at for at, _, _ in log.heard) - min(note[3] for some in notes for note in some)) / 1e9
    lanes, batch = float(options.get("lanes", DEFAULT_LANES)), float(options["batch_size"])
    return {"rate": total / took, "lanes": lanes, "batch": batch, **cores}


def check(load: Load, notes: Sequence[Sequence[tuple[int, ...]]]) -> None:
    """Each record was handled once, each key's in order and one after the other."""
    ended: dict[tuple[int, int], int] = {}
    following: dict[tuple[int, int], int] = {}
    for partition, key, number, began, end in chain.from_iterable(notes):
        place = partition, key
        if number != following.get(place, 0) or began < ended.get(place, 0):
            raise WrongRun(f"record {number} of key {key} in partition {partition} ran out of its turn")
        following[place], ended[place] = number + 1, end
    if (handled := sum(following.values())) != load.partitions * load.records:
        raise WrongRun(f"{handled:,} of {load.partitions * load.records:,} records were handled")


def _row(keys: int, lanes: int, batch: int, name: str = "", **more: Any) -> Case:
    load = Load(1, RECORDS, keys, (0.0, 0.005))
    run = partial(keyed, load, {"lanes": lanes, "batch_size": batch}, SIXTEEN_THREADS)
    return Case(f"keys/{keys}{name}", Shape(1, 100, 0), run, seconds=5 + 1.1 * RECORDS / PUBLISHED[keys], **more)


def _lanes(keys: int) -> int:
    return DEFAULT_LANES if keys == 1 else lanes_apart(keys) if keys <= 20 else MANY_LANES


_TABLE = tuple(_row(keys, _lanes(keys), BATCH, quick=int(keys == 20)) for keys in PUBLISHED)
_DEFAULT_LANES = tuple(
    _row(keys, DEFAULT_LANES, BATCH, "-default-lanes", windows=3) for keys in PUBLISHED if 2 <= keys <= 20
)
_SINGLE = tuple(_row(keys, _lanes(keys), 1, "-batch-1", windows=3) for keys in (20, 1000))

_FIVE_MS = Case(
    "keys/5-ms-12-partitions",
    Shape(12, 100, 0),
    partial(keyed, Load(12, 8_000, 1_000, (0.005, 0.005)), {"lanes": 16, "batch_size": 50}, MANY_THREADS),
    quick=1,
)

CASES = (*_TABLE, *_DEFAULT_LANES, *_SINGLE, _FIVE_MS)
GOALS = (
    *(
        Goal(case.id, "rate", at_least=rate * (_ONE_KEY_SHARE if keys == 1 else 1.0))
        for case, (keys, rate) in zip(_TABLE, PUBLISHED.items(), strict=True)
    ),
    Goal(_FIVE_MS.id, "rate", at_least=8 * ONE_AT_A_TIME),
)
