"""What our code cannot report: killed pool children, time limits, revokes, frozen workers."""

import os
import re
import signal
from collections.abc import Iterator

import pytest

from bridge.devstack import RedisServer
from bridge.entries import link_id
from tests.waiting import wait_until
from tests.workers.conftest import PLAIN, QUIET, Serving, StartWorker, one_worker
from tests.workers.processes import Worker
from tests.workers.standin import Link, StandIn, rows


def command(standin: StandIn, pool: str = "prefork") -> tuple[str, ...]:
    return ("worker", "-P", pool, "-c", "1", "-n", standin.hostname, *QUIET)


def link(name: str, *args: object, **options: object) -> Link:
    return Link(f"{PLAIN}.{name}", args, options=options)


@pytest.fixture
def worker(start_worker: StartWorker, standin: StandIn) -> Worker:
    made = start_worker(*command(standin))
    made.wait_until_alive(standin.ledger, standin.hostname)
    return made


def worker_of(standin: StandIn) -> str:
    (beat,) = [beat for beat in standin.ledger.heartbeats() if beat.hostname == standin.hostname]
    return beat.worker


@pytest.fixture(scope="class")
def single(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with one_worker(redis_server, tmp_path_factory.mktemp("one"), "worker", "-c", "1", *QUIET) as serving:
        yield serving


class TestStoredErrors:
    """Heard on the pattern of the group's result keys, with the id of the worker that says so."""

    @pytest.fixture
    def standin(self, single: Serving) -> StandIn:
        return single.bridge

    @pytest.mark.parametrize(
        ("name", "exception"),
        [
            ("kills_its_process", "WorkerLostError"),
            ("exits", "WorkerLostError"),
            ("hangs", "TimeLimitExceeded"),
        ],
    )
    def test_a_child_that_is_gone_is_told_for_its_link_alone_and_stored_for_those_behind_it(
        self, standin: StandIn, name: str, exception: str
    ) -> None:
        sent = standin.send([link(name), link("store")], rows(1))
        error = standin.error_of(sent, 1)
        assert (error["status"], error["result"]["exc_type"]) == ("FAILURE", exception)
        entry = standin.entry()
        assert entry is not None
        assert entry.claim is not None
        assert error["worker"] == entry.claim.worker == worker_of(standin)
        stored = standin.stored_error(sent, 2)
        assert stored["status"] == "FAILURE"
        standin.listen()
        assert stored["task_id"] not in {each["task_id"] for each in standin.errors}
        assert entry.outcome is None

    def test_the_pool_goes_on_with_a_new_child_of_the_same_worker(self, standin: StandIn) -> None:
        before = worker_of(standin)
        standin.error_of(standin.send([link("kills_its_process")], rows(1)))
        assert standin.outcome(standin.send([link("store")], rows(1))).kind == "ok"
        assert worker_of(standin) == before

    def test_a_soft_time_limit_stops_at_the_record_it_hit(self, standin: StandIn) -> None:
        sent = standin.send([link("slow_from", 11)], rows(1, 2, 3))
        outcome = standin.outcome(sent)
        assert (outcome.kind, outcome.next_offset) == ("partial", 11)
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.named) == ("timeout", False)

    def test_a_soft_time_limit_of_the_link_counts_too(self, standin: StandIn) -> None:
        sent = standin.send([link("gated", "never", soft_time_limit=1)], rows(1))
        outcome = standin.outcome(sent)
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"

    def test_a_running_link_can_be_terminated(self, standin: StandIn) -> None:
        sent = standin.send([link("gated", "never")], rows(1))
        standin.wait_for_entry(task="gated", event="begun", id=sent.chain)
        standin.app.control.revoke(link_id(sent.chain, 1), terminate=True, signal="SIGKILL")
        error = standin.error_of(sent)
        assert (error["status"], error["result"]["exc_message"]) == ("REVOKED", ["terminated"])
        assert error["worker"] == worker_of(standin)

    def test_a_running_link_is_still_known_when_a_copy_of_it_has_come_and_gone(self, standin: StandIn) -> None:
        sent = standin.send([link("gated", "never")], rows(1))
        standin.wait_for_entry(task="gated", event="begun", id=sent.chain)
        standin.publish(sent)
        wait_until(lambda: not standin.client.llen(f"lane-{sent.lane}"), what="the copy taken from the queue")
        standin.app.control.revoke(link_id(sent.chain, 1), terminate=True, signal="SIGKILL")
        error = standin.error_of(sent)
        assert (error["status"], error["result"]["exc_message"]) == ("REVOKED", ["terminated"])

    def test_a_link_that_was_revoked_before_it_began_runs_no_user_code(self, standin: StandIn) -> None:
        first = standin.send([link("gated", "go")], rows(1))
        standin.wait_for_entry(task="gated", event="begun", id=first.chain)
        second = standin.send([link("store")], rows(2), lane=1)
        standin.app.control.revoke(link_id(second.chain, 1), reply=True, timeout=5.0)
        standin.open_gate("go")
        assert standin.outcome(first).kind == "ok"
        error = standin.error_of(second)
        assert (error["status"], error["result"]["exc_message"]) == ("REVOKED", ["revoked"])
        entry = standin.entry(1)
        assert entry is not None
        assert (entry.claim, entry.outcome) == (None, None)


