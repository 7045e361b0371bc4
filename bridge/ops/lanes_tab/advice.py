"""What to do about a lane: one sentence beside the reason, for a person at night."""

from __future__ import annotations

from bridge.ops.state import Lane


def advice(lane: Lane) -> str:
    """What helps, "" when there is nothing to do."""
    if lane.state == "stopped":
        return _stopped(lane)
    if lane.state == "stalled":
        return "Repair what the reason names; the lane then goes on by itself, no restart is needed."
    if lane.state == "paused":
        return "A person has paused it; resume it when what they waited for is done. Nothing is lost meanwhile."
    if lane.state == "retrying":
        return _retrying(lane)
    return ""


def _stopped(lane: Lane) -> str:
    repair = "Repair what the error names and restart the workers if their code changes, then retry now"
    if not lane.at_stake:
        return f"{repair}."
    return f"{repair}. Or skip record {lane.at_stake[0]}: then it is never handled."


def _retrying(lane: Lane) -> str:
    if lane.retry_in_seconds is None:
        return ""
    return "It is tried again by itself. Is the cause repaired already? Then retry now."
