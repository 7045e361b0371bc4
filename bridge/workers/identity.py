"""Which worker this process belongs to, and whether that worker may have been declared dead.

Rules: the id is drawn once, when a worker starts, and lies in the environment so that pool children inherit it however
they are started. The pulse is memory shared with forked children: reading it costs no system call. A child that cannot
share it (started afresh, not forked) sees a pulse that never beat, and then asks the ledger instead.
"""

from __future__ import annotations

import mmap
import os
import secrets
import socket

#: where a worker's id is for its pool children
WORKER_ID = "LANEBRIDGE_WORKER_ID"

_LAPSES, _BEAT = range(2)


def name_worker(hostname: str) -> str:
    """Draw the id of the worker that starts in this process: `<hostname>.<random>`."""
    worker = f"{hostname}.{secrets.token_hex(4)}"
    os.environ[WORKER_ID] = worker
    return worker


def worker_id() -> str:
    """The worker of this process; a process that no worker started names itself."""
    return os.environ.get(WORKER_ID) or name_worker(socket.gethostname())


class Pulse:
    """When the worker's heartbeat was last written, and how often it was found gone before that.

    Written by the heartbeat's thread alone. Times are `time.monotonic()` seconds, the same in all processes, of when the
    write began: the ledger's clock for the heartbeat's expiry started later.
    """

    def __init__(self) -> None:
        self._values = memoryview(mmap.mmap(-1, 16)).cast("d")

    def beat(self, now: float) -> None:
        """The heartbeat was written."""
        self._values[_BEAT] = now

    def lapse(self) -> None:
        """The heartbeat was gone: what was claimed before may have been given to somebody else."""
        self._values[_LAPSES] += 1

    @property
    def lapses(self) -> float:
        """How often the heartbeat was found gone; an integer."""
        return self._values[_LAPSES]

    @property
    def last_beat(self) -> float:
        """When the heartbeat was last written; 0.0: never."""
        return self._values[_BEAT]


#: this worker's pulse, made before the pool forks
PULSE = Pulse()
