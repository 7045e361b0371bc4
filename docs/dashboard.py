"""The Grafana dashboard, grafana.json, from its rows and panels: `./run docs` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

#: a dashboard is this wide, and a panel this high
WIDTH, HEIGHT = 24, 8

BRIDGE = 'job="$job"'
TOPIC = 'job="$job",topic=~"$topic"'

_TROUBLE = "stopped|stalled"
_BY_STATE = {"stopped": "red", "stalled": "orange", "paused": "purple", "retrying": "yellow"}


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries` are pairs of an expression and what a line is called."""

    title: str
    text: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    #: a number at and above which it is red ("" none): 0 stands for what must not be
    bad_from: float | None = None
    stacked: bool = False


def rate(metric: str, by: str, labels: str = TOPIC) -> str:
    """Per second, over the bridges."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(which: float, metric: str) -> str:
    """Of a histogram, by topic."""
    return f"histogram_quantile({which}, {rate(f'{metric}_bucket', 'topic, le')})"


def stat(title: str, text: str, expression: str, *, unit: str = "short", bad_from: float | None = None) -> Panel:
    """One number."""
    return Panel(title, text, [(expression, "")], unit, "stat", 4, bad_from)


_FINISHED = rate("lanebridge_records_finished_total", "topic")
_ROUND_TRIP = "lanebridge_chain_round_trip_seconds"

ROWS: dict[str, list[Panel]] = {
    "Now": [
        stat("Bridges ready", "Of all bridges that are scraped.", f"sum(lanebridge_ready{{{BRIDGE}}})"),
        stat(
            "Lanes that need somebody",
            "Stopped or stalled: lanebridge lanes says why.",
            f'sum(lanebridge_lanes{{{TOPIC},state=~"{_TROUBLE}"}})',
            bad_from=1,
        ),
        stat("Lag", "Offsets behind the ends of the logs.", f"sum(lanebridge_lag{{{TOPIC}}})"),
        stat(
            "Oldest unfinished record",
            "Over all partitions.",
            f"max(lanebridge_oldest_unfinished_age_seconds{{{TOPIC}}})",
            unit="s",
            bad_from=300,
        ),
        stat(
            "Dead letters on their way",
            "Not acknowledged by the broker yet; their lanes wait.",
            f"sum(lanebridge_dead_letters_pending{{{TOPIC}}})",
            bad_from=1,
        ),
        stat(
            "Outage brake",
            "1: most lanes fail, no record is given up.",
            f"max(lanebridge_brake_holding{{{BRIDGE}}})",
            bad_from=1,
        ),
    ],
    "Progress": [
        Panel("Records finished", "Per second.", [(_FINISHED, "{{topic}}")]),
        Panel("Lag", "By topic.", [(f"sum by (topic) (lanebridge_lag{{{TOPIC}}})", "{{topic}}")]),
        Panel(
            "Oldest unfinished record",
            "By partition, the ten oldest.",
            [
                (
                    f"topk(10, max by (topic, partition) (lanebridge_oldest_unfinished_age_seconds{{{TOPIC}}}))",
                    "{{topic}}[{{partition}}]",
                )
            ],
            "s",
        ),
        Panel(
            "Round trip of a chain",
            "From dispatch to outcome: queue, all links, notice.",
            [(quantile(which, _ROUND_TRIP), f"{{{{topic}}}} p{which * 100:.0f}") for which in (0.5, 0.95, 0.99)],
            "s",
        ),
        Panel("Batches by trigger", "Per second.", [(rate("lanebridge_batches_total", "trigger"), "{{trigger}}")]),
        Panel(
            "Records in a batch",
            "On average, and 95 % have no more than.",
            [
                (
                    f"{rate('lanebridge_batch_size_records_sum', 'topic')}"
                    f" / {rate('lanebridge_batch_size_records_count', 'topic')}",
                    "{{topic}} average",
                ),
                (quantile(0.95, "lanebridge_batch_size_records"), "{{topic}} p95"),
            ],
        ),
    ],
    "Trouble": [
        Panel(
            "Lanes by state",
            "All bridges.",
            [(f"sum by (state) (lanebridge_lanes{{{TOPIC}}})", "{{state}}")],
            stacked=True,
        ),
        Panel(
            "Lanes that do not go on",
            "An operator paused them, the buffer is full, they stopped, they stalled.",
            [(f"sum by (reason) (lanebridge_paused_lanes{{{TOPIC}}})", "{{reason}}")],
        ),
        Panel(
            "Partitions in trouble",
            "The worst state of their lanes.",
            [
                (
                    f'max by (topic, partition, state) (lanebridge_partition_state{{{TOPIC},state=~"{_TROUBLE}"}})',
                    "{{topic}}[{{partition}}] {{state}}",
                )
            ],
        ),
        Panel(
            "Chains that failed, and retries",
            "Per second.",
            [
                (rate("lanebridge_chain_failures_total", "kind"), "{{kind}}"),
                (rate("lanebridge_retries_total", "topic"), "retries of {{topic}}"),
            ],
        ),
        Panel(
            "Records given up",
            "In five minutes.",
            [
                (
                    f"sum by (topic, disposition) (increase(lanebridge_records_disposed_total{{{TOPIC}}}[5m]))",
                    "{{topic}} {{disposition}}",
                )
            ],
        ),
        Panel(
            "Services that do not answer",
            "Steps per second that had to be repeated; 0 and 1: Kafka and ledger as each bridge sees them.",
            [
                (rate("lanebridge_errors_total", "service", BRIDGE), "{{service}}"),
                (f"lanebridge_kafka_up{{{BRIDGE}}}", "Kafka {{instance}}"),
                (f"lanebridge_ledger_up{{{BRIDGE}}}", "ledger {{instance}}"),
            ],
        ),
    ],
    "Group": [
        Panel(
            "Committed, finished, fetched",
            "How far behind the end of the log each offset is, by topic.",
            [
                (
                    f"sum by (topic) (lanebridge_end_offset{{{TOPIC}}} - lanebridge_{name}_offset{{{TOPIC}}})",
                    f"{{{{topic}}}} {name}",
                )
                for name in ("committed", "position", "fetched")
            ],
        ),
        Panel(
            "Commits",
            "Per second.",
            [
                (rate("lanebridge_commits_total", "instance", BRIDGE), "{{instance}}"),
                (rate("lanebridge_commit_errors_total", "instance", BRIDGE), "{{instance}} errors"),
            ],
        ),
        Panel(
            "Rebalances and handoffs",
            "In five minutes.",
            [
                (f"sum by (kind) (increase(lanebridge_rebalances_total{{{BRIDGE}}}[5m]))", "{{kind}}"),
                (
                    f"sum by (topic) (increase(lanebridge_chains_adopted_total{{{TOPIC}}}[5m]))",
                    "chains of {{topic}} adopted",
                ),
            ],
        ),
    ],
    "Bridges": [
        Panel("Partitions", "Of each bridge.", [(f"lanebridge_partitions{{{BRIDGE}}}", "{{instance}}")], width=6),
        Panel(
            "In flight and waiting",
            "Chains in flight, records behind them.",
            [
                (f"sum by (instance) (lanebridge_chains_in_flight{{{TOPIC}}})", "{{instance}} chains"),
                (f"sum by (instance) (lanebridge_buffered_records{{{TOPIC}}})", "{{instance}} records"),
            ],
            width=6,
        ),
        Panel(
            "Memory",
            "Of records held, and of the process.",
            [
                (f"sum by (instance) (lanebridge_held_bytes{{{TOPIC}}})", "{{instance}} held"),
                (f"process_resident_memory_bytes{{{BRIDGE}}}", "{{instance}} process"),
            ],
            "bytes",
            width=6,
        ),
        Panel(
            "Loop and age",
            "Since the loop turned, and since the bridge started.",
            [
                (f"lanebridge_loop_turn_age_seconds{{{BRIDGE}}}", "{{instance}} loop"),
                (f"time() - lanebridge_start_time_seconds{{{BRIDGE}}}", "{{instance}} since start"),
                (f"lanebridge_alive{{{BRIDGE}}}", "{{instance}} alive"),
                (f"lanebridge_build_info{{{BRIDGE}}}", "{{instance}} version {{version}}"),
            ],
            "s",
            width=6,
        ),
    ],
}


def write() -> str:
    """The file's text."""
    dashboard = {
        "uid": "lanebridge",
        "title": "Lanebridge",
        "description": "Kafka partitions carried into Celery in order: docs/metrics.md says what each number means.",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    query = {"type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1}
    yield {**query, "name": "job", "label": "Job", "query": "label_values(lanebridge_alive, job)"}
    topics = 'label_values(lanebridge_lanes{job="$job"}, topic)'
    yield {
        **query,
        "name": "topic",
        "label": "Topic",
        "query": topics,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }


def _panels() -> Iterator[dict[str, Any]]:
    y, number = 0, 0
    for name, panels in ROWS.items():
        number += 1
        yield {"id": number, "type": "row", "title": name, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + HEIGHT
            number += 1
            yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": HEIGHT})
            x += panel.width
        y += HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend or "__auto"}
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.bad_from is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.bad_from}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.stacked:
        defaults["custom"] = {"stacking": {"mode": "normal"}, "fillOpacity": 30}
    overrides = [
        {
            "matcher": {"id": "byName", "options": state},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for state, color in _BY_STATE.items()
        if panel.stacked
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "targets": targets,
    }
