"""`celery -A shop worker` in a Django project whose tasks are shared tasks."""

from pathlib import Path

from celery import Celery

from bridge.devstack import RedisServer
from tests.workers.conftest import QUIET, StartWorker
from tests.workers.standin import Link, StandIn, rows

SITE = Path(__file__).parent / "apps" / "site"


def test_shared_tasks_are_links_and_ordinary_tasks_stay_ordinary(
    start_worker: StartWorker, standin: StandIn, redis_server: RedisServer
) -> None:
    worker = start_worker("worker", "-n", standin.hostname, "-c", "1", *QUIET, app="shop", folder=SITE)
    beat = worker.wait_until_alive(standin.ledger, standin.hostname)
    assert beat.queues == ("lane-0", "lane-1", "lane-2", "lane-3", standin.group)
    assert beat.tasks == ("orders.tasks.parse", "orders.tasks.store")

    sent = standin.send([Link("orders.tasks.parse"), Link("orders.tasks.store")], rows(4, 5))
    assert standin.outcome(sent).kind == "ok"
    assert standin.wait_for_entry(task="store")["data"] == [4, 5]
    assert standin.wait_for_entry(task="store")["app"] == "shop"

    client = Celery("web", broker=redis_server.url, backend=redis_server.url, set_as_current=False)
    assert client.send_task("orders.tasks.add", (2, 3), queue=standin.group).get(timeout=30.0) == 5


def test_the_same_project_with_the_worker_for_lanes_alone(start_worker: StartWorker, standin: StandIn) -> None:
    worker = start_worker("bridge", "worker", "-n", standin.hostname, "-c", "1", "-l", "INFO", app="shop", folder=SITE)
    beat = worker.wait_until_alive(standin.ledger, standin.hostname)
    assert beat.queues == ("lane-0", "lane-1", "lane-2", "lane-3")
    sent = standin.send([Link("orders.tasks.parse"), Link("orders.tasks.store")], rows(4, 5))
    assert standin.outcome(sent).kind == "ok"
