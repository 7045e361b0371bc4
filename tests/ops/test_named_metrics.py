"""What alerts and dashboard name exists: metrics, labels, and the words that labels are compared with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridge.ops.catalogue import METRICS, WORDS, Metric
from tests.ops.test_alerts import ORDERS, RULES, TARGET, _series, health
from tests.promtool import WHY_NOT, promtool

DASHBOARD = json.loads(RULES.with_name("grafana.json").read_text())

BY_NAME = {f"{metric.name}{end}": metric for metric in METRICS for end in ("", "_bucket", "_sum", "_count")}
#: what Prometheus adds to every series, what a histogram's buckets have, what the process' own metrics need
ALWAYS = {*TARGET, "le"}
#: metrics that are not the bridge's own
FOREIGN = {"up", "process_resident_memory_bytes"}
PROMQL = frozenset(
    re.findall(
        r"\w+",
        "absent and changes count delta by for ignoring increase max rate sum time topk unless histogram_quantile "
        "label_values",
    )
)


class Query(NamedTuple):
    """An expression, and the labels that the text beside it names."""

    expression: str
    shown: frozenset[str]


def _of_rules() -> Iterator[Query]:
    for rule in re.split(r"- alert: ", RULES.read_text())[1:]:
        (expression,) = re.findall(r"expr: (?:>-\n)?(.*?)\n +(?:for|labels):", rule, re.DOTALL)
        yield Query(expression, frozenset(re.findall(r"\$labels\.(\w+)", rule)))


def _of_dashboard() -> Iterator[Query]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield Query(target["expr"], frozenset(re.findall(r"{{(\w+)}}", target["legendFormat"])))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield Query(variable["query"], frozenset())


QUERIES = [*_of_rules(), *_of_dashboard()]


def _names(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"|{[^}]*}|\[[^]]*]|by \([^)]*\)|ignoring \([^)]*\)|, \w+\)$', " ", expression)
    return set(re.findall(r"\b[a-z_][a-z_0-9]*\b", bare)) - PROMQL


def _selectors(expression: str) -> Iterator[tuple[Metric, list[tuple[str, str]]]]:
    for name, inner in re.findall(r"(lanebridge_\w+){([^}]*)}", expression):
        yield BY_NAME[name], re.findall(r'(\w+)[=!~]+"([^"]*)"', inner)


def test_there_are_expressions() -> None:
    assert len(list(_of_rules())) == RULES.read_text().count("- alert:") > 10
    assert len(list(_of_dashboard())) > 30


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_every_metric_that_is_named_is_in_the_catalogue(query: Query) -> None:
    assert _names(query.expression) - FOREIGN <= set(BY_NAME)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression[:60])
def test_every_label_that_is_named_belongs_to_its_metric(query: Query) -> None:
    for metric, pairs in _selectors(query.expression):
        assert {label for label, _ in pairs} <= {*metric.labels, *ALWAYS}
        for label, value in pairs:
            if metric.words and label == metric.labels[-1]:
                assert set(value.split("|")) <= set(WORDS[metric.words]), value
    named = [BY_NAME[name] for name in _names(query.expression) if name in BY_NAME]
    known = ALWAYS.union(*(metric.labels for metric in named))
    grouped = {
        label.strip()
        for each in re.findall(r"(?:by|ignoring) \(([^)]*)\)", query.expression)
        for label in each.split(",")
    }
    assert grouped | query.shown <= known


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set().union(*(_names(query.expression) for query in _of_dashboard()))
    assert {BY_NAME[name] for name in shown if name in BY_NAME} == set(METRICS)


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_every_panel_shows_something_of_a_bridge(tmp_path: Path) -> None:
    stalled = _series("lanebridge_partition_state", {**ORDERS, "state": "stalled"})
    memory = _series("process_resident_memory_bytes", {})
    series = {**health(), stalled: "1x60", memory: "1x60"}
    replaced = {"$__rate_interval": "5m", "$job": TARGET["job"], "$topic": ".*"}
    tests = []
    for target in (target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())):
        expression = target["expr"]
        for variable, value in replaced.items():
            expression = expression.replace(variable, value)
        tests.append(
            {
                "expr": f"count({expression}) >= bool 1",
                "eval_time": "30m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
        )
    path = tmp_path / "test.yml"
    given = [{"series": key, "values": values} for key, values in series.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": tests}
    path.write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", path)
