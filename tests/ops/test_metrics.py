"""What /metrics serves, read by Prometheus' own parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bridge.core.view import LaneState
from bridge.ops.catalogue import METRICS, WORDS, Metric, metrics_table, words_table
from bridge.ops.metrics import Metrics
from bridge.ops.snapshot import Snapshot
from bridge.ops.state import State, state_document
from bridge.ops.totals import Distribution, Totals, Work
from bridge.records import TopicPartition
from tests.ops.samples import ACTIVE, IDLE, RUNNING, TP, WALL_MS, document
from tests.ops.test_health import NOW, STUCK, WELL

WORK = Work(
    finished=7,
    batches={"size": 2, "timeout": 1},
    sizes=Distribution((0, 1, 0, 2, *[0] * 9), 22.0),
    round_trips=Distribution((*[0] * 14, 3), 900.0),
    failures={"timeout": 4},
    retries=5,
    disposed={"rejected": 6},
    letters_pending=8,
    handoffs=9,
)
TOTALS = Totals(
    topics={"orders": WORK},
    commits=10,
    commit_errors=11,
    rebalance_counts={"lost": 12},
    errors={"celery": 13},
)
ORDERS = {"topic": "orders", "partition": "1"}


def _state(totals: Totals = TOTALS) -> State:
    return state_document(
        [ACTIVE],
        bridge_id="b",
        ends={TP: 100},
        queue_of=lambda tp, lane: f"lane-{lane}",
        wall_ms=WALL_MS,
        totals=totals,
    )


class Page:
    """What is served at a moment."""

    def __init__(self, snapshot: Snapshot, now: float = NOW, wall: float = WALL_MS / 1000) -> None:
        metrics = Metrics(snapshot, lambda: now, lambda: wall)
        self.text = metrics.text().decode()
        self.families = list(text_string_to_metric_families(self.text))

    @property
    def samples(self) -> Iterator[Sample]:
        return (sample for family in self.families for sample in family.samples)

    def value(self, name: str, **labels: str) -> float:
        (found,) = [each.value for each in self.samples if each.name == name and each.labels == labels]
        return found

    def has(self, name: str) -> bool:
        return any(sample.name == name for sample in self.samples)


@pytest.fixture
def snapshot() -> Snapshot:
    snapshot = Snapshot(started=NOW)
    snapshot.update(_state(), WELL)
    return snapshot


@pytest.fixture
def page(snapshot: Snapshot) -> Page:
    return Page(snapshot)


def _sample_names(metric: Metric) -> set[str]:
    return (
        {f"{metric.name}_{end}" for end in ("bucket", "sum", "count")} if metric.kind == "histogram" else {metric.name}
    )


def test_every_metric_of_the_catalogue_is_served_as_it_says_and_no_other(page: Page) -> None:
    own = [sample for sample in page.samples if sample.name.startswith("lanebridge_")]
    assert {sample.name for sample in own} == set().union(*map(_sample_names, METRICS))
    for metric in METRICS:
        found = [set(sample.labels) - {"le"} for sample in own if sample.name in _sample_names(metric)]
        assert all(labels == set(metric.labels) for labels in found), metric.name
        assert f"# HELP {metric.name} {metric.text}\n" in page.text
        assert f"# TYPE {metric.name} {metric.kind}\n" in page.text


def test_names_say_their_kind_and_unit() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"lanebridge_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert bool(metric.bounds) == (metric.kind == "histogram"), metric.name
        assert not metric.words or metric.words in WORDS, metric.name
        assert "seconds" not in metric.unit or metric.name.endswith("_seconds"), metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_every_state_of_a_lane_has_its_place() -> None:
    assert sorted(WORDS["state"]) == sorted(get_args(LaneState))


def test_the_five_offsets_and_the_oldest_record_of_a_partition(page: Page) -> None:
    offsets = ("committed_offset", "position_offset", "fetched_offset", "end_offset", "lag")
    assert [page.value(f"lanebridge_{name}", **ORDERS) for name in offsets] == [80, 85, 90, 100, 20]
    assert page.value("lanebridge_oldest_unfinished_age_seconds", **ORDERS) == 1.5
    assert page.value("lanebridge_held_bytes", **ORDERS) == 1234
    assert page.value("lanebridge_buffered_records", **ORDERS) == 4


def test_lanes_are_counted_by_state_and_the_worst_one_stands_for_its_partition() -> None:
    snapshot = Snapshot(started=NOW)
    lanes = (
        RUNNING,
        replace(IDLE, lane=1, state="stalled"),
        replace(IDLE, lane=2, state="paused"),
        replace(IDLE, lane=3),
    )
    snapshot.update(document(replace(ACTIVE, lanes=lanes, is_full=True)), WELL)
    page = Page(snapshot)
    counted = {each.labels["state"]: each.value for each in page.samples if each.name == "lanebridge_lanes"}
    assert {state: count for state, count in counted.items() if count} == dict.fromkeys(
        ("running", "stalled", "paused", "idle"), 1
    )
    assert page.value("lanebridge_partition_state", **ORDERS, state="stalled") == 1
    reasons = {each.labels["reason"]: each.value for each in page.samples if each.name == "lanebridge_paused_lanes"}
    assert reasons == {"operator": 1, "full_buffer": 4, "stopped": 0, "stalled": 1}
    assert page.value("lanebridge_chains_in_flight", topic="orders") == 1


def test_what_was_counted_is_served(page: Page) -> None:
    assert page.value("lanebridge_records_finished_total", topic="orders") == 7
    assert page.value("lanebridge_batches_total", topic="orders", trigger="size") == 2
    assert page.value("lanebridge_chain_failures_total", topic="orders", kind="timeout") == 4
    assert page.value("lanebridge_retries_total", topic="orders") == 5
    assert page.value("lanebridge_records_disposed_total", topic="orders", disposition="rejected") == 6
    assert page.value("lanebridge_dead_letters_pending", topic="orders") == 8
    assert page.value("lanebridge_chains_adopted_total", topic="orders") == 9
    assert page.value("lanebridge_commits_total") == 10
    assert page.value("lanebridge_commit_errors_total") == 11
    assert page.value("lanebridge_rebalances_total", kind="lost") == 12
    assert page.value("lanebridge_errors_total", service="celery") == 13


def test_histograms_are_cumulative(page: Page) -> None:
    name = "lanebridge_batch_size_records"
    buckets = {each.labels["le"]: each.value for each in page.samples if each.name == f"{name}_bucket"}
    assert [buckets[le] for le in ("1.0", "2.0", "5.0", "10.0", "+Inf")] == [0, 1, 1, 3, 3]
    assert (page.value(f"{name}_count", topic="orders"), page.value(f"{name}_sum", topic="orders")) == (3, 22)
    trips = {each.labels["le"]: each.value for each in page.samples if each.name.endswith("round_trip_seconds_bucket")}
    assert (trips["300.0"], trips["+Inf"]) == (0, 3)


def test_counters_begin_with_0_for_every_word_so_that_the_first_one_is_an_increase() -> None:
    snapshot = Snapshot(started=NOW)
    snapshot.update(_state(Totals()), WELL)
    page = Page(snapshot)
    for metric in (each for each in METRICS if each.kind == "counter"):
        found = [sample for sample in page.samples if sample.name == metric.name]
        assert len(found) == (len(WORDS[metric.words]) if metric.words else 1), metric.name
        assert {sample.value for sample in found} == {0}, metric.name


def test_what_is_not_known_is_missing_and_not_0() -> None:
    snapshot = Snapshot(started=NOW)
    lane = replace(IDLE, state="adopting", buffered=1)
    snapshot.update(document(replace(ACTIVE, committed=None, position=None, lanes=(lane,)), ends={}), WELL)
    page = Page(snapshot)
    for name in ("committed_offset", "position_offset", "end_offset", "lag", "oldest_unfinished_age_seconds"):
        assert not page.has(f"lanebridge_{name}")
    assert page.value("lanebridge_fetched_offset", **ORDERS) == 90


def test_a_bridge_that_still_starts_says_so_and_nothing_about_services() -> None:
    page = Page(Snapshot(started=NOW))
    assert (page.value("lanebridge_alive"), page.value("lanebridge_ready")) == (1, 0)
    assert not page.has("lanebridge_kafka_up")
    assert not page.has("lanebridge_ledger_up")


def test_a_loop_that_stands_is_seen_and_its_records_grow_older(snapshot: Snapshot) -> None:
    snapshot.update(_state(), STUCK)
    page = Page(snapshot, wall=WALL_MS / 1000 + 100)
    assert (page.value("lanebridge_alive"), page.value("lanebridge_ready")) == (0, 0)
    assert page.value("lanebridge_loop_turn_age_seconds") == 20
    assert page.value("lanebridge_oldest_unfinished_age_seconds", **ORDERS) == 101.5


def test_a_lane_without_records_has_no_age_however_old_the_state_is() -> None:
    snapshot = Snapshot(started=NOW)
    snapshot.update(document(replace(ACTIVE, lanes=(IDLE,))), WELL)
    page = Page(snapshot, wall=WALL_MS / 1000 + 100)
    assert page.value("lanebridge_oldest_unfinished_age_seconds", **ORDERS) == 0


def test_services_that_do_not_answer_and_the_brake(snapshot: Snapshot) -> None:
    page = Page(snapshot)
    names = ("kafka_up", "ledger_up", "brake_holding")
    assert [page.value(f"lanebridge_{name}") for name in names] == [1, 1, 0]
    snapshot.update(_state(), replace(WELL, kafka_trouble="no broker", ledger_answers=False, brake_holds=True))
    page = Page(snapshot)
    assert [page.value(f"lanebridge_{name}") for name in names] == [0, 0, 1]


def test_the_number_of_series_does_not_grow_with_lanes_or_errors() -> None:
    def series(lanes: int) -> int:
        snapshot = Snapshot(started=NOW)
        many = tuple(replace(RUNNING, lane=index, last_error=f"error {index}") for index in range(lanes))
        snapshot.update(document(replace(ACTIVE, lanes=many)), WELL)
        return len(list(Page(snapshot).samples))

    assert series(1) == series(300)


def test_a_topic_whose_partitions_have_gone_keeps_its_counters(snapshot: Snapshot) -> None:
    state = state_document([], bridge_id="b", ends={}, queue_of=lambda tp, lane: "", wall_ms=WALL_MS, totals=TOTALS)
    snapshot.update(state, WELL)
    page = Page(snapshot)
    assert page.value("lanebridge_records_finished_total", topic="orders") == 7
    assert page.value("lanebridge_partitions") == 0
    assert not page.has("lanebridge_lag")


def test_names_of_topics_are_escaped_by_the_client() -> None:
    snapshot = Snapshot(started=NOW)
    snapshot.update(document(replace(ACTIVE, tp=TopicPartition('a"b\\c', 0))), WELL)
    assert Page(snapshot).value("lanebridge_committed_offset", topic='a"b\\c', partition="0") == 80


def test_the_pages_tables_have_a_row_for_each_metric_and_each_list_of_words() -> None:
    rows = metrics_table().splitlines()
    assert len(rows) == len(METRICS) + 2
    assert "| `lanebridge_retries_total` | counter | chains | `topic` |" in metrics_table()
    assert len(words_table().splitlines()) == len(WORDS) + 2
