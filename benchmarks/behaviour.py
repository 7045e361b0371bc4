"""What a backlog does to the time after it, to neighbours, and to a bridge that works long.

tail: 300,300 records in 12 partitions are worked off by two solo workers, product defaults. "tail_s": from the end of
the last task, by the workers' own clock, until all is committed, heard from Kafka's own log of commits.

slow-partition: the batches of one of 12 partitions take a second each, the others nothing. In one run a window without
and one with it, either of them first in turn; rates of the other eleven by what is committed. "kept":
the rate beside a slow partition as a share of that without. What the slow one leaves of the processors is in it;
"kept_of_all" compares the eleven with all twelve before, so that nothing is in it that is not their own. A solo worker
would stand still with the slow link, so: `threads`, two workers `-P threads -c 6`, as for links that wait; and
`own-worker`, two solo workers and a third for the slow lane's queue alone (`-Q`).

until-idle: `lanebridge run --until-idle` over 5,000,000 records with two solo workers. "rate_1" to "rate_5": records
per second of each million by what is committed, "last_of_first" the fifth as a share of the first. "cpu_ms_1" to
"cpu_ms_5": processor time of bridge, workers and Redis per 1,000 records of each, which other processes disturb less.
Memory of the bridge: the most, and after each quarter of a million ("rss_mib_0.25"). "least_partition": when half of
all is committed, what is of the partition that is furthest behind, as a share of the average (1: all are served alike).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise

import psutil

from benchmarks.apps.noted import ENDED, SLOW, SLOW_FLAG, SLOW_PARTITION, SLOW_S, read_notes
from benchmarks.case import Case, Shape, WrongRun
from benchmarks.clock import COUNTED, Parts
from benchmarks.commit_log import CommitLog
from benchmarks.goals import Goal
from benchmarks.processes import HALVES, Plan, Processes, cores_during
from benchmarks.stack import SOLO, TOPIC, Stack
from benchmarks.topics import fill
from benchmarks.values import values
from bridge.records import lane_queue

PARTITIONS = 12
BACKLOG = Shape()
#: not a multiple of a batch: the last ones close by their time-out
TAIL_RECORDS = 25_025
#: seconds of a window with or without a slow partition, and until the change has come through; all of it must be over
#: before the first partition is worked off
WINDOW_S, SETTLING_S = 1.2, 0.6
#: records after which the windows begin
WARM_RECORDS = 250_000
MILLION = 1_000_000
#: records between two looks at the memory that are kept
QUARTER = MILLION // 4


# --- tail ------------------------------------------------------------------------------------------------------------


def tail(stack: Stack, number: int) -> Mapping[str, float]:
    """One backlog. Raises WrongRun."""
    total = PARTITIONS * TAIL_RECORDS
    given = values(100)
    with Processes(stack, Plan("tail", PARTITIONS), number) as processes:
        fill(stack, processes.topic, ((each % PARTITIONS, None, given[each % len(given)]) for each in range(total)))
        with CommitLog(stack, processes.group, processes.topic) as log:
            processes.start()
            processes.await_committed(1)
            cores = cores_during(processes.clock(), lambda: processes.await_committed(total))
            processes.check_end()
            time.sleep(0.1)  # the last commit is heard
        notes = list(chain.from_iterable(read_notes(processes.notes, ENDED)))
    last_end, all_committed = max(at for _, _, at in notes), all_committed_at(log.heard)
    return {"tail_s": (all_committed - last_end) / 1e9, **cores}


def all_committed_at(heard: Sequence[tuple[int, int, int]]) -> int:
    """When each partition's last record was committed."""
    missing = dict.fromkeys(range(PARTITIONS), TAIL_RECORDS)
    for at, partition, offset in heard:
        if missing.get(partition) == offset:
            del missing[partition]
        if not missing:
            return at
    raise WrongRun(f"the commits of partitions {sorted(missing)} were not heard")


# --- one slow partition ----------------------------------------------------------------------------------------------


def slow_partition(workers: Sequence[Sequence[str]], stack: Stack, number: int) -> Mapping[str, float]:
    """One window without a slow partition, and one with it. Raises WrongRun."""
    plan = Plan("slow", PARTITIONS, workers=workers, topic=TOPIC)
    with Processes(stack, plan, number) as processes:
        flag = processes.notes / SLOW_FLAG
        processes.start()
        processes.await_committed(WARM_RECORDS)
        rates: dict[bool, list[float]] = {}

        def windows() -> None:
            for is_slow in (False, True) if number % 2 else (True, False):
                flag.touch() if is_slow else flag.unlink(missing_ok=True)
                time.sleep(SETTLING_S)
                rates[is_slow] = _rates(processes)
                if is_slow:
                    _check_slow(processes)

        cores = cores_during(processes.clock(), windows)
        flag.unlink(missing_ok=True)
        processes.await_committed(sum(processes.onlooker.ends()), 120.0)
        processes.check_end()
    without, beside = (sum(rates[is_slow]) - rates[is_slow][SLOW_PARTITION] for is_slow in (False, True))
    return {
        "kept": beside / without,
        "kept_of_all": beside / sum(rates[False]),
        "rate": beside,
        "rate_without": without,
        **cores,
    }


