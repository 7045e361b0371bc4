"""Links of one lane never run beside each other: what Celery tells of a link that ended, or of another one, in time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bridge.core.events import ErrorHeard
from bridge.core.failures import told_by_celery
from bridge.entries import Failure, Outcome, link_id
from tests.waiting import wait_until
from tests.workers.conftest import PLAIN, StartWorker
from tests.workers.standin import Link, Sent, StandIn, rows

ROUNDS = 3


def written(path: Path) -> float:
    """The time that a task has written down; it may be writing."""
    return float(path.read_text()[:17] or 0)


def test_a_hard_time_limit_is_told_when_the_link_has_ended(
    start_worker: StartWorker, standin: StandIn, tmp_path: Path
) -> None:
    for name in (standin.hostname, f"{standin.group}b@test"):
        worker = start_worker("bridge", "worker", "-n", name, "-c", "1", "-l", "INFO", "-Q", "lane-0")
        worker.wait_until_alive(standin.ledger, name)
    for number in range(ROUNDS):
        ran, began = tmp_path / f"ran-{number}", tmp_path / f"began-{number}"
        sent = standin.send([Link(f"{PLAIN}.ticks", (str(ran),))], rows(1))
        error = standin.error_of(sent)
        assert error["result"]["exc_type"] == "TimeLimitExceeded"
        outcome = Outcome("failed", 10, Failure(10, "timeout"))
        assert standin.ledger.fault(standin.tp, 0, sent.chain, 1, error["worker"], outcome)
        again = standin.send([Link(f"{PLAIN}.stamp", (str(began),))], rows(1))
        assert standin.outcome(again).kind == "ok"
        seen = written(ran)
        time.sleep(0.3)  # a process that lives writes every half millisecond
        assert written(ran) == seen
        assert seen < written(began)


def faults_of(standin: StandIn, sent: Sent, number: int) -> list[str]:
    """The kinds of fault that a bridge would make of what it has heard about a link."""
    heard = [error for error in standin.errors if error["task_id"] == link_id(sent.chain, number)]
    events = [
        ErrorHeard(each["task_id"], each["status"], each["result"]["exc_type"], "", each["worker"]) for each in heard
    ]
    return [found[0] for event in events if (found := told_by_celery(event)) is not None]


@pytest.mark.parametrize("name", ["lingers", "dies_late"])
def test_a_link_that_runs_is_not_ended_by_the_error_of_the_one_before_it(
    start_worker: StartWorker, standin: StandIn, tmp_path: Path, name: str
) -> None:
    worker = start_worker("bridge", "worker", "-n", standin.hostname, "-c", "2", "-l", "INFO", "-Q", "lane-0")
    worker.wait_until_alive(standin.ledger, standin.hostname)
    sent = standin.send([Link(f"{PLAIN}.{name}"), Link(f"{PLAIN}.runs_on", (str(tmp_path / "ran"),))], rows(1))
    standin.error_of(sent, 1)
    entry = standin.entry()
    assert entry is not None
    assert (entry.link, entry.outcome) == (2, None)
    assert standin.outcome(sent).kind == "ok"
    wait_until(lambda: standin.stored_error(sent, 2), 10.0, "the error that Celery keeps for the link behind")
    standin.listen()
    assert faults_of(standin, sent, 2) == []
