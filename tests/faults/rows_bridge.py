"""Rows of the matrix: what happens to bridges."""

from __future__ import annotations

from tests.faults.matrix import row
from tests.faults.stage import Stage


@row(1, "bridge-kill", smoke=True)
def bridge_kill(stage: Stage) -> None:
    """kill -9 of a bridge at random, started again at once; five times."""
    for _ in range(5):
        stage.wait(0.3, 2.0)
        name = stage.any_bridge()
        with stage.fault("bridge killed"):
            stage.kill(name)
        stage.start_bridge(name)
    stage.await_progress("all partitions go on")
