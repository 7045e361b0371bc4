"""Real Celery workers as processes of their own, in a process group each."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bridge.entries import Heartbeat
from bridge.ledger.ledger import Ledger
from tests.waiting import wait_until

_ROOT = Path(__file__).parents[2]


class Worker:
    """One `celery worker`. `command` are the words behind `celery -A <app>`, `folder` is the working directory."""

    def __init__(
        self, app: str, command: tuple[str, ...], environ: Mapping[str, str], log: Path, folder: Path = _ROOT
    ) -> None:
        self.log = log
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", app, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **environ},
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The main process."""
        return self.process.pid

    def children(self) -> list[int]:
        """The processes of its pool."""
        return [child.pid for child in psutil.Process(self.pid).children() if child.is_running()]

    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")

    def wait_until_alive(self, ledger: Ledger, hostname: str) -> Heartbeat:
        """Wait for its first heartbeat."""

        def alive() -> Heartbeat | None:
            assert self.process.poll() is None, self.text()
            return next((beat for beat in ledger.heartbeats() if beat.hostname == hostname), None)

        found = wait_until(alive, 60.0, f"a heartbeat of {hostname}")
        assert found is not None
        return found

    def terminate(self) -> None:
        """SIGTERM to the main process alone: a warm shutdown."""
        self.process.send_signal(signal.SIGTERM)

    def signal_group(self, number: int) -> None:
        """A signal to the whole process group, as a process manager sends it."""
        os.killpg(self.pid, number)

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code."""
        return self.process.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.signal_group(signal.SIGKILL)
        self.process.wait(30.0)
        self._file.close()
