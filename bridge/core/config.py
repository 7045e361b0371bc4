"""What the core must know of the bridge it belongs to. Frozen; the runtime fills it from the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.core.failures import Limits
from bridge.core.watch import WatchTimes
from bridge.records import PipelineRules, TopicPartition


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """What the core must know; durations in seconds, sizes in bytes.

    `rules_of` finds the pipeline of a topic, `queue_of(tp, lane, link)` the Celery queue of a link (0: of the on_failed
    task). No record is given up for `brake_limit` while at least `brake_lanes` lanes fail (see brake.py). A core that
    was given no event for `frozen_after` (the group's session time-out) may have been counted out meanwhile.
    """

    group: str
    rules_of: Callable[[str], PipelineRules]
    queue_of: Callable[[TopicPartition, int, int], str]
    start_from: str = "earliest"
    commit_interval: float = 0.0
    buffer_bytes: int = 48 * 1024 * 1024
    in_flight_bytes: int = 64 * 1024 * 1024
    frozen_after: float = 10.0
    brake_limit: float = 600.0
    brake_lanes: int = 3
    times: WatchTimes = field(default_factory=WatchTimes)
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
