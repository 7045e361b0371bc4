"""The processes of the demo: two workers, the bridge, Flower. Each has a process group and a log of its own, and a
reaper beside it that ends it when the demo is gone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.devstack.process import ServerProcess
from bridge.errors import LanebridgeError

WORKERS = ("worker0", "worker1")

#: the order in which they are asked to end, and seconds that each gets
_PATIENCE_S = {"bridge": 20.0, "flower": 10.0, "worker0": 30.0, "worker1": 30.0}


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
        """Ask all to end, one after the other: bridge, Flower, workers. What did not end cleanly, as sentences."""
        problems = []
        for name, patience_s in _PATIENCE_S.items():
            if name not in self._running:
                continue
            status = self._running[name].stop(patience_s)
            if status is None:
                problems.append(f"{name} did not end within {patience_s:g} s and was killed")
            elif status:
                problems.append(f"{name} ended with status {status}")
        return problems

    def close(self) -> None:
        """Stop all and remove their logs. May be called twice."""
        self.stop()
        while self._running:
            self._running.popitem()[1].close()
