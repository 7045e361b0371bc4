"""What the page is made of, as it lies in Redis: the bridges' states, what operators want, and who did what."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import redis

from bridge.errors import LanebridgeError
from bridge.instructions import AuditLine, Instructions
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ops.state import State, decode_state, merge

#: lines of the audit list that the page shows
AUDIT_SHOWN = 50


class Unreadable(LanebridgeError):
    """The ledger cannot be read."""


_NOBODY, _NOTHING_ASKED = State(), Instructions()


@dataclass(frozen=True, slots=True)
class Reading:
    """The whole group at `at_ms` (wall clock); audit lines oldest first."""

    at_ms: int = 0
    state: State = _NOBODY
    instructions: Instructions = _NOTHING_ASKED
    audit: tuple[AuditLine, ...] = ()


class Source:
    """Reads a group. Blocks: it is called from a thread of its own."""

    def __init__(self, client: redis.Redis, group: str, wall: Callable[[], float] = time.time) -> None:
        self._ledger = Ledger(client, group)
        self._operators = Operators(client, group)
        self._wall = wall

    def read(self) -> Reading:
        """All of it. Raises Unreadable with the reason."""
        try:
            states = merge([decode_state(blob) for blob in self._ledger.states().values()])
            wanted, audit = self._operators.read(), self._operators.audit(AUDIT_SHOWN)
        except redis.RedisError as error:
            raise Unreadable(f"the ledger (Redis) does not answer: {str(error).rstrip('.')}") from None
        except LanebridgeError as error:
            raise Unreadable(str(error)) from None
        except msgspec.MsgspecError as error:
            raise Unreadable(f"what operators asked for was written by another version: {error}") from None
        return Reading(int(self._wall() * 1000), states, wanted, audit)
