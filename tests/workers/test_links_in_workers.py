"""Chains through real worker processes (prefork and solo), dispatched through the real ledger."""

import pytest

from bridge.entries import Outcome, link_id
from bridge.workers.backend import TOLD_EXPIRES
from tests.waiting import wait_until
from tests.workers.conftest import PLAIN, Serving
from tests.workers.standin import Link, Sent, StandIn, rows


def link(name: str, *args: object, **kwargs: object) -> Link:
    return Link(f"{PLAIN}.{name}", args, kwargs)


@pytest.fixture
def bridge(serving: Serving) -> StandIn:
    return serving.bridge


def entries(bridge: StandIn, sent: Sent, task: str) -> list[dict[str, object]]:
    """What a task wrote down about records of this chain's range."""
    return [
        entry
        for entry in bridge.journal()
        if entry["task"] == task
        and (entry.get("id") == sent.chain or sent.first <= entry.get("offset", -1) <= sent.last)
    ]


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_a_record_task_alone(bridge: StandIn) -> None:
    sent = bridge.send([link("parse")], rows(1, 2, 3, first=100), attempt=2)
    assert bridge.outcome(sent) == Outcome("ok", 103)
    assert [(entry["offset"], entry["attempt"]) for entry in entries(bridge, sent, "parse")] == [
        (100, 2),
        (101, 2),
        (102, 2),
    ]


def test_a_batch_task_alone(bridge: StandIn) -> None:
    sent = bridge.send([link("store", "table-1")], rows(b"a", b"", first=200))
    assert bridge.outcome(sent) == Outcome("ok", 202)
    (entry,) = entries(bridge, sent, "store")
    assert (entry["offsets"], entry["values"], entry["table"]) == ([200, 201], ["a", ""], "table-1")


def test_record_tasks_and_a_batch_task_pass_data_on(bridge: StandIn) -> None:
    links = [link("parse"), link("double", by=10), link("store", table="t")]
    sent = bridge.send(links, rows(1, 2, 3, first=300))
    assert bridge.outcome(sent) == Outcome("ok", 303)
    (entry,) = entries(bridge, sent, "store")
    assert (entry["data"], entry["offsets"]) == ([10, 20, 30], [300, 301, 302])
    assert entry["link"] == link_id(sent.chain, 3)
    assert entry["queue"] == "lane-0"


def test_data_passes_a_batch_task_unchanged(bridge: StandIn) -> None:
    sent = bridge.send([link("parse"), link("store"), link("double"), link("store")], rows(1, 2, first=400))
    assert bridge.outcome(sent) == Outcome("ok", 402)
    assert [entry["data"] for entry in entries(bridge, sent, "store")] == [[1, 2], [2, 4]]


def test_every_link_goes_to_its_lanes_queue(bridge: StandIn) -> None:
    sent = bridge.send([link("parse"), link("store")], rows(1, first=500), lane=3)
    bridge.outcome(sent)
    (entry,) = entries(bridge, sent, "store")
    assert (entry["queue"], entry["lane"]) == ("lane-3", 3)


def test_nothing_is_stored_for_links_that_succeed(bridge: StandIn) -> None:
    sent = bridge.send([link("parse"), link("store")], rows(1, first=600))
    bridge.outcome(sent)
    assert not bridge.client.keys(f"celery-task-meta-{sent.chain}*")


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failing_record_lets_the_ones_before_it_finish_the_chain(serving: Serving) -> None:
    bridge = serving.bridge
    sent = bridge.send([link("parse"), link("double"), link("store")], rows(1, 2, b"x", 4, first=1000))
    outcome = bridge.outcome(sent)
    assert (outcome.kind, outcome.next_offset) == ("partial", 1002)
    assert outcome.failure is not None
    assert (outcome.failure.offset, outcome.failure.named, outcome.failure.link) == (1002, True, 1)
    assert outcome.failure.task == f"{PLAIN}.parse"
    (entry,) = entries(bridge, sent, "store")
    assert entry["data"] == [2, 4]
    assert "stopped at offset 1002" in serving.worker.text()


