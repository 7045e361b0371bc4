"""What operators want of a group, in Redis: one hash for all of it, and a list of who did what.

Rules: a pause stays until it is resumed, a request until a bridge has answered it; every change writes one line into
the audit list, in the same step. Redis' errors come out unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import redis
from msgspec import json

from bridge.instructions import AuditLine, Instructions, Pause, Request, Target
from bridge.ledger.keys import operators_name, registry_key
from bridge.ledger.script import Script, run

#: lines of the audit list that are kept
AUDIT_LINES = 1000

_INSTRUCT = Script("instruct")
_KEEP_PAUSES = Script("keep_pauses")

T = TypeVar("T")

_pauses = json.Decoder(Pause)
_requests = json.Decoder(Request)
_lines = json.Decoder(AuditLine)


class Operators:
    """The instructions of one consumer group. May be shared by threads."""

    def __init__(self, client: redis.Redis, group: str) -> None:
        self._client = client
        self._key = registry_key(operators_name(group))
        self._audit_key = f"{self._key}:audit"

    # --- operators ---------------------------------------------------------------------------------------------------

    def pause(self, pause: Pause) -> None:
        """Nothing of the target is dispatched any more; what is in flight ends."""
        line = AuditLine(pause.at_ms, pause.who, "pause", str(pause.target), note=pause.note)
        self._instruct(_pause_field(pause.target), json.encode(pause), line)

    def resume(self, target: Target, *, who: str, at_ms: int, note: str = "") -> tuple[Pause, ...]:
        """End the pause of the target and those of its parts; returns what has ended."""
        ended = [pause for pause in self.read().pauses if target.covers(pause.target)]
        return tuple(
            pause
            for pause in ended
            if self._instruct(
                _pause_field(pause.target), b"", AuditLine(at_ms, who, "resume", str(pause.target), note=note)
            )
        )

    def ask(self, request: Request) -> None:
        """Leave a request for the bridge that has the lane."""
        self._instruct(f"request {request.id}", json.encode(request), _line_of(request))

    def withdraw(self, request: Request, *, who: str, at_ms: int) -> bool:
        """Take a request back; False: it was answered already."""
        line = AuditLine(at_ms, who, request.action, str(request.target), request.offset, request=request.id)
        return self._instruct(f"request {request.id}", b"", replace(line, result="withdrawn"))

    def audit(self, count: int = AUDIT_LINES) -> tuple[AuditLine, ...]:
        """The last `count` lines, oldest first."""
        found: Any = self._client.lrange(self._audit_key, -count, -1)
        return tuple(_lines.decode(line) for line in found)

    # --- bridges -----------------------------------------------------------------------------------------------------

    def read(self) -> Instructions:
        """All that is wanted now."""
        fields: Any = self._client.hgetall(self._key)
        return _instructions(fields)

    def answer(self, request: Request, result: str, *, done: bool, bridge: str, at_ms: int) -> bool:
        """What was asked for is `done`, or is not going to be: `result` says why. False: it was answered already."""
        line = AuditLine(at_ms, bridge, request.action, str(request.target), request.offset, request=request.id)
        return self._instruct(f"request {request.id}", b"", replace(line, result=result, done=done))

    def keep_pauses(self, number: int, pauses: tuple[Pause, ...]) -> bool:
        """Redis has lost instructions: these pauses still stand. False: it knows newer ones."""
        args: list[Any] = [number]
        for pause in pauses:
            args += (_pause_field(pause.target), json.encode(pause))
        return bool(run(self._client, _KEEP_PAUSES.command((self._key,), args)))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _instruct(self, field: str, value: bytes, line: AuditLine) -> bool:
        args = (field, value, json.encode(line), AUDIT_LINES)
        return bool(run(self._client, _INSTRUCT.command((self._key, self._audit_key), args)))


def _pause_field(target: Target) -> str:
    return f"pause {target}"


def _line_of(request: Request) -> AuditLine:
    return AuditLine(
        request.at_ms,
        request.who,
        request.action,
        str(request.target),
        request.offset,
        request.note,
        request=request.id,
    )


def _instructions(fields: Mapping[bytes, bytes]) -> Instructions:
    return Instructions(
        number=int(fields.get(b"number", b"0")),
        pauses=_all(fields, b"pause ", _pauses.decode),
        requests=_all(fields, b"request ", _requests.decode),
    )


def _all(fields: Mapping[bytes, bytes], kind: bytes, decode: Callable[[bytes], T]) -> tuple[T, ...]:
    return tuple(decode(fields[name]) for name in sorted(fields) if name.startswith(kind))
