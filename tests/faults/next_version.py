"""A release of tomorrow: what it writes has the next format number, and it reads today's too.

`apply` makes this process such a release; what others see of it is all that matters. It passes a chain on in the format
in which it has found it, and turns a partition's hash into its own format when it becomes the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.entries import FORMAT as OLD
from bridge.ledger import formats, handle, ledger, payload, reading
from bridge.ledger.ledger import ClaimAnswer, Ledger

NEW = OLD + 1

#: the hash of a partition that this release takes over
_CONVERT = f"if redis.call('HGET', KEYS[1], 'format') == '{OLD}' then redis.call('HSET', KEYS[1], 'format', {NEW}) end"

#: where in a payload its format stands
_PLACE = 2


def apply() -> None:
    """From now on this process is of that release."""
    _write(NEW)
    for module in (handle, ledger, payload, reading):
        module.check_format = _check  # type: ignore[attr-defined]
    _convert_when_assigned()
    _claim_in_either_format()
    _pass_on_as_found()


def _write(number: int) -> None:
    for module in (formats, handle, ledger, payload):
        module.FORMAT = number  # type: ignore[attr-defined]


def _check(what: str, found: object) -> None:
    if found != OLD:
        formats.check_format(what, found)


def _convert_when_assigned() -> None:
    assign = Ledger.assign

    def converting(self: Ledger, tp: Any, *about: Any) -> Any:
        self._client.eval(_CONVERT, 1, self._key(tp))
        return assign(self, tp, *about)

    Ledger.assign = converting  # type: ignore[method-assign, assignment]


def _claim_in_either_format() -> None:
    claim = Ledger.claim

    def claiming(self: Ledger, *about: Any) -> ClaimAnswer:
        answer = claim(self, *about)
        if answer.refused != f"format {OLD}":
            return answer
        ledger.FORMAT = OLD  # type: ignore[attr-defined]
        try:
            return claim(self, *about)
        finally:
            ledger.FORMAT = NEW  # type: ignore[attr-defined]

    Ledger.claim = claiming  # type: ignore[method-assign, assignment]


def _pass_on_as_found() -> None:
    cut = payload.Payload.cut

    def cutting(self: payload.Payload, keep: Sequence[int], **about: Any) -> bytes:
        payload.FORMAT = self._blob[_PLACE]  # type: ignore[attr-defined]
        try:
            return cut(self, keep, **about)
        finally:
            payload.FORMAT = NEW  # type: ignore[attr-defined]

    payload.Payload.cut = cutting  # type: ignore[method-assign]
