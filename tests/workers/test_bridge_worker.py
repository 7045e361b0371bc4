"""`celery -A APP bridge worker`: Celery's own worker, for lane queues alone."""

import signal
from collections.abc import Iterator

import pytest

from bridge.devstack import RedisServer
from bridge.entries import link_id
from tests.workers.conftest import PLAIN, Serving, StartWorker, one_worker
from tests.workers.processes import Worker
from tests.workers.standin import Link, Sent, StandIn, rows

LANES = ("lane-0", "lane-1", "lane-2", "lane-3")


def gated(standin: StandIn, lane: int = 0) -> Sent:
    """A chain whose link runs and waits."""
    sent = standin.send([Link(f"{PLAIN}.gated", ("go",))], rows(1), lane)
    standin.wait_for_entry(task="gated", event="begun", id=sent.chain)
    return sent


def start(start_worker: StartWorker, standin: StandIn, *options: str, app: str = PLAIN) -> Worker:
    worker = start_worker("bridge", "worker", "-n", standin.hostname, "-c", "1", "-l", "INFO", *options, app=app)
    worker.wait_until_alive(standin.ledger, standin.hostname)
    return worker


def queues(standin: StandIn) -> tuple[str, ...]:
    return next(beat.queues for beat in standin.ledger.heartbeats() if beat.hostname == standin.hostname)


@pytest.fixture(scope="class")
def single(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with one_worker(
        redis_server, tmp_path_factory.mktemp("one"), "bridge", "worker", "-c", "1", "-l", "INFO"
    ) as serving:
        yield serving


class TestOneWorker:
    """What one such worker does."""

    @pytest.fixture
    def standin(self, single: Serving) -> StandIn:
        return single.bridge

    def test_it_serves_all_lane_queues_and_nothing_else(self, single: Serving, standin: StandIn) -> None:
        assert queues(standin) == LANES
        sent = standin.send([Link(f"{PLAIN}.parse"), Link(f"{PLAIN}.store")], rows(1, 2), lane=3)
        assert standin.outcome(sent).kind == "ok"
        assert "mingle" not in single.worker.text()

    def test_links_with_priorities_arrive(self, standin: StandIn) -> None:
        links = [Link(f"{PLAIN}.parse", options={"priority": 9}), Link(f"{PLAIN}.store", options={"priority": 4})]
        assert standin.outcome(standin.send(links, rows(1))).kind == "ok"

    def test_time_limits_end_a_link_all_the_same(self, standin: StandIn) -> None:
        sent = standin.send([Link(f"{PLAIN}.hangs")], rows(1))
        assert standin.error_of(sent)["result"]["exc_type"] == "TimeLimitExceeded"
        assert standin.outcome(standin.send([Link(f"{PLAIN}.store")], rows(1))).kind == "ok"

    @pytest.mark.parametrize("number", [None, "SIGTERM", "SIGKILL"])
    def test_a_terminated_link_really_ends(self, standin: StandIn, number: str | None) -> None:
        sent = gated(standin)
        options = {} if number is None else {"signal": number}
        standin.app.control.revoke(link_id(sent.chain, 1), terminate=True, **options)
        error = standin.error_of(sent)
        assert (error["status"], error["result"]["exc_message"]) == ("REVOKED", ["terminated"])
        assert standin.outcome(standin.send([Link(f"{PLAIN}.store")], rows(1))).kind == "ok"
        standin.open_gate("go")
        assert not [entry for entry in standin.journal() if entry.get("event") == "ended"]
        standin.client.delete(f"gate:{standin.group}:go")


def test_it_can_be_pinned_to_some_lane_queues(start_worker: StartWorker, standin: StandIn) -> None:
    start(start_worker, standin, "-Q", "lane-1,lane-3")
    assert queues(standin) == ("lane-1", "lane-3")


@pytest.mark.parametrize(("served", "copies"), [("lane-0", 0), ("lane-0,celery", 1)])
def test_the_transport_keeps_no_copies_of_links_but_of_other_messages(
    start_worker: StartWorker, standin: StandIn, served: str, copies: int
) -> None:
    start(start_worker, standin, "-P", "solo", "-Q", served)
    standin.client.delete("unacked")
    sent = gated(standin)
    assert standin.client.hlen("unacked") == copies
    standin.open_gate("go")
    assert standin.outcome(sent).kind == "ok"


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads", "prefork --pool-start-method spawn"])
def test_a_sigterm_to_the_whole_process_group_lets_the_running_link_finish(
    start_worker: StartWorker, standin: StandIn, pool: str
) -> None:
    worker = start(start_worker, standin, "-P", *pool.split())
    sent = gated(standin)
    worker.signal_group(signal.SIGTERM)
    standin.open_gate("go")
    assert standin.outcome(sent).kind == "ok"
    assert worker.wait() == 0


def test_a_cold_shutdown_does_not_wait_for_the_running_link(start_worker: StartWorker, standin: StandIn) -> None:
    worker = start(start_worker, standin)
    gated(standin)
    worker.process.send_signal(signal.SIGQUIT)
    worker.wait()
    assert not [entry for entry in standin.journal() if entry.get("event") == "ended"]


def test_a_setting_that_breaks_a_promise_is_refused_in_one_message(start_worker: StartWorker, standin: StandIn) -> None:
    for command in (("bridge", "worker"), ("worker",)):
        worker = start_worker(*command, "-c", "1", app="tests.workers.apps.refused")
        assert worker.wait() != 0
        assert "task_reject_on_worker_lost=True on the lane task tests.workers.apps.refused.store" in worker.text()
        assert "task_always_eager=True: links must run in workers" in worker.text()
        assert "Traceback" not in worker.text()


def test_an_app_without_a_bridge_is_told_so(start_worker: StartWorker) -> None:
    worker = start_worker("bridge", "worker", app="tests.workers.apps.bare")
    assert worker.wait() == 2
    assert "Remedy: bridge = Bridge(app, group_id=...) beside it" in worker.text()
