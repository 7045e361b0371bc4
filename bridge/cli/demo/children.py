"""The processes of the demo: two workers, the bridge, Flower. Each has a process group and a log of its own, and a
reaper beside it that ends it when the demo is gone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.devstack.process import ServerProcess
from bridge.errors import LanebridgeError

WORKERS = ("worker0", "worker1")

#: who is asked to end before the others: nothing new is dispatched to workers that end
_FIRST = "bridge"

#: seconds that each gets to end
_PATIENCE_S = 20.0


class ChildEnded(LanebridgeError):
    """A process of the demo ended by itself."""


class Children:
    """They run until `stop`, which ends them in order; `close` removes their logs too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, ServerProcess] = {}

    def start(self, name: str, module: str, arguments: Sequence[str]) -> Path:
        """Start `python -m MODULE ARGUMENTS` in this process' environment; its log."""
        child = self._running[name] = ServerProcess(name)
        child.start([sys.executable, "-m", module, *arguments], cwd=self._directory)
        return child.log_file

    def check(self) -> None:
        """Raises ChildEnded when one has ended."""
        for name, child in self._running.items():
            if child.pid is None:
                raise ChildEnded(f"{name} ended by itself")

    def tails(self, lines: int = 15) -> dict[str, str]:
        """The end of each log."""
        return {name: child.log_tail(lines) for name, child in self._running.items()}

    def stop(self) -> list[str]:
        """Ask the bridge to end, then Flower and the workers together. What did not end cleanly, as sentences."""
        first, rest = [self._running[_FIRST]] if _FIRST in self._running else [], list(self._running.values())
        with ThreadPoolExecutor() as pool:
            return [text for group in (first, rest) for text in pool.map(_stop, group) if text]

    def close(self) -> None:
        """Stop all and remove their logs. May be called twice."""
        self.stop()
        while self._running:
            self._running.popitem()[1].close()


def _stop(child: ServerProcess) -> str:
    """What was wrong with its end ("" nothing, or it had ended before)."""
    if child.pid is None:
        return ""
    status = child.stop(_PATIENCE_S)
    if status is None:
        return f"{child.name} did not end within {_PATIENCE_S:g} s and was killed"
    return f"{child.name} ended with status {status}" if status else ""
