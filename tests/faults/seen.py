"""What a row can tell about its bridges from their own lines while they run."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.rig import Process
from tests.faults.stage import Stage


def told(stage: Stage, bridge: Process, *events: str) -> list[dict[str, Any]]:
    """The lines of these events that this process has written so far."""
    path = stage.rig.history / f"{bridge.pid}.jsonl"
    if not path.exists():
        return []
    # the last line may be half there: what has no end yet is left for the next look
    whole = path.read_text().rpartition("\n")[0].splitlines()
    return [line for line in map(json.loads, whole) if line["event"] in events]


def starts(stage: Stage, bridge: Process) -> int:
    """How often this process has begun to read a partition that it was given."""
    return sum(not line["relocated"] for line in told(stage, bridge, "start"))


def await_shared(stage: Stage, timeout: float = 60.0) -> None:
    """Wait until every bridge has a share of the partitions, so that no rebalance is under way."""

    def is_shared() -> bool:
        held = [holds(stage, bridge) for bridge in stage.bridges.values()]
        return all(held) and sum(len(own) for own in held) == stage.setup.partitions

    stage.rig.until(is_shared, timeout, "every bridge has its share", step=0.2)


def holds(stage: Stage, bridge: Process) -> set[tuple[str, int]]:
    """The partitions that this process reads."""
    own: set[tuple[str, int]] = set()
    for line in told(stage, bridge, "start", "revoked", "lost"):
        if line["event"] == "start":
            own.add((line["topic"], line["partition"]))
        else:
            own -= {(topic, partition) for topic, partition in line["partitions"]}
    return own
