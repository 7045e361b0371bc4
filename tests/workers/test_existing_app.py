"""A team's app keeps its tasks, queues, default queue, routes, results, redelivery and priorities."""

import signal
from pathlib import Path

import pytest
from celery import Celery
from kombu.entity import Exchange, Queue

from bridge.devstack import RedisServer
from tests.waiting import wait_until
from tests.workers.conftest import QUIET, StartWorker
from tests.workers.processes import Worker
from tests.workers.standin import Link, StandIn, rows

TEAM = "tests.workers.apps.team"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


@pytest.fixture
def team(redis_server: RedisServer, database: Path) -> Celery:
    """The team's other code: it sends tasks by name and reads results."""
    client = Celery("web", broker=redis_server.url, backend=f"db+sqlite:///{database}", set_as_current=False)
    client.conf.broker_transport_options = {"priority_steps": [0, 5]}
    client.conf.task_queues = [
        Queue("team", Exchange("team"), routing_key="team"),  # type: ignore[no-untyped-call]
        Queue("media", Exchange("media"), routing_key="media.video"),  # type: ignore[no-untyped-call]
    ]
    return client


def start(
    start_worker: StartWorker, standin: StandIn, database: Path, *options: str, name: str | None = None
) -> Worker:
    hostname = name or standin.hostname
    environ = {"TEST_DATABASE": str(database)}
    worker = start_worker("worker", "-n", hostname, "-c", "2", *QUIET, *options, app=TEAM, environ=environ)
    worker.wait_until_alive(standin.ledger, hostname)
    return worker


def test_default_queue_own_queues_and_lanes_are_served_by_a_plain_worker(
    start_worker: StartWorker, standin: StandIn, database: Path
) -> None:
    start(start_worker, standin, database)
    (beat,) = [beat for beat in standin.ledger.heartbeats() if beat.hostname == standin.hostname]
    assert beat.queues == ("lane-0", "lane-1", "lane-2", "lane-3", "media", "team")
    assert beat.tasks == (f"{TEAM}.gated", f"{TEAM}.parse", f"{TEAM}.store")


def test_results_of_ordinary_tasks_are_in_the_teams_own_backend(
    start_worker: StartWorker, standin: StandIn, database: Path, team: Celery
) -> None:
    start(start_worker, standin, database)
    sent = team.send_task(f"{TEAM}.add", (2, 3), queue="team", priority=5)
    routed = team.send_task(f"{TEAM}.video", ("cat",), queue="media")
    assert sent.get(timeout=30.0) == 5
    assert routed.get(timeout=30.0) == "cat.mp4"
    assert standin.client.get(f"celery-task-meta-{sent.id}") is None


def test_every_link_goes_to_its_lane_whatever_the_teams_routes_say(
    start_worker: StartWorker, standin: StandIn, database: Path, team: Celery
) -> None:
    start(start_worker, standin, database, "-Q", "lane-0,lane-1")
    sent = standin.send([Link(f"{TEAM}.parse"), Link(f"{TEAM}.store")], rows(1, 2))
    assert standin.outcome(sent).kind == "ok"
    assert standin.wait_for_entry(task="store")["data"] == [1, 2]
    assert standin.client.llen("media") == 0


def test_after_kill_9_an_ordinary_task_comes_back_and_a_link_runs_no_second_time(
    start_worker: StartWorker, standin: StandIn, database: Path, team: Celery
) -> None:
    worker = start(start_worker, standin, database)
    team.send_task(f"{TEAM}.remember", ("me",), queue="team")
    standin.wait_for_entry(task="remember", text="me")
    standin.send([Link(f"{TEAM}.gated", ("go",))], rows(1))
    standin.wait_for_entry(task="gated")
    worker.signal_group(signal.SIGKILL)
    worker.wait()
    start(start_worker, standin, database, name=f"second.{standin.hostname}")
    standin.open_gate("me")
    standin.wait_for_entry(task="remember", done="me", timeout=60.0)
    wait_until(lambda: not standin.client.hlen("unacked"), what="both messages taken from the un-acked ones")
    assert len([entry for entry in standin.journal() if entry["task"] == "gated"]) == 1