@pytest.mark.usefixtures("worker")
def test_a_link_that_waits_for_its_rate_limit_is_in_the_heartbeat(standin: StandIn) -> None:
    assert standin.outcome(standin.send([link("limited")], rows(1))).kind == "ok"
    waiting = link_id(standin.send([link("limited")], rows(2), lane=1).chain, 1)

    def listed() -> bool:
        return any(waiting in beat.links for beat in standin.ledger.heartbeats())

    wait_until(listed, what="the waiting link in the heartbeat")


def test_with_late_acks_and_redelivery_a_killed_child_is_reported_once_and_runs_once(
    start_worker: StartWorker, standin: StandIn
) -> None:
    worker = start_worker(*command(standin), app="tests.workers.apps.late")
    worker.wait_until_alive(standin.ledger, standin.hostname)
    sent = standin.send([link("kills_its_process")], rows(1))
    assert standin.error_of(sent)["result"]["exc_type"] == "WorkerLostError"
    assert standin.outcome(standin.send([link("store")], rows(1))).kind == "ok"
    standin.listen()
    assert len([error for error in standin.errors if error["task_id"] == link_id(sent.chain, 1)]) == 1


def test_a_warm_shutdown_finishes_the_running_link_and_says_so_until_the_end(worker: Worker, standin: StandIn) -> None:
    sent = standin.send([link("gated", "go")], rows(1))
    standin.wait_for_entry(task="gated", event="begun")
    worker.terminate()

    def closing() -> bool:
        beats = [beat for beat in standin.ledger.heartbeats() if beat.hostname == standin.hostname]
        return bool(beats) and beats[0].queues == () and beats[0].links == (link_id(sent.chain, 1),)

    wait_until(closing, what="a heartbeat without queues, with the running link")
    standin.open_gate("go")
    assert standin.outcome(sent).kind == "ok"
    assert worker.wait() == 0
    assert not [beat for beat in standin.ledger.heartbeats() if beat.hostname == standin.hostname]


def test_pool_children_end_with_a_worker_that_is_killed(worker: Worker, standin: StandIn) -> None:
    standin.send([link("gated", "never")], rows(1))
    standin.wait_for_entry(task="gated", event="begun")
    children = worker.children()
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not any(_exists(child) for child in children), what="the end of the pool's children")


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_that_was_frozen_and_superseded_stops_before_the_next_record(
    start_worker: StartWorker, standin: StandIn, pool: str
) -> None:
    worker = start_worker(*command(standin, pool), environ={"TEST_WORKER_TIMEOUT": "1"})
    worker.wait_until_alive(standin.ledger, standin.hostname)
    frozen = worker_of(standin)
    sent = standin.send([link("gated_records", "record")], rows(1, 2))
    standin.wait_for_entry(task="gated_records", offset=10)
    worker.signal_group(signal.SIGSTOP)
    wait_until(lambda: not standin.ledger.is_alive(frozen), what="the end of the heartbeat")
    standin.dispatch([link("store")], rows(1, 2))
    worker.signal_group(signal.SIGCONT)
    standin.open_gate("record")
    wait_until(lambda: f"link {link_id(sent.chain, 1)}: its work is thrown away" in worker.text())
    assert not [entry for entry in standin.journal() if entry.get("offset") == 11]


def test_a_worker_that_was_frozen_but_not_superseded_goes_on(start_worker: StartWorker, standin: StandIn) -> None:
    worker = start_worker(*command(standin), environ={"TEST_WORKER_TIMEOUT": "1"})
    worker.wait_until_alive(standin.ledger, standin.hostname)
    frozen = worker_of(standin)
    sent = standin.send([link("gated_records", "record")], rows(1, 2))
    standin.wait_for_entry(task="gated_records", offset=10)
    worker.signal_group(signal.SIGSTOP)
    wait_until(lambda: not standin.ledger.is_alive(frozen), what="the end of the heartbeat")
    worker.signal_group(signal.SIGCONT)
    standin.open_gate("record")
    standin.wait_for_entry(task="gated_records", offset=11)
    standin.open_gate("record")
    assert standin.outcome(sent).kind == "ok"


def test_finished_work_is_reported_when_redis_comes_back(start_worker: StartWorker, group_name: str) -> None:
    with RedisServer(keep_data=True) as own:
        standin = StandIn(own.url, group_name)
        environ = {"TEST_REDIS_URL": own.url, "TEST_WORKER_TIMEOUT": "2"}
        worker = start_worker(*command(standin), environ=environ)
        worker.wait_until_alive(standin.ledger, standin.hostname)
        sent = standin.send([link("busy_records", 0.5)], rows(*range(6)))
        standin.wait_for_entry(task="busy_records", offset=10)
        own.suspend()
        wait_until(lambda: "busy_records 15" in worker.text(), what="the last record")
        own.resume()
        assert standin.outcome(sent).kind == "ok"
        assert re.findall(r"busy_records (\d+)", worker.text()) == [str(offset) for offset in range(10, 16)]
        standin.close()
        worker.signal_group(signal.SIGKILL)
        worker.wait()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
