"""What operators want, in memory: what the two scripts must do, said a second time.

`OperatorsModel` has the methods of `Operators`; the whole may be emptied, saved and rolled back as Redis may.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

from bridge.instructions import AuditLine, Instructions, Pause, Request, Target
from bridge.ledger.operators import AUDIT_LINES


@dataclass(slots=True)
class _Wanted:
    number: int = 0
    pauses: dict[Target, Pause] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    lines: list[AuditLine] = field(default_factory=list)

    def note(self, line: AuditLine) -> None:
        self.number += 1
        self.lines = [*self.lines, line][-AUDIT_LINES:]


class OperatorsModel:
    """The instructions of one group."""

    def __init__(self) -> None:
        self._wanted = _Wanted()

    # --- what Redis may do -------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """All is lost."""
        self._wanted = _Wanted()

    def save(self) -> object:
        """The state, to roll back to."""
        return copy.deepcopy(self._wanted)

    def roll_back(self, saved: object) -> None:
        """An older state comes back."""
        assert isinstance(saved, _Wanted)
        self._wanted = copy.deepcopy(saved)

    # --- as Operators ------------------------------------------------------------------------------------------------

    def pause(self, pause: Pause) -> None:
        """See Operators."""
        self._wanted.pauses[pause.target] = pause
        self._wanted.note(AuditLine(pause.at_ms, pause.who, "pause", str(pause.target), note=pause.note))

    def resume(self, target: Target, *, who: str, at_ms: int, note: str = "") -> tuple[Pause, ...]:
        """See Operators."""
        ended = [pause for pause in self.read().pauses if target.covers(pause.target)]
        for pause in ended:
            del self._wanted.pauses[pause.target]
            self._wanted.note(AuditLine(at_ms, who, "resume", str(pause.target), note=note))
        return tuple(ended)

    def ask(self, request: Request) -> None:
        """See Operators."""
        self._wanted.requests[request.id] = request
        self._wanted.note(_line(request, request.who, request.at_ms, note=request.note))

    def withdraw(self, request: Request, *, who: str, at_ms: int) -> bool:
        """See Operators."""
        return self._end(request, _line(request, who, at_ms, result="withdrawn"))

    def answer(self, request: Request, result: str, *, done: bool, bridge: str, at_ms: int) -> bool:
        """See Operators."""
        return self._end(request, replace(_line(request, bridge, at_ms, result=result), done=done))

    def keep_pauses(self, number: int, pauses: tuple[Pause, ...]) -> bool:
        """See Operators."""
        if self._wanted.number >= number:
            return False
        self._wanted.pauses = {**{pause.target: pause for pause in pauses}, **self._wanted.pauses}
        self._wanted.number = number
        return True

    def read(self) -> Instructions:
        """See Operators."""
        wanted = self._wanted
        pauses = tuple(wanted.pauses[target] for target in sorted(wanted.pauses, key=str))
        return Instructions(wanted.number, pauses, tuple(wanted.requests[id] for id in sorted(wanted.requests)))

    def audit(self, count: int = AUDIT_LINES) -> tuple[AuditLine, ...]:
        """See Operators."""
        return tuple(self._wanted.lines[-count:])

    def _end(self, request: Request, line: AuditLine) -> bool:
        if self._wanted.requests.pop(request.id, None) is None:
            return False
        self._wanted.note(line)
        return True


def _line(request: Request, who: str, at_ms: int, *, note: str = "", result: str = "") -> AuditLine:
    line = AuditLine(at_ms, who, request.action, str(request.target), request.offset, request=request.id)
    return replace(line, note=note, result=result)
