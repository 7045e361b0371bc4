"""Plans made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery

from bridge.ledger.compression import Compression
from bridge.records import PipelineRules
from bridge.runtime.plan import LinkPlan, PipelinePlan, Plan
from bridge.settings import resolve


def pipeline(
    name: str,
    *topics: str,
    on_failed: LinkPlan | None = None,
    compression: Compression = "none",
    **rules: Any,
) -> PipelinePlan:
    """A pipeline of one link, named after its task; `rules` are fields of PipelineRules."""
    hook = "" if on_failed is None else on_failed.task
    of_core = PipelineRules(name, (name,), on_failed=hook, **rules)
    return PipelinePlan(of_core, topics, (LinkPlan(name),), on_failed, compression)


def plan(*pipelines: PipelinePlan, redis_url: str = "redis://127.0.0.1:1/0", **settings: Any) -> Plan:
    """A bridge of the group `g`, on no servers unless they are given; `settings` are options of the bridge."""
    command_line: Mapping[str, object] = {"group_id": "g", "ledger_url": redis_url, **settings}
    app = Celery("plans", broker=redis_url, set_as_current=False)
    return Plan(app, resolve(command_line, {}, {}).settings, pipelines, redis_url)