def _rates(processes: Processes) -> list[float]:
    """Records per second of each partition."""
    before, began = processes.onlooker.committed(), time.monotonic()
    time.sleep(WINDOW_S)
    after, took = processes.onlooker.committed(), time.monotonic() - began
    processes.look()
    if 0 in (gone := [end - offset for end, offset in zip(processes.onlooker.ends(), after, strict=True)]):
        raise WrongRun(f"the backlog ended within the window: {gone} records are left of the partitions")
    return [(end - begin) / took for begin, end in zip(before, after, strict=True)]


def _check_slow(processes: Processes) -> None:
    """A slow batch runs, or ran just now."""
    began = [at for some in read_notes(processes.notes, SLOW) for (at,) in some]
    if time.monotonic() - max(began, default=0) / 1e9 > 2 * SLOW_S:
        raise WrongRun("no batch of the slow partition ran within the window")


# --- until idle ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """At a moment: what is committed of each partition, MiB of the bridge, seconds of processor time."""

    at: float
    committed: Sequence[int]
    rss: float
    spent: float

    @property
    def records(self) -> int:
        """What is committed of all."""
        return sum(self.committed)


def until_idle(stack: Stack, number: int) -> Mapping[str, float]:
    """One run over the whole topic. Raises WrongRun."""
    plan = Plan("slow", PARTITIONS, run=("--until-idle",), topic=TOPIC)
    with Processes(stack, plan, number) as processes:
        processes.start()
        clock, looks = processes.clock(), list[Look]()
        cores = cores_during(clock, lambda: looks.extend(_looks(processes, clock)))
        code = processes.bridges[0].wait(60.0)
        if code != 0:
            raise WrongRun(f"--until-idle ended with {code}")
        processes.check_end()
    half = next(look for look in looks if look.records >= looks[-1].records / 2)
    least = min(half.committed) * PARTITIONS / half.records
    return {**by_million(looks), "least_partition": least, **memory(looks), **cores}


def _looks(processes: Processes, clock: Parts) -> Iterator[Look]:
    """20 times per second until the bridge has ended."""
    bridge = processes.bridges[0]
    about = psutil.Process(bridge.pid)
    while bridge.poll() is None:
        try:
            rss = about.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return
        spent = clock.spent()
        yield Look(time.monotonic(), processes.onlooker.committed(), rss, sum(spent[name] for name in COUNTED))
        time.sleep(0.05)


def by_million(looks: Sequence[Look]) -> dict[str, float]:
    """Rate and cost of each."""
    marks = [_mark(looks, millions * MILLION) for millions in range(looks[-1].records // MILLION + 1)]
    rates = [MILLION / (end - begin) for (begin, _), (end, _) in pairwise(marks)]
    costs = [(end - begin) / MILLION * 1e6 for (_, begin), (_, end) in pairwise(marks)]
    return {
        "last_of_first": rates[-1] / rates[0],
        **{f"rate_{number}": rate for number, rate in enumerate(rates, 1)},
        **{f"cpu_ms_{number}": cost for number, cost in enumerate(costs, 1)},
    }


def _mark(looks: Sequence[Look], records: int) -> tuple[float, float]:
    """When so many were committed, and the processor time until then, between two looks by proportion; 0: at the last
    look at which there was nothing."""
    if records == 0:
        return max((look.at, look.spent) for look in looks if look.records == 0)
    for one, other in pairwise(looks):
        if one.records < records <= other.records:
            share = (records - one.records) / (other.records - one.records)
            return one.at + share * (other.at - one.at), one.spent + share * (other.spent - one.spent)
    raise WrongRun(f"{records:,} records were never committed")


def memory(looks: Sequence[Look]) -> dict[str, float]:
    """MiB, the most and by quarters of a million."""
    series = {}
    for quarter in range(1, looks[-1].records // QUARTER + 1):
        rss = next(look.rss for look in looks if look.records >= quarter * QUARTER)
        series[f"rss_mib_{quarter * QUARTER / MILLION:.2f}"] = rss
    return {"rss_mib": max(look.rss for look in looks), **series}


THREADS = tuple(("-P", "threads", "-c", "6", "-Q", queues) for queues in HALVES)


def _own_worker() -> Sequence[Sequence[str]]:
    """Two solo workers without the slow lane's queue, and one for that alone."""
    own = lane_queue(TOPIC, SLOW_PARTITION, 0, 16)
    others = (",".join(queue for queue in queues.split(",") if queue != own) for queues in HALVES)
    return *((*SOLO, "-Q", queues) for queues in others), (*SOLO, "-Q", own)


CASES = (
    Case("behaviour/tail", Shape(PARTITIONS, 100, 0), tail, quick=1, seconds=8.0),
    Case("behaviour/slow-partition-threads", BACKLOG, partial(slow_partition, THREADS), seconds=25.0),
    Case("behaviour/slow-partition-own-worker", BACKLOG, partial(slow_partition, _own_worker()), seconds=25.0),
    Case("behaviour/until-idle", BACKLOG, until_idle, seconds=20.0),
)

GOALS = (
    Goal("behaviour/tail", "tail_s", at_most=0.2),
    Goal("behaviour/slow-partition-threads", "kept", at_least=0.95),
    Goal("behaviour/slow-partition-own-worker", "kept", at_least=0.95),
    Goal("behaviour/until-idle", "last_of_first", at_least=0.9),
    Goal("behaviour/until-idle", "rss_mib", at_most=150),
)
