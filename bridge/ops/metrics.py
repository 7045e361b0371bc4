"""What `/metrics` answers: the catalogue's metrics, made at the moment of the question from the last snapshot."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from bridge.ops.catalogue import METRICS, WORDS, Metric
from bridge.ops.health import HealthInput
from bridge.ops.snapshot import Snapshot
from bridge.ops.state import WORST_FIRST, Lane, Partition, State
from bridge.ops.totals import Distribution, Totals, Work

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: the values of one metric by the values of its labels
Values = Mapping[tuple[str, ...], float | Distribution]

_NO_WORK = Work()


class Metrics:
    """A registry of this bridge alone. `clock` is the snapshot's (seconds); `wall_clock` seconds since 1970."""

    def __init__(
        self, snapshot: Snapshot, clock: Callable[[], float], wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Bridge(snapshot, clock, wall_clock))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


class _Bridge(Collector):
    def __init__(self, snapshot: Snapshot, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._snapshot = snapshot
        self._clock = clock
        self._wall_clock = wall_clock
        self._constant: dict[str, Values] = {
            "lanebridge_start_time_seconds": {(): wall_clock()},
            "lanebridge_build_info": {_versions(): 1},
        }

    def describe(self) -> Iterable[Family]:
        """Names are checked by the catalogue's own test."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Called for each answer."""
        now, (state, health) = self._clock(), self._snapshot.read()
        ready, alive = self._snapshot.readiness(now).ok, self._snapshot.liveness(now).ok
        found: dict[str, Values] = {
            **self._constant,
            **_of_process(health, now, ready=ready, alive=alive),
            **_of_partitions(state, self._wall_clock()),
            **_of_lanes(state),
            **_of_totals(state),
        }
        for metric in METRICS:
            yield _family(metric, found[metric.name])


# --- the sources ------------------------------------------------------------------------------------------------------


def _versions() -> tuple[str, ...]:
    version = importlib.metadata.version
    return (
        version("lanebridge"),
        platform.python_version(),
        version("celery"),
        version("confluent-kafka"),
        version("redis"),
    )


def _of_process(health: HealthInput, now: float, *, ready: bool, alive: bool) -> dict[str, Values]:
    return {
        "lanebridge_alive": {(): alive},
        "lanebridge_ready": {(): ready},
        "lanebridge_loop_turn_age_seconds": {(): max(0.0, now - health.last_turn)},
        # neither is known before the group has answered once
        "lanebridge_kafka_up": {(): not health.kafka_trouble} if health.joined else {},
        "lanebridge_ledger_up": {(): health.ledger_answers} if health.joined else {},
        "lanebridge_brake_holding": {(): health.brake_holds},
    }


def _of_partitions(state: State, wall: float) -> dict[str, Values]:
    lanes: dict[tuple[str, str], list[Lane]] = {}
    for lane in state.lanes:
        lanes.setdefault((lane.topic, str(lane.partition)), []).append(lane)
    since = max(0.0, wall - max((bridge.written_ms for bridge in state.bridges), default=0) / 1000)
    worst = {key: min((lane.state for lane in some), key=WORST_FIRST.index) for key, some in lanes.items()}
    ages = {key: _oldest(some, since) for key, some in lanes.items()}
    return {
        "lanebridge_committed_offset": _each(state, lambda partition: partition.committed),
        "lanebridge_position_offset": _each(state, lambda partition: partition.position),
        "lanebridge_fetched_offset": _each(state, lambda partition: partition.fetched),
        "lanebridge_end_offset": _each(state, lambda partition: partition.end),
        "lanebridge_lag": _each(state, lambda partition: partition.lag),
        "lanebridge_held_bytes": _each(state, lambda partition: partition.held_bytes),
        "lanebridge_buffered_records": {key: sum(lane.buffered for lane in some) for key, some in lanes.items()},
        "lanebridge_oldest_unfinished_age_seconds": {key: age for key, age in ages.items() if age is not None},
        "lanebridge_partition_state": {(*key, name): 1 for key, name in worst.items()},
        "lanebridge_partitions": {(): len(state.partitions)},
    }


def _each(state: State, value: Callable[[Partition], int | None]) -> Values:
    """What is not known yet is missing."""
    found = {(each.topic, str(each.partition)): value(each) for each in state.partitions}
    return {key: number for key, number in found.items() if number is not None}


def _oldest(lanes: Iterable[Lane], since: float) -> float | None:
    """A record grows older also while the loop that says so does not turn: `since` seconds ago it said it last."""
    known = [lane.lag_seconds for lane in lanes if lane.lag_seconds is not None]
    oldest = max(known, default=None)
    return oldest + since if oldest else oldest


def _of_lanes(state: State) -> dict[str, Values]:
    states = Counter((lane.topic, lane.state) for lane in state.lanes)
    full = {(each.topic, each.partition) for each in state.partitions if each.full}
    full_lanes = Counter(lane.topic for lane in state.lanes if (lane.topic, lane.partition) in full)
    chains = Counter(lane.topic for lane in state.lanes if lane.in_flight is not None)
    topics = sorted({lane.topic for lane in state.lanes})
    paused: dict[tuple[str, ...], float] = {}
    for topic in topics:
        paused[topic, "operator"] = states[topic, "paused"]
        paused[topic, "full_buffer"] = full_lanes[topic]
        paused[topic, "stopped"] = states[topic, "stopped"]
        paused[topic, "stalled"] = states[topic, "stalled"]
    return {
        "lanebridge_lanes": {(topic, name): states[topic, name] for topic in topics for name in WORST_FIRST},
        "lanebridge_paused_lanes": paused,
        "lanebridge_chains_in_flight": {(topic,): chains[topic] for topic in topics},
    }


def _of_totals(state: State) -> dict[str, Values]:
    totals = state.bridges[0].totals if state.bridges else Totals()
    topics = sorted({*totals.topics, *(partition.topic for partition in state.partitions)})
    works = {topic: totals.topics.get(topic, _NO_WORK) for topic in topics}
    return {
        "lanebridge_records_finished_total": {(topic,): work.finished for topic, work in works.items()},
        "lanebridge_batches_total": _by_word(works, "trigger", lambda work: work.batches),
        "lanebridge_batch_size_records": {(topic,): work.sizes for topic, work in works.items()},
        "lanebridge_chain_round_trip_seconds": {(topic,): work.round_trips for topic, work in works.items()},
        "lanebridge_retries_total": {(topic,): work.retries for topic, work in works.items()},
        "lanebridge_chain_failures_total": _by_word(works, "kind of failure", lambda work: work.failures),
        "lanebridge_records_disposed_total": _by_word(works, "disposition", lambda work: work.disposed),
        "lanebridge_dead_letters_pending": {(topic,): work.letters_pending for topic, work in works.items()},
        "lanebridge_chains_adopted_total": {(topic,): work.handoffs for topic, work in works.items()},
        "lanebridge_commits_total": {(): totals.commits},
        "lanebridge_commit_errors_total": {(): totals.commit_errors},
        "lanebridge_rebalances_total": _words("kind of rebalance", totals.rebalance_counts),
        "lanebridge_errors_total": _words("service", totals.errors),
    }


def _by_word(works: Mapping[str, Work], words: str, counts: Callable[[Work], Mapping[str, int]]) -> Values:
    return {(topic, *key): value for topic, work in works.items() for key, value in _words(words, counts(work)).items()}


def _words(words: str, counts: Mapping[str, int]) -> Values:
    """Each word has its value from the start: an increase from nothing would be none."""
    return {(word,): count for word, count in {**dict.fromkeys(WORDS[words], 0), **counts}.items()}


# --- families ---------------------------------------------------------------------------------------------------------


def _family(metric: Metric, values: Values) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        for labels, value in values.items():
            assert isinstance(value, Distribution)
            histogram.add_metric(labels, cumulative(value, metric.bounds), value.sum)
        return histogram
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(metric.name, metric.text, labels=metric.labels)
    for labels, value in values.items():
        assert not isinstance(value, Distribution)
        family.add_metric(labels, value)
    return family


def cumulative(distribution: Distribution, bounds: Sequence[float]) -> list[tuple[str, float]]:
    """As Prometheus wants it: each bound with the count of values up to it."""
    counts = distribution.counts or (0,) * (len(bounds) + 1)
    names = [*(f"{float(bound)}" for bound in bounds), "+Inf"]
    return list(zip(names, map(float, accumulate(counts)), strict=True))
