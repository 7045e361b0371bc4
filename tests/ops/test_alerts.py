"""The alert rules, judged by promtool: each one fires in its trouble and no other does, and none in health.

Health is what a bridge serves that does its work, with counters and offsets that move; a trouble is a few of these
series with other values.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.ops.metrics import Metrics
from bridge.ops.snapshot import Snapshot
from tests.ops.samples import ACTIVE, WALL_MS, document
from tests.ops.test_health import NOW, WELL
from tests.promtool import WHY_NOT, promtool

RULES = Path(__file__).parents[2] / "docs" / "alerts.yml"
ORDERS = {"topic": "orders", "partition": "1"}
TARGET = {"instance": "bridge-1:8080", "job": "lanebridge"}

#: minutes that pass, a value each
MINUTES = 360

#: metrics that move while all is well, by how much each minute
MOVING = {
    "lanebridge_committed_offset": 5,
    "lanebridge_position_offset": 5,
    "lanebridge_fetched_offset": 5,
    "lanebridge_end_offset": 5,
    "lanebridge_records_finished_total": 5,
    "lanebridge_commits_total": 2,
    "lanebridge_batches_total": 1,
}

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def _series(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted({**labels, **TARGET}.items())) + "}"


def health() -> dict[str, str]:
    """Every series of a bridge that is well, in promtool's notation."""
    snapshot = Snapshot(started=NOW)
    snapshot.update(document(ACTIVE), WELL)
    text = Metrics(snapshot, lambda: NOW, lambda: WALL_MS / 1000).text().decode()
    found = {_series("up", {}): f"1x{MINUTES}"}
    for sample in (each for family in text_string_to_metric_families(text) for each in family.samples):
        step = MOVING.get(sample.name, 0)
        found[_series(sample.name, sample.labels)] = f"{sample.value:.3f}+{step}x{MINUTES}"
    return found


@dataclass(frozen=True)
class Trouble:
    """`values` replace those of series, named by metric and a label's value; series whose names begin with `gone` are
    not there, those of `more` are there as well. At minute `at` exactly `alerts` fire."""

    alerts: frozenset[str]
    values: dict[str, str]
    at: int = 60
    gone: str = "?"
    more: dict[str, str] = field(default_factory=dict)

    def series(self) -> dict[str, str]:
        """Health, with these values instead."""
        found = {key: value for key, value in health().items() if not key.startswith(self.gone)}
        for wanted, values in self.values.items():
            name, _, label = wanted.partition("__")
            (matching,) = (key for key in found if key.startswith(f"{name}{{") and (not label or f'"{label}"' in key))
            found[matching] = values
        return {**found, **self.more}


def _always(value: float) -> str:
    return f"{value}x{MINUTES}"


def _from(minute: int, value: float, before: float = 0) -> str:
    return f"{before}x{minute - 1} {value}x{MINUTES - minute}"


def _trouble(*alerts: str, at: int = 60, gone: str = "?", more: dict[str, str] | None = None, **values: str) -> Trouble:
    """Values by the metric's name without its prefix, `name__word` for one of several series."""
    return Trouble(frozenset(alerts), {f"lanebridge_{key}": each for key, each in values.items()}, at, gone, more or {})


