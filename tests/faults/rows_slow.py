"""Rows of the matrix: links that take longer than whatever may give up waiting for them."""

from __future__ import annotations

from tests.faults.cell import require
from tests.faults.matrix import row
from tests.faults.seen import await_shared, starts, told
from tests.faults.stage import Setup, Stage

#: links of 8 s; threads, because what sleeps needs no processor
SLOW = {
    "BRIDGE_SESSION_TIMEOUT": "3",
    "BRIDGE_HEARTBEAT_INTERVAL": "0.5",
    "FAULTS_SLEEP": "8",
    "FAULTS_WORK": "0",
    "FAULTS_FLAKY": "50",
}


def _to_the_end(stage: Stage) -> None:
    """Nobody loses a partition while the links run."""
    await_shared(stage)
    before = {name: starts(stage, bridge) for name, bridge in stage.bridges.items()}
    with stage.fault("slow links"):
        stage.rig.until(stage.rig.all_committed, 180, "everything committed", step=0.5)
    for name, bridge in stage.bridges.items():
        if starts(stage, bridge) != before[name]:
            gone = told(stage, bridge, "revoked", "lost")[-3:]
            stage.violations.append(f"bridge {name} lost partitions while links ran: {gone}")


@row(
    22,
    "slow-links",
    Setup(
        env=SLOW | {"BRIDGE_KAFKA_MAX_POLL_INTERVAL_MS": "4000"},
        records=480,
        pool="threads",
        concurrency=6,
        begins_when=6,
        liveness=60.0,
    ),
)
def slow_links(stage: Stage) -> None:
    """Links of 8 s, longer than the session (3 s) and than `max.poll.interval.ms` (4 s): no rebalance, no link runs
    twice."""
    _to_the_end(stage)


class Redelivering(Stage):
    """Workers that share all queues and keep the transport's copies, as with any queue beside the lanes."""

    def start_workers(self) -> None:
        """What one of them runs may be delivered again to the other."""
        queues = ",".join(["celery", *(f"lane-{number}" for number in range(16))])
        self.workers += [self.start_worker(name, queues) for name in ("first", "second")]


@row(
    22,
    "slow-links-visibility",
    Setup(
        app="tests.faults.redelivering_app",
        env=SLOW,
        records=480,
        pool="threads",
        concurrency=6,
        begins_when=6,
        liveness=60.0,
    ),
    stage=Redelivering,
)
def slow_links_visibility(stage: Stage) -> None:
    """Links of 8 s with `acks_late`, while the broker delivers again what is not acknowledged within 2 s
    (`visibility_timeout`): the copies are refused."""
    _to_the_end(stage)
    copies = stage.rig.history / "redelivered.tries"
    require(copies.exists(), "no link was delivered again: the row does not show what it must")
    stage.figures["copies delivered"] = copies.stat().st_size
