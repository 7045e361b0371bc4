"""Rows that are there for what they show when the product is broken: no fault at all, and an interrupted fetch."""

from __future__ import annotations

from tests.faults.matrix import row
from tests.faults.rig import Failed, Process
from tests.faults.stage import Setup, Stage


@row(0, "nothing", Setup(keys=500, env={"FAULTS_ORDER": "key", "FAULTS_LANES": "4"}), smoke=True)
def nothing(stage: Stage) -> None:
    """Nothing goes wrong but the one record of a hundred that fails once; four lanes a partition, by key."""


class Interrupted(Stage):
    """Each bridge's fetches are interrupted at times that are drawn for it."""

    def start_bridge(self, name: str, *arguments: str, **env: str) -> Process:
        """As on any stage, with a seed for the interruptions."""
        return super().start_bridge(name, *arguments, FAULTS_INTERRUPT=str(self.roll.randrange(1_000_000)), **env)


@row(3, "fetch-interrupted", Setup(env={"FAULTS_WORK": "0.003"}), stage=Interrupted)
def fetch_interrupted(stage: Interrupted) -> None:
    """A signal handler raises in the middle of fetches, several times a second, in both bridges."""
    with stage.fault("fetches interrupted"):
        for number in range(80):  # something is fetched all the time: only what a fetch brings can be lost with it
            stage.rig.produce(240, start=20_000 + 240 * number)
            stage.wait(0.1)
    found = sum(process.tail(10_000).count("fetch interrupted") for process in stage.bridges.values())
    stage.figures["fetches interrupted"] = found
    if found < 5 and "FAULTS_MUTATION" not in stage.rig.environment():
        raise Failed(f"only {found} fetches were interrupted")
