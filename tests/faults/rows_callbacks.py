"""Rows of the matrix: the users' own callbacks raise."""

from __future__ import annotations

from random import Random

from tests.faults.bad_stage import BadSetup, BadStage, Scattered
from tests.faults.matrix import row

#: what the logs must say: in a bridge's, in a worker's
TOLD = (("close_batch of pipeline faults raised KeyError", "on_failed"), ("a signal's handler raises",))


def _everything(roll: Random) -> Scattered:
    """Records that are no JSON, that fail named and unnamed, and whose exception has no words."""
    whats = ["undecodable"] * 3 + ["raise"] * 3 + ["rude"] * 3
    partitions = roll.sample(range(12), len(whats))
    return {
        (partition, roll.randrange(100, 700)): {"do": what} for partition, what in zip(partitions, whats, strict=True)
    }


@row(
    30,
    "callbacks-raise",
    BadSetup(bad=_everything, env={"FAULTS_RAISES": "1", "FAULTS_ON_FAILED": "1", "FAULTS_ATTEMPTS": "2"}),
    stage=BadStage,
)
def callbacks_raise(stage: BadStage) -> None:
    """decode, close_batch, the on_failed task and the handlers of Celery's signals raise, some with exceptions that
    cannot be printed: nothing is lost, bad records are dead-lettered, the logs say what raised."""
    with stage.fault("callbacks raise"):
        stage.await_letters(150, "every bad record is given up")
    said = [
        [process.log.read_text(errors="replace") for process in found]
        for found in (stage.bridges.values(), stage.workers)
    ]
    for logs, texts in zip(said, TOLD, strict=True):
        missing = [text for text in texts if not any(text in log for log in logs)]
        stage.violations += [f"R11 signals: no log says {text!r}" for text in missing]
