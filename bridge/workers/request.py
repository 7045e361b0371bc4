"""How the worker's main process ends a running link: by a signal that its process does not ignore.

Rules: the pool of `celery bridge worker` ignores SIGTERM. Celery stores "terminated" as soon as it has sent its signal;
with an ignored one the link would run on beside the lane's next attempt. A hard time limit is told before anything is
killed, and after the user's own on_failure: here the process dies first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from signal import SIGKILL
from typing import Any

from celery.platforms import signals
from celery.worker.request import Request

from bridge.workers.identity import pool_ignores_sigterm


class LinkRequest(Request):
    """A link in the worker's main process."""

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Revoked by hand, or by the bridge."""
        super().terminate(pool, signal=_deadly(signal))

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """A limit in seconds is over, the hard one unless `soft`."""
        if not soft and self.worker_pid:
            with suppress(ProcessLookupError):
                os.kill(self.worker_pid, SIGKILL)
        super().on_timeout(soft, timeout)

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """The worker shuts down cold, or its connection is lost."""
        super().cancel(pool, signal=_deadly(signal), emit_retry=emit_retry)


def _deadly(signal: Any) -> Any:
    if pool_ignores_sigterm() and signals.signum(signal or "TERM") == signals.signum("TERM"):
        return "KILL"
    return signal
