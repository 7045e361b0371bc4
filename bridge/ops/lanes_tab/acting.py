"""What the buttons do: each leaves an instruction for the bridges, never touches a lane itself.

Rules: only what is there can be meant (the target is checked against what the bridges publish); skipping names the
record and the offset is typed again; asking twice is asking once.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Literal

import msgspec

from bridge.errors import LanebridgeError
from bridge.instructions import Pause, Request, RequestAction, Target
from bridge.ledger.operators import Operators
from bridge.ops.lanes_tab.reading import Reading
from bridge.ops.lanes_tab.rows import target_of
from bridge.ops.state import Lane

Topic = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Number = Annotated[int, msgspec.Meta(ge=-1)]
Note = Annotated[str, msgspec.Meta(max_length=200)]


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a button sends. -1 and "" where it says nothing."""

    action: Literal["pause", "resume", "retry", "skip", "withdraw"]
    topic: Topic
    partition: Number = -1
    lane: Number = -1
    offset: Number = -1
    confirm: str = ""
    note: Note = ""
    request: str = ""

    @property
    def target(self) -> Target:
        """What is meant."""
        return Target(self.topic, self.partition, self.lane)


class Refused(LanebridgeError):
    """What a button asked for cannot be done."""


class Done(msgspec.Struct, frozen=True):
    """What was written. `request` is the id to wait for in the audit list, "" when it is done at once."""

    text: str
    request: str = ""


def perform(operators: Operators, seen: Reading, act: Act, *, who: str, at_ms: int) -> Done:
    """Write the instruction in the name of `who`. `seen` is what the page showed. Raises Refused, redis' errors."""
    match act.action:
        case "pause":
            return _pause(operators, seen, act, who, at_ms)
        case "resume":
            return _resume(operators, act, who, at_ms)
        case "withdraw":
            return _withdraw(operators, act, who, at_ms)
        case "retry" | "skip":
            return _ask(operators, seen, act, act.action, who, at_ms)


def _pause(operators: Operators, seen: Reading, act: Act, who: str, at_ms: int) -> Done:
    if not any(act.target.covers(target_of(lane)) for lane in seen.state.lanes):
        raise Refused(f"no bridge of the group has a lane of {act.target}: there is nothing to pause")
    operators.pause(Pause(act.target, who, at_ms, act.note))
    return Done(f"{act.target} is paused: what is in flight ends, nothing more is dispatched")


def _resume(operators: Operators, act: Act, who: str, at_ms: int) -> Done:
    ended = operators.resume(act.target, who=who, at_ms=at_ms, note=act.note)
    if not ended:
        raise Refused(f"nothing of {act.target} is paused any more")
    return Done(f"resumed: {', '.join(str(pause.target) for pause in ended)}")


def _withdraw(operators: Operators, act: Act, who: str, at_ms: int) -> Done:
    for request in operators.read().requests:
        if request.id == act.request and operators.withdraw(request, who=who, at_ms=at_ms):
            return Done(f"taken back: {request.action} {request.target}")
    raise Refused("that request is not there any more: a bridge has answered it")


def _ask(operators: Operators, seen: Reading, act: Act, action: RequestAction, who: str, at_ms: int) -> Done:
    lane = next((lane for lane in seen.state.lanes if target_of(lane) == act.target), None)
    if lane is None:
        raise Refused(f"no bridge of the group has the lane {act.target}")
    offset = _checked_offset(lane, act)
    for pending in operators.read().requests:
        if (pending.action, pending.target, pending.offset) == (action, act.target, offset):
            return Done(f"{pending.who} has asked for this already; it waits for the bridge", pending.id)
    request = Request(secrets.token_hex(8), action, act.target, offset, who, at_ms, act.note)
    operators.ask(request)
    return Done(f"asked {lane.owner} to {action} {act.target} at offset {offset}", request.id)


def _checked_offset(lane: Lane, act: Act) -> int:
    if act.action == "retry":
        offset = lane.first_unfinished if lane.first_unfinished is not None else next(iter(lane.at_stake), None)
        if offset is None:
            raise Refused(f"lane {act.target} has no unfinished record: there is nothing to try again")
        return offset
    if act.offset not in lane.at_stake:
        raise Refused(f"lane {act.target} does not stand at offset {act.offset} any more: look at it again")
    if act.confirm.strip() != str(act.offset):
        raise Refused(f"to skip the record, type its offset: {act.offset}")
    return act.offset
