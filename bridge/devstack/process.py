"""One server process: in a session of its own (a Ctrl-C at the terminal does not reach it), with a log file and a
directory, and with a reaper beside it, so that neither outlives this process, however it ends.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bridge.devstack import reaper
from bridge.devstack.signals import signals_held
from bridge.errors import LanebridgeError

_LOG_TAIL_LINES = 25


class ServerDidNotStart(LanebridgeError):
    """A server did not start."""


class UnsupportedPlatform(LanebridgeError):
    """The embedded Kafka and Redis run on Linux and macOS only. Elsewhere use `docker compose up`."""


class ServerProcess:
    """A named child process with a temporary directory that both end with `close`, or with this process.

    `stop` and `kill` keep the directory: `start` goes on with what is in it.
    """

    def __init__(self, name: str) -> None:
        if sys.platform not in ("linux", "darwin"):
            raise UnsupportedPlatform
        self.name = name
        with signals_held():
            self.directory = Path(tempfile.mkdtemp(prefix=f"lanebridge-{name}-"))
            self._reaper = _start_reaper(self.directory)
        self.log_file = self.directory / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the process is alive."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start `command` in `cwd` (None: its directory); its output goes to the end of the log file. Raises
        ServerDidNotStart."""
        if self.pid is not None:
            raise ServerDidNotStart(f"{self.name} is already running (process {self.pid})")
        with signals_held(), self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.directory,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
            self._tell_reaper(self._child.pid)

    def await_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `is_ready()`. Raises ServerDidNotStart, with the log's end, if the process ends or time is up."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            status = self._wait(0.05)
            if status is not None:
                raise ServerDidNotStart(self._story(f"ended with status {status} while starting"))
            if time.monotonic() > deadline:
                raise ServerDidNotStart(self._story(f"was not ready after {timeout_s:g} s"))

    def stop(self, timeout_s: float = 15.0) -> int | None:
        """End the process with SIGTERM (its children are its business), all with SIGKILL after `timeout_s` seconds.

        The exit status that it chose itself, None when it had to be killed or did not run.
        """
        status = None
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)
            status = self._wait(timeout_s)
        self.kill()
        return status

    def kill(self) -> None:
        """End the process and what it started with SIGKILL."""
        if self._child is None:
            return
        self._signal(signal.SIGKILL)
        self._child.wait()
        self._child = None
        self._tell_reaper(0)

    def suspend(self) -> None:
        """Freeze the process (SIGSTOP): its connections stay open and silent."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop the process and remove its directory. May be called twice."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._reaper.stdin is not None:
            self._reaper.stdin.close()
        self._reaper.wait()

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        """The last lines of the log; empty when there is none."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _story(self, what: str) -> str:
        return f"{self.name} {what}. The end of its log:\n{self.log_tail()}"

    def _wait(self, timeout_s: float) -> int | None:
        if self._child is None:
            return None
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def _signal(self, number: signal.Signals) -> None:
        if self._child is None:
            raise ProcessLookupError(f"{self.name} is not running")
        try:
            os.killpg(self._child.pid, number)
        except (ProcessLookupError, PermissionError):  # gone; macOS says so with the second
            self._child.poll()

    def _tell_reaper(self, group: int) -> None:
        pipe = self._reaper.stdin
        if pipe is not None and not pipe.closed:
            pipe.write(b"%d\n" % group)
            pipe.flush()


def _start_reaper(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(reaper.__file__), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
