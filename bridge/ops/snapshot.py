"""The last state of the bridge, for whoever asks from another thread."""

from __future__ import annotations

import threading
import time

from bridge.ops.health import HealthInput, Verdict, liveness, readiness
from bridge.ops.state import State, encode_state


class Snapshot:
    """The run loop updates it once a second; HTTP threads ask. Nobody ever waits for more than an assignment."""

    def __init__(self, started: float | None = None) -> None:
        """`started` (seconds, the loop's clock; now by default): the loop has that long to begin."""
        begin = time.monotonic() if started is None else started
        self._lock = threading.Lock()
        self._health = HealthInput(last_turn=begin, joined=False)
        self._state = State()
        self._json = encode_state(self._state)

    def update(self, state: State, health: HealthInput) -> bytes:
        """Keep these; returns the state as the JSON that is served and published."""
        text = encode_state(state)
        with self._lock:
            self._state, self._health, self._json = state, health, text
        return text

    def liveness(self, now: float) -> Verdict:
        """Is the process alive at time `now` (seconds, the loop's clock)?"""
        with self._lock:
            health = self._health
        return liveness(health, now)

    def readiness(self, now: float) -> Verdict:
        """Is it assigned and moving at time `now` (seconds, the loop's clock)?"""
        with self._lock:
            health, state = self._health, self._state
        return readiness(health, state, now)

    def read(self) -> tuple[State, HealthInput]:
        """The last state, and what health is judged from."""
        with self._lock:
            return self._state, self._health

    @property
    def lanes_json(self) -> bytes:
        """The state of every lane."""
        with self._lock:
            return self._json