TROUBLES = {
    "no bridge": Trouble(frozenset({"LanebridgeNone", "LanebridgeDown"}), {"up": _always(0)}, gone="lanebridge_"),
    "one bridge of two": Trouble(
        frozenset({"LanebridgeDown"}), {}, more={'up{instance="b",job="lanebridge"}': _always(0)}
    ),
    "the loop stands": _trouble("LanebridgeLoopStands", "LanebridgeNone", at=30, alive=_from(27, 0, 1)),
    "not ready": _trouble("LanebridgeNotReady", ready=_from(50, 0, 1)),
    "a lane has stopped": _trouble("LanebridgeLaneStopped", lanes__stopped=_from(58, 1)),
    "a lane stalls": _trouble("LanebridgeLaneStalled", lanes__stalled=_from(57, 1)),
    "a pause is forgotten": _trouble("LanebridgeLanePausedLong", at=300, paused_lanes__operator=_from(50, 3)),
    "records grow old": _trouble("LanebridgeRecordsGrowOld", oldest_unfinished_age_seconds=f"0+60x{MINUTES}"),
    "nothing is committed": _trouble("LanebridgeNoCommits", committed_offset=_always(80)),
    "commits are refused": _trouble("LanebridgeCommitErrors", commit_errors_total=f"0+2x{MINUTES}"),
    "Kafka is silent": _trouble("LanebridgeKafkaUnreachable", kafka_up=_from(57, 0, 1)),
    "Redis is silent": _trouble("LanebridgeLedgerUnreachable", ledger_up=_from(58, 0, 1)),
    "the workers' broker fails": _trouble("LanebridgeServiceErrors", errors_total__celery=f"0+1x{MINUTES}"),
    "the brake holds": _trouble("LanebridgeBrakeHolds", brake_holding=_from(58, 1)),
    "a record is given up": _trouble("LanebridgeRecordsGivenUp", records_disposed_total__rejected=_from(55, 1)),
    "a dead letter is not taken": _trouble("LanebridgeDeadLettersNotWritten", dead_letters_pending=_from(57, 1)),
    "rebalance after rebalance": _trouble("LanebridgeRebalancesOften", rebalances_total__lost=f"0+1x{MINUTES}"),
}

#: what passes by itself, or is wanted: nobody is woken
QUIET = {
    "health": _trouble(at=330),
    "a bridge starts": _trouble(at=3, ready=f"0x1 1x{MINUTES}", gone="lanebridge_kafka_up"),
    "a lane stalls for a minute": _trouble(lanes__stalled=f"0x57 1 0x{MINUTES}"),
    "a backlog is worked off": _trouble(oldest_unfinished_age_seconds=f"0x39 3600-100x20 1500-100x10 0x{MINUTES}"),
    "a paused partition commits nothing": _trouble(
        committed_offset=_always(80),
        gone="lanebridge_partition_state",
        more={_series("lanebridge_partition_state", {**ORDERS, "state": "paused"}): _always(1)},
    ),
    "a service that failed once": _trouble(errors_total__ledger=_from(54, 3), at=59),
    "a pause for an hour": _trouble(paused_lanes__operator=_from(2, 3)),
    "a deploy": _trouble(rebalances_total__revoked=f"0x57 1 2 3x{MINUTES}", commit_errors_total=f"0x57 1 2x{MINUTES}"),
    "a dead letter is under way": _trouble(dead_letters_pending=f"0x59 1 0x{MINUTES}"),
}


def _ask(trouble: Trouble, directory: Path) -> None:
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(trouble.alerts)]
    firing = {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{trouble.at}m",
        "exp_samples": expected,
    }
    series = [{"series": key, "values": values} for key, values in trouble.series().items()]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [firing]}
    path = directory / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", path)


@pytest.mark.parametrize("name", TROUBLES)
def test_in_each_trouble_its_alert_fires_and_no_other(name: str, tmp_path: Path) -> None:
    assert TROUBLES[name].alerts
    _ask(TROUBLES[name], tmp_path)


@pytest.mark.parametrize("name", QUIET)
def test_nothing_fires_in_health_or_for_what_passes(name: str, tmp_path: Path) -> None:
    assert not QUIET[name].alerts
    _ask(QUIET[name], tmp_path)


def test_every_alert_has_its_trouble() -> None:
    named = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert sorted(named) == sorted(frozenset().union(*(trouble.alerts for trouble in TROUBLES.values())))


def test_promtool_finds_the_rules_in_order_and_says_so_when_an_alert_is_missing(tmp_path: Path) -> None:
    assert "rules found" in promtool("check", "rules", RULES)
    with pytest.raises(AssertionError, match="LanebridgeBrakeHolds"):
        _ask(Trouble(frozenset({"LanebridgeBrakeHolds"}), {}), tmp_path)
