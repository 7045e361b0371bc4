"""What the runtime is given to run: the declaration of one bridge as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from bridge.ledger.compression import Compression
from bridge.records import PipelineRules
from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """One link of a pipeline's chain: the task's name, what follows the record or batch, and message options
    (`queue`, `priority`, `time_limit`, `soft_time_limit`)."""

    task: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """One pipeline; `topics` are names, or regular expressions that begin with ^. `on_failed` is the only link of the
    chains that ask what becomes of records that are given up (None: nobody is asked); `compression` is that of its
    chains' payloads."""

    rules: PipelineRules
    topics: tuple[str, ...]
    links: tuple[LinkPlan, ...]
    on_failed: LinkPlan | None = None
    compression: Compression = "none"


@dataclass(frozen=True, slots=True)
class Plan:
    """One bridge. `ledger_url` is never shown."""

    app: Celery
    settings: Settings
    pipelines: tuple[PipelinePlan, ...]
    ledger_url: str = field(repr=False)
