"""Ctrl-C and SIGTERM in the demo: the first one interrupts what goes on, and everything is stopped in order; a second
one ends this process at once, and the reapers beside the children stop what is left."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """In force for a `with` block: the first signal raises KeyboardInterrupt in the main thread, once."""

    def __init__(self) -> None:
        self._seen = False
        self._stopping = False

    def stopping(self) -> None:
        """From now on a first signal changes nothing: the demo is about to end anyway."""
        self._stopping = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._seen:
            os._exit(1)
        self._seen = True
        if not self._stopping:
            raise KeyboardInterrupt
