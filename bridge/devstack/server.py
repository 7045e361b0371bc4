"""What the embedded servers have in common: one process, started, stopped, killed, frozen, and gone with the block."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from bridge.devstack.process import ServerProcess


class Server(ABC):
    """A server of its own process. `close` removes everything; `start` after `stop` or `kill` keeps the port."""

    def __init__(self, name: str) -> None:
        self._process = ServerProcess(name)

    @abstractmethod
    def start(self) -> None:
        """Start the server and wait until it serves. Raises LanebridgeError with the remedy or the log's end."""

    @property
    def pid(self) -> int | None:
        """The server's process id while it is alive."""
        return self._process.pid

    def stop(self) -> None:
        """Shut the server down in order."""
        self._process.stop()

    def kill(self) -> None:
        """Kill the server (SIGKILL)."""
        self._process.kill()

    def suspend(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open and silent."""
        self._process.suspend()

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._process.resume()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its data. May be called twice."""
        self._process.close()

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of the server's log."""
        return self._process.log_tail(lines)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