def test_a_failure_at_the_first_record_is_shown_by_celery_and_ends_the_chain(serving: Serving) -> None:
    bridge = serving.bridge
    sent = bridge.send([link("parse"), link("store")], rows(b"x", 2, first=1100))
    assert bridge.outcome(sent).kind == "failed"
    error = bridge.error_of(sent, 1)
    assert (error["status"], error["result"]["exc_type"]) == ("FAILURE", "ValueError")
    assert "in parse" in error["traceback"]
    assert error["worker"] == serving.id
    assert bridge.stored_error(sent, 2)["status"] == "FAILURE"
    assert 0 < int(bridge.client.ttl(f"celery-task-meta-{link_id(sent.chain, 1)}")) <= TOLD_EXPIRES
    assert not entries(bridge, sent, "store")


def test_an_exception_in_a_batch_task_names_no_record(bridge: StandIn) -> None:
    outcome = bridge.outcome(bridge.send([link("explode")], rows(1, 2, first=1200)))
    assert (outcome.kind, outcome.next_offset) == ("failed", 1200)
    assert outcome.failure is not None
    assert (str(outcome.failure), outcome.failure.named) == ("RuntimeError: exploded with 2 records", False)


def test_record_failed_names_the_record(bridge: StandIn) -> None:
    sent = bridge.send([link("parse"), link("fail_at", 1301), link("store")], rows(1, 2, 3, first=1300))
    outcome = bridge.outcome(sent)
    assert (outcome.kind, outcome.next_offset) == ("partial", 1301)
    assert outcome.failure is not None
    assert (outcome.failure.named, outcome.failure.link) == (True, 2)
    assert [entry["offsets"] for entry in entries(bridge, sent, "store")] == [[1300]]


def test_rejected_records_are_reported_and_do_not_reach_later_links(bridge: StandIn) -> None:
    sent = bridge.send([link("reject_odd"), link("store")], rows(1, 2, 3, 4, first=1400))
    outcome = bridge.outcome(sent)
    assert (outcome.kind, outcome.next_offset, outcome.watermark) == ("partial", 1404, 1400)
    assert [(each.offset, each.reason) for each in outcome.rejected] == [(1400, "odd"), (1402, "odd")]
    assert [entry["offsets"] for entry in entries(bridge, sent, "store")] == [[1401, 1403]]


def test_a_chain_whose_records_are_all_rejected_ends_there(bridge: StandIn) -> None:
    sent = bridge.send([link("reject_odd"), link("store")], rows(1, 3, first=1500))
    assert bridge.outcome(sent).kind == "partial"
    after = bridge.send([link("store")], rows(1, first=1510))
    bridge.outcome(after)
    assert not entries(bridge, sent, "store")


def test_data_that_cannot_travel_fails_its_record_for_good(bridge: StandIn) -> None:
    sent = bridge.send([link("unserialisable"), link("store")], rows(1, 2, 3, first=10))
    outcome = bridge.outcome(sent)
    assert outcome.failure is not None
    assert (outcome.failure.offset, outcome.failure.retryable) == (12, False)
    assert f"{PLAIN}.unserialisable: record 12: object cannot be carried" in outcome.failure.message
    assert [entry["data"] for entry in entries(bridge, sent, "store")] == [[10, 11]]


def test_a_retry_publishes_nothing_and_reports_the_wait(bridge: StandIn) -> None:
    sent = bridge.send([link("retry_later")], rows(1, first=1600))
    outcome = bridge.outcome(sent)
    assert (outcome.kind, outcome.delay) == ("failed", 7.0)
    assert str(outcome.failure) == "ConnectionError: the table is locked"
    assert bridge.error_of(sent)["result"]["exc_type"] == "ConnectionError"


