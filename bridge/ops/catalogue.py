"""Every metric of a bridge, once: what `/metrics` serves, what docs/metrics.md shows, what alerts may name.

Labels are bounded: topics, partitions, and words from fixed lists. Lanes of key-ordered partitions are added up; chain
ids and error texts are in the logs and in `/api/lanes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bridge.entries import Disposition, FailureKind
from bridge.ops.metering import REBALANCE_KINDS, SERVICES, SKIPPED
from bridge.ops.state import WORST_FIRST
from bridge.ops.totals import SECONDS_BOUNDS, SIZE_BOUNDS

Kind = Literal["gauge", "counter", "histogram"]

#: where a value comes from: the bridge's state as it was published last (once a second), what it has counted since it
#: started, or the moment of the question
Source = Literal["state", "counted", "now"]

#: why lanes do not go on: a person wants it so, no room for more records, a policy, something that they wait for
PAUSE_REASONS = ("operator", "full_buffer", "stopped", "stalled")

TRIGGERS = ("size", "bytes", "timeout", "predicate", "flush")

#: labels -> all the words that they take, where there is a list; counters begin with 0 for each of them
WORDS: Mapping[str, Sequence[str]] = {
    "state": WORST_FIRST,
    "reason": PAUSE_REASONS,
    "trigger": TRIGGERS,
    "kind of failure": get_args(FailureKind),
    "kind of rebalance": tuple(REBALANCE_KINDS.values()),
    "disposition": (*get_args(Disposition), SKIPPED),
    "service": tuple(SERVICES.values()),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` as it stands in an alert rule (of a histogram: without `_bucket`, `_sum` or `_count`). `unit` is for
    people; `words` names the list in WORDS that its last label takes ("" none); `bounds` are a histogram's."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    text: str
    source: Source
    words: str = ""
    bounds: tuple[float, ...] = ()


_PARTITION = ("topic", "partition")
_TOPIC = ("topic",)

METRICS: tuple[Metric, ...] = (
    # --- offsets, by partition
    Metric(
        "lanebridge_committed_offset",
        "gauge",
        "offset",
        _PARTITION,
        "What the broker has confirmed: the first offset that is not known to be finished.",
        "state",
    ),
    Metric(
        "lanebridge_position_offset",
        "gauge",
        "offset",
        _PARTITION,
        "The first offset that is not finished, which is committed next.",
        "state",
    ),
    Metric("lanebridge_fetched_offset", "gauge", "offset", _PARTITION, "The next offset to come from Kafka.", "state"),
    Metric(
        "lanebridge_end_offset",
        "gauge",
        "offset",
        _PARTITION,
        "The end of the log, asked for every 5 s; it stands still while Kafka does not answer.",
        "state",
    ),
    Metric(
        "lanebridge_lag",
        "gauge",
        "offsets",
        _PARTITION,
        "The end of the log minus the committed offset, gaps in the log included.",
        "state",
    ),
    Metric(
        "lanebridge_oldest_unfinished_age_seconds",
        "gauge",
        "seconds",
        _PARTITION,
        "Age of the oldest unfinished record that the bridge holds, over all lanes of the partition; 0 when it "
        "holds none; missing while that is not known.",
        "state",
    ),
    # --- lanes
    Metric(
        "lanebridge_lanes", "gauge", "lanes", ("topic", "state"), "Lanes of this bridge by state.", "state", "state"
    ),
    Metric(
        "lanebridge_partition_state",
        "gauge",
        "1",
        (*_PARTITION, "state"),
        "Always 1; the label is the state of the lane of this partition that needs somebody most.",
        "state",
        "state",
    ),
    Metric(
        "lanebridge_paused_lanes",
        "gauge",
        "lanes",
        ("topic", "reason"),
        "Lanes that do not go on: an operator paused them, their partition's buffer is full (it fetches no more; "
        "lanes with records go on), they stopped, or they stalled.",
        "state",
        "reason",
    ),
    # --- in flight
    Metric(
        "lanebridge_chains_in_flight",
        "gauge",
        "chains",
        _TOPIC,
        "Chains on their way, at most one for each lane.",
        "state",
    ),
    Metric(
        "lanebridge_held_bytes",
        "gauge",
        "bytes",
        _PARTITION,
        "Memory of the records that the bridge holds, in flight and waiting, about.",
        "state",
    ),
    Metric(
        "lanebridge_buffered_records",
        "gauge",
        "records",
        _PARTITION,
        "Records that wait behind the chains in flight.",
        "state",
    ),
    # --- work
    Metric(
        "lanebridge_records_finished_total",
        "counter",
        "records",
        _TOPIC,
        "Records that are finished: reported by chains of this bridge, dead-lettered with the broker's "
        "acknowledgement, or skipped. Not those of adopted chains.",
        "counted",
    ),
    Metric(
        "lanebridge_batches_total",
        "counter",
        "batches",
        ("topic", "trigger"),
        "Batches dispatched for the first time, by what closed them.",
        "counted",
        "trigger",
    ),
    Metric(
        "lanebridge_batch_size_records",
        "histogram",
        "records",
        _TOPIC,
        "Records of the batches dispatched for the first time.",
        "counted",
        bounds=SIZE_BOUNDS,
    ),
    Metric(
        "lanebridge_chain_round_trip_seconds",
        "histogram",
        "seconds",
        _TOPIC,
        "From a chain's dispatch to its outcome, as the bridge sees both: queue, all links, notice. Every attempt; "
        "not adopted chains, nor those of on_failed.",
        "counted",
        bounds=SECONDS_BOUNDS,
    ),
    Metric(
        "lanebridge_retries_total",
        "counter",
        "chains",
        _TOPIC,
        "Chains with records that had been dispatched before: new attempts, the rest of a batch, parts of one that "
        "is split.",
        "counted",
    ),
    Metric(
        "lanebridge_chain_failures_total",
        "counter",
        "chains",
        ("topic", "kind"),
        "Chains that reported a failure, by kind.",
        "counted",
        "kind of failure",
    ),
    Metric(
        "lanebridge_records_disposed_total",
        "counter",
        "records",
        ("topic", "disposition"),
        "Records that were given up: dead letters that the broker has acknowledged, by disposition, and skipped ones.",
        "counted",
        "disposition",
    ),
    Metric(
        "lanebridge_dead_letters_pending",
        "gauge",
        "records",
        _TOPIC,
        "Dead letters that the broker has not acknowledged yet; their lanes wait.",
        "counted",
    ),
    # --- the group
    Metric(
        "lanebridge_commits_total",
        "counter",
        "commits",
        (),
        "Offset commits that the broker has confirmed; one carries all partitions that have moved.",
        "counted",
    ),
    Metric(
        "lanebridge_commit_errors_total",
        "counter",
        "commits",
        (),
        "Offset commits that were not confirmed, for one partition at least; they are submitted again. Some come "
        "with every rebalance.",
        "counted",
    ),
    Metric(
        "lanebridge_rebalances_total",
        "counter",
        "rebalances",
        ("kind",),
        "How often the group has given or taken partitions, or said that nothing changes.",
        "counted",
        "kind of rebalance",
    ),
    Metric(
        "lanebridge_chains_adopted_total",
        "counter",
        "chains",
        _TOPIC,
        "Handoffs: chains of other owners that this bridge took over.",
        "counted",
    ),
    Metric("lanebridge_partitions", "gauge", "partitions", (), "Partitions that this bridge has.", "state"),
    # --- services
    Metric(
        "lanebridge_errors_total",
        "counter",
        "steps",
        ("service",),
        "Steps that a service did not answer; each is repeated. `celery` is the broker of the workers, `ledger` "
        "its Redis.",
        "counted",
        "service",
    ),
    Metric(
        "lanebridge_kafka_up",
        "gauge",
        "0 or 1",
        (),
        "0 while Kafka does not answer this bridge; missing until the group has answered once.",
        "state",
    ),
    Metric(
        "lanebridge_ledger_up",
        "gauge",
        "0 or 1",
        (),
        "0 while the ledger (Redis) does not answer; missing until the group has answered once.",
        "state",
    ),
    Metric(
        "lanebridge_brake_holding",
        "gauge",
        "0 or 1",
        (),
        "1 while the outage brake holds: most lanes fail, no record is given up.",
        "state",
    ),
    # --- the process
    Metric(
        "lanebridge_alive",
        "gauge",
        "0 or 1",
        (),
        "What /healthz answers: 0 when the loop has not turned for 20 s.",
        "now",
    ),
    Metric("lanebridge_ready", "gauge", "0 or 1", (), "What /readyz answers.", "now"),
    Metric(
        "lanebridge_loop_turn_age_seconds",
        "gauge",
        "seconds",
        (),
        "How long ago the bridge's loop turned, as it said about once a second; whatever comes from the state is "
        "as old.",
        "now",
    ),
    Metric("lanebridge_start_time_seconds", "gauge", "seconds since 1970", (), "When this bridge started.", "now"),
    Metric(
        "lanebridge_build_info",
        "gauge",
        "1",
        ("version", "python", "celery", "confluent_kafka", "redis"),
        "Always 1; the labels are versions.",
        "now",
    ),
)

_SOURCES: Mapping[Source, str] = {"state": "state", "counted": "counted", "now": "the moment"}


def metrics_table() -> str:
    """The page's table."""
    head = "| Metric | Type | Unit | Labels | What it says | From |\n| --- | --- | --- | --- | --- | --- |\n"
    return head + "".join(_row(metric) for metric in METRICS)


def words_table() -> str:
    """The words that labels take."""
    named = {word: metric.labels[-1] for metric in METRICS if (word := metric.words)}
    rows = (f"| `{named[words]}` | {_uses(words)} | {_codes(WORDS[words])} |\n" for words in named)
    return "| Label | Of | Words |\n| --- | --- | --- |\n" + "".join(rows)


def _uses(words: str) -> str:
    return _codes(metric.name for metric in METRICS if metric.words == words)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(metric: Metric) -> str:
    cells = (f"`{metric.name}`", metric.kind, metric.unit, _codes(metric.labels), metric.text, _SOURCES[metric.source])
    return "| " + " | ".join(cells) + " |\n"
