"""Rows of the matrix: bridges and workers of two releases side by side, whose formats differ (next_version.py)."""

from __future__ import annotations

import signal

from tests.faults.cell import require
from tests.faults.matrix import row
from tests.faults.rig import Process
from tests.faults.seen import await_shared
from tests.faults.stage import Setup, Stage

#: a link that nobody can read is offered again after 2 s
QUICK = {"BRIDGE_SESSION_TIMEOUT": "3", "BRIDGE_HEARTBEAT_INTERVAL": "0.5", "BRIDGE_CLAIM_TIMEOUT": "2"}
NEXT = {"FAULTS_RELEASE": "next"}
ALL = ",".join(f"lane-{number}" for number in range(16))


class Mixed(Stage):
    """Workers that share all queues, so that any link of a chain may come to either release."""

    def start_workers(self) -> None:
        """Today's release."""
        self.workers += [self.start_worker(f"old{number}", ALL) for number in range(2)]

    def renew_worker(self, number: int) -> None:
        """A worker of the next release, and when that works, this one ends its links and is gone."""
        old, name = self.workers[number], f"new{number}"
        self.workers[number] = self.start_worker(name, ALL, **NEXT)
        self.rig.until(lambda: any(run.worker.startswith(name) for run in self.rig.runs()), 90, f"{name} works")
        old.stop(60.0)
        require(old.exit_code == 0, f"{old.name} ended with {old.exit_code}")

    def renew_bridge(self, name: str) -> None:
        """A bridge of the next release instead of this one."""
        self.terminate(name)
        self.start_bridge(name, **NEXT)
        await_shared(self)


SETUP = Setup(app="tests.faults.versioned_app", env=QUICK, links=3, records=6_000)


@row(33, "upgrade", SETUP, stage=Mixed)
def upgrade(stage: Mixed) -> None:
    """A rolling upgrade to a release with another format, workers first, one by one, then the bridges."""
    await_shared(stage)
    with stage.fault("upgrade"):
        for number in range(2):
            stage.wait(1.0, 3.0)
            stage.renew_worker(number)
        for name in list(stage.bridges):
            stage.wait(1.0, 3.0)
            stage.renew_bridge(name)
    stage.await_progress("all partitions go on")


@row(33, "upgrade-bridges-first", SETUP, stage=Mixed)
def upgrade_bridges_first(stage: Mixed) -> None:
    """The same in the wrong order: until a worker of the new release is there, links wait, refused by the old ones."""
    await_shared(stage)
    with stage.fault("upgrade"):
        for name in list(stage.bridges):
            stage.wait(0.5, 1.5)
            stage.renew_bridge(name)
        stage.rig.until(lambda: any(_refuses(worker) for worker in stage.workers), 30, "an old worker refuses a link")
        for number in range(2):
            stage.wait(1.0, 3.0)
            stage.renew_worker(number)
    stage.await_progress("all partitions go on", timeout=90)


def _refuses(process: Process) -> bool:
    return "UnknownFormat" in process.log.read_text(errors="replace")


@row(33, "upgrade-failover", SETUP, stage=Mixed)
def upgrade_failover(stage: Mixed) -> None:
    """In the middle of an upgrade the new bridge is killed: the old one, given partitions that it cannot read, ends
    with an error that says so, and is started again until the new one is back."""
    await_shared(stage)
    with stage.fault("upgrade"):
        for number in range(2):
            stage.renew_worker(number)
        stage.renew_bridge("b0")
        stage.wait(0.5, 2.0)
        stage.kill("b0")
        ending = stage.ask_to_end("b1")
        require(stage.await_exit(ending, codes=(1,), timeout=60.0) == 1, "the old bridge went on")
        require(_refuses(ending.process), "it does not say why")
        stage.start_bridge("b1")
        stage.start_bridge("b0", **NEXT)
        stage.wait(1.0, 4.0)
        # the supervisor's last start of the old release may have met a converted partition too
        stage.await_exit(stage.ask_to_end("b1", signal.SIGTERM), codes=(0, 1, -signal.SIGTERM))
        stage.start_bridge("b1", **NEXT)
    await_shared(stage)
    stage.await_progress("all partitions go on")