def test_an_unknown_task_is_told_to_the_bridge(serving: Serving) -> None:
    bridge = serving.bridge
    sent = bridge.send([link("parse"), link("nowhere")], rows(1, first=1700))

    def told() -> bool:
        bridge.listen()
        return bool(bridge.notices)

    wait_until(told, what="a notice of the unknown task")
    assert [tuple(notice) for notice in bridge.notices] == [
        (link_id(sent.chain, 2), "FAILURE", "NotRegistered", f"{PLAIN}.nowhere", serving.id)
    ]
    entry = bridge.entry()
    assert entry is not None
    assert (entry.link, entry.claim, entry.outcome) == (2, None, None)


# --- one winner -------------------------------------------------------------------------------------------------------


def test_a_second_delivery_runs_no_user_code(bridge: StandIn) -> None:
    sent = bridge.send([link("gated", "twice")], rows(1, first=2000))
    bridge.wait_for_entry(task="gated", event="begun", id=sent.chain)
    bridge.publish(sent)
    bridge.open_gate("twice")
    assert bridge.outcome(sent).kind == "ok"
    bridge.publish(sent)
    bridge.outcome(bridge.send([link("store")], rows(1, first=2010)))
    begun = [entry for entry in bridge.journal() if entry.get("event") == "begun" and entry["id"] == sent.chain]
    assert len(begun) == 1


def test_a_link_that_is_published_again_goes_on_with_the_rest_of_its_chain(bridge: StandIn) -> None:
    sent = bridge.dispatch([link("parse"), link("store")], rows(1, first=2100))
    bridge.publish(sent)
    bridge.publish(sent)
    assert bridge.outcome(sent).kind == "ok"
    bridge.publish(sent, 2)
    bridge.outcome(bridge.send([link("store")], rows(1, first=2110)))
    assert len(entries(bridge, sent, "parse")) == 1
    assert len(entries(bridge, sent, "store")) == 1


def test_a_superseded_link_ends_without_a_trace_and_its_next_link_does_not_start(serving: Serving) -> None:
    bridge = serving.bridge
    sent = bridge.send([link("gated", "old"), link("store")], rows(1, first=2200))
    bridge.wait_for_entry(task="gated", event="begun", id=sent.chain)
    newer = bridge.dispatch([link("store")], rows(1, first=2200))
    bridge.open_gate("old")
    wait_until(lambda: f"link {link_id(sent.chain, 1)}: its work is thrown away" in serving.worker.text())
    bridge.publish(newer)
    assert bridge.outcome(newer).kind == "ok"
    assert not entries(bridge, sent, "store")
    bridge.listen()
    assert not [error for error in bridge.errors if error["task_id"].startswith(sent.chain)]


# --- sign of life -----------------------------------------------------------------------------------------------------


def test_the_heartbeat_tells_queues_tasks_pool_and_the_links_that_run(serving: Serving) -> None:
    bridge = serving.bridge

    def beat() -> object:
        return next(beat for beat in bridge.ledger.heartbeats() if beat.worker == serving.id)

    sent = bridge.send([link("gated", "beat")], rows(1, first=2300))
    running = link_id(sent.chain, 1)
    wait_until(lambda: running in beat().links, what="the running link in the heartbeat")  # type: ignore[attr-defined]
    found = next(beat for beat in bridge.ledger.heartbeats() if beat.worker == serving.id)
    assert (found.hostname, found.pool) == (bridge.hostname, serving.pool)
    assert found.queues == ("celery", "lane-0", "lane-1", "lane-2", "lane-3")
    assert found.concurrency == (2 if serving.pool == "prefork" else 1)
    assert f"{PLAIN}.store" in found.tasks
    assert f"{PLAIN}.add" not in found.tasks
    bridge.open_gate("beat")
    bridge.outcome(sent)
    wait_until(lambda: running not in beat().links, what="the link gone from the heartbeat")  # type: ignore[attr-defined]
