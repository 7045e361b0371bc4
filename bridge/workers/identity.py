"""Which worker this process belongs to, what its pool is like, and whether it may have been declared dead.

Rules: what is decided when a worker starts lies in the environment, so that pool children inherit it however they are
started. The pulse is memory shared with forked children: reading it costs no system call. A child that cannot
share it (started afresh, not forked) sees a pulse that never beat, and then asks the ledger instead.
"""

from __future__ import annotations

import mmap
import os
import secrets
import socket

#: where a worker's id is for its pool children
WORKER_ID = "LANEBRIDGE_WORKER_ID"

#: where it is that the pool's processes ignore SIGTERM: the process id of their worker's main process
_IGNORES_SIGTERM = "LANEBRIDGE_POOL_IGNORES_SIGTERM"

#: where what lies in a pulse's `values`
LAPSES, BEAT = range(2)


def name_worker(hostname: str) -> str:
    """Draw the id of the worker that starts in this process: `<hostname>.<random>`."""
    worker = f"{hostname}.{secrets.token_hex(4)}"
    os.environ[WORKER_ID] = worker
    return worker


def worker_id() -> str:
    """The worker of this process; a process that no worker started names itself."""
    return os.environ.get(WORKER_ID) or name_worker(socket.gethostname())


def make_pool_ignore_sigterm() -> None:
    """The worker that starts in this process wants a pool that outlives a SIGTERM to the whole process group."""
    os.environ[_IGNORES_SIGTERM] = str(os.getpid())


def pool_ignores_sigterm() -> bool:
    """Whether this is the main process of such a worker."""
    return os.environ.get(_IGNORES_SIGTERM) == str(os.getpid())


def ignores_sigterm() -> bool:
    """Whether this is a process of such a worker's pool."""
    return os.environ.get(_IGNORES_SIGTERM, "") not in {"", str(os.getpid())}


class Pulse:
    """When the worker's heartbeat was last written, and how often it was found gone before that.

    Written by the heartbeat's thread alone. Times are `time.monotonic()` seconds, the same in all processes, taken
    before the write: the ledger's clock for the heartbeat's expiry starts later.
    """

    def __init__(self) -> None:
        #: how often the heartbeat was gone, and when it was last written (0.0: never)
        self.values = memoryview(mmap.mmap(-1, 16)).cast("d")

    def beat(self, now: float) -> None:
        """The heartbeat was written."""
        self.values[BEAT] = now

    def lapse(self) -> None:
        """The heartbeat was gone: what was claimed before may have been given to somebody else."""
        self.values[LAPSES] += 1


#: this worker's pulse, made before the pool forks
PULSE = Pulse()
