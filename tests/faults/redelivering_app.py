"""The app of the cells with a broker that delivers again what is not acknowledged within two seconds, and with links
that are acknowledged when they have ended: every link that takes longer is delivered again while it runs.

Each time that happens is a byte in the file `redelivered.tries` of the history.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import QoS

from tests.faults.acting import tries
from tests.faults.app import HISTORY, app, bridge

__all__ = ["app", "bridge"]

app.conf.task_acks_late = True
app.conf.broker_transport_options = {
    "visibility_timeout": 2,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}

_restore = QoS.restore_by_tag


def _restored(self: Any, *args: Any, **options: Any) -> Any:
    tries(HISTORY, "redelivered")
    return _restore(self, *args, **options)  # type: ignore[no-untyped-call]


QoS.restore_by_tag = _restored  # type: ignore[method-assign]
