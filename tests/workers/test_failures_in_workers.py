"""Decoding, retries and `on_failed` through real worker processes of an app with a bridge."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bridge.devstack import RedisServer
from bridge.entries import Decided, Failure, Outcome, link_id
from bridge.records import Row
from tests.waiting import wait_until
from tests.workers.conftest import QUIET, Serving, one_worker
from tests.workers.standin import Link, Sent, StandIn, rows

APP = "tests.workers.apps.judged"


@pytest.fixture(scope="module", params=["prefork", "solo"])
def serving(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    pool = str(request.param)
    folder = tmp_path_factory.mktemp(f"judged-{pool}")
    with one_worker(redis_server, folder, "worker", "-c", "1", "-P", pool, *QUIET, app=APP) as serving:
        yield serving


@pytest.fixture
def bridge(serving: Serving) -> StandIn:
    return serving.bridge


@pytest.fixture
def other(serving: Serving, redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[StandIn]:
    """The owner of a partition of another topic, named by the test's marker parameter."""
    bridge = StandIn(redis_server.url, serving.bridge.group, topic=request.param)
    yield bridge
    bridge.close()


def link(name: str, *args: object) -> Link:
    return Link(f"{APP}.{name}", args)


def written(bridge: StandIn, task: str, sent: Sent) -> list[dict[str, Any]]:
    """What a task wrote down about records of this chain."""
    entries = [entry for entry in bridge.journal() if entry["task"] == task]
    return [
        entry
        for entry in entries
        if all(sent.first <= offset <= sent.last for offset in entry.get("offsets", [entry.get("offset", -1)]))
    ]


CHAIN = [link("note"), link("store")]


# --- decoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_an_undecodable_record_is_left_out_of_every_link(bridge: StandIn, bad: int) -> None:
    first = 1000 + 10 * bad
    values = [b"{" if index == bad else b"%d" % index for index in range(3)]
    sent = bridge.send(CHAIN, rows(*values, first=first))
    outcome = bridge.outcome(sent)
    assert (outcome.kind, outcome.next_offset, outcome.failure) == ("partial", first + 3, None)
    (rejected,) = outcome.rejected
    assert (rejected.offset, rejected.index, rejected.link) == (first + bad, bad, 1)
    assert (rejected.disposition, rejected.exception) == ("undecodable", "JSONDecodeError")
    good = [index for index in range(3) if index != bad]
    assert [entry["data"] for entry in written(bridge, "note", sent)] == good
    assert [entry["data"] for entry in written(bridge, "store", sent)] == [good]


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_batch_task_does_not_see_it_and_the_next_link_decodes_again(bridge: StandIn, bad: int) -> None:
    first = 1100 + 10 * bad
    values = [b"{" if index == bad else b"%d" % index for index in range(3)]
    sent = bridge.send([link("store"), link("note")], rows(*values, first=first))
    outcome = bridge.outcome(sent)
    assert (outcome.kind, [each.offset for each in outcome.rejected]) == ("partial", [first + bad])
    good = [index for index in range(3) if index != bad]
    assert [entry["data"] for entry in written(bridge, "store", sent)] == [good]
    assert [entry["data"] for entry in written(bridge, "note", sent)] == good


@pytest.mark.parametrize("task", ["note", "store"])
def test_a_batch_without_a_decodable_record_is_given_to_nobody(bridge: StandIn, task: str) -> None:
    first = 1200 if task == "note" else 1250
    sent = bridge.send([link(task), link("store")], rows(b"{", b"}", first=first))
    outcome = bridge.outcome(sent)
    assert (outcome.kind, outcome.at_stake) == ("partial", (first, first + 1))
    bridge.outcome(bridge.send([link("store")], rows(1, first=first + 10)))
    assert not written(bridge, task, sent)
    assert not written(bridge, "store", sent)


def test_a_record_without_a_value_is_none(bridge: StandIn) -> None:
    records: list[Row] = [(1300, -1, b"k", None, ()), (1301, -1, b"k", b"null", ())]
    sent = bridge.send(CHAIN, records)
    assert bridge.outcome(sent) == Outcome("ok", 1302)
    assert [entry["data"] for entry in written(bridge, "store", sent)] == [[None, None]]


@pytest.mark.parametrize("other", ["registry-orders"], indirect=True)
def test_a_deserializer_gets_value_and_context_and_its_registry_may_be_away(other: StandIn) -> None:
    good = b'\x00\x00\x00\x00\x07{"n": 1}'
    sent = other.send([link("store")], rows(good, b"no magic", b"away", good, first=1400))
    outcome = other.outcome(sent)
    assert (outcome.kind, outcome.next_offset, [each.offset for each in outcome.rejected]) == ("partial", 1402, [1401])
    assert outcome.failure is not None
    assert (outcome.failure.named, outcome.failure.retryable, outcome.failure.index) == (True, True, 2)
    assert str(outcome.failure) == "ConnectionRefusedError: the registry is away"
    (entry,) = written(other, "store", sent)
    assert entry["data"] == [{"topic": "registry-orders", "field": "value", "value": {"n": 1}}]
    assert other.error_of(sent)["result"]["exc_type"] == "ConnectionRefusedError"


@pytest.mark.parametrize("other", ["slow"], indirect=True)
def test_a_decoder_runs_under_the_task_s_time_limit_and_a_killed_child_is_told(
    serving: Serving, other: StandIn
) -> None:
    if serving.pool == "prefork":  # the only pool that has time limits, and outlives its processes
        sent = other.send([link("hurry")], rows(b"a", b"slow", first=1500))
        outcome = other.outcome(sent)
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.next_offset, outcome.rejected) == ("timeout", 1500, ())
        sent = other.send([link("hurry")], rows(b"a", b"die", first=1510))
        assert other.error_of(sent)["result"]["exc_type"] == "WorkerLostError"
    sent = other.send([link("hurry")], rows(b"a", b"b", first=1520))
    assert other.outcome(sent) == Outcome("ok", 1522)
    assert [entry["offsets"] for entry in written(other, "hurry", sent)] == [[1520, 1521]]


@pytest.mark.parametrize("other", ["unheard"], indirect=True)
def test_a_topic_that_the_workers_app_does_not_carry_is_told_and_not_run(serving: Serving, other: StandIn) -> None:
    sent = other.send([link("store")], rows(1, first=1600))

    def told() -> bool:
        other.listen()
        return bool(other.notices)

    wait_until(told, what="a notice of the unknown topic")
    (notice,) = other.notices
    assert (notice.link_id, notice.exception, notice.worker) == (link_id(sent.chain, 1), "NotRegistered", serving.id)
    assert "carries unheard" in notice.message
    entry = other.entry()
    assert entry is not None
    assert (entry.link, entry.claim, entry.outcome) == (1, None, None)
    assert not written(other, "store", sent)


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "again"), [(b'"worthless"', False), (b'"again"', True)])
def test_the_pipeline_s_give_up_on_holds_in_the_worker(bridge: StandIn, value: bytes, again: bool) -> None:
    first = 2000 if again else 2050
    sent = bridge.send(CHAIN, rows(1, value, 3, first=first))
    outcome = bridge.outcome(sent)
    assert outcome.failure is not None
    assert (outcome.failure.offset, outcome.failure.retryable, outcome.failure.index) == (first + 1, again, 1)
    assert [entry["offsets"] for entry in written(bridge, "store", sent)] == [[first]]


def test_the_reason_of_a_record_failed_is_what_is_given_up_on(bridge: StandIn) -> None:
    sent = bridge.send([link("point_at", 2101)], rows(1, 2, first=2100))
    failure = bridge.outcome(sent).failure
    assert failure is not None
    assert (failure.offset, failure.named, failure.retryable) == (2101, True, False)
    assert (failure.exception, failure.message) == ("Worthless", "pointed at")


# --- on_failed --------------------------------------------------------------------------------------------------------


def judge(bridge: StandIn, answer: Any, first: int) -> tuple[Outcome, Sent]:
    """Send three records of which two cannot be decoded, then ask about those; what both chains report."""
    before = bridge.send(CHAIN, rows(b"{", 2, b"[", first=first))
    outcome = bridge.outcome(before)
    at_stake = [row for row in rows(b"{", 2, b"[", first=first) if row[0] in outcome.at_stake]
    return outcome, bridge.send([link("decide", answer)], at_stake, judged=outcome)


@pytest.mark.parametrize(
    ("first", "answer", "actions"),
    [
        (3000, "dead_letter", ("dead_letter", "dead_letter")),
        (3010, "skip", ("skip", "skip")),
        (3020, ["stop", "skip"], ("stop", "skip")),
    ],
)
def test_the_failed_records_are_decided_about_by_a_chain_of_its_own(
    bridge: StandIn, first: int, answer: Any, actions: tuple[Any, Any]
) -> None:
    before, sent = judge(bridge, answer, first)
    decided = tuple(Decided(offset, action) for offset, action in zip((first, first + 2), actions, strict=True))
    assert bridge.outcome(sent) == replace(before, decided=decided)
    (entry,) = [each for each in bridge.journal() if each["task"] == "decide" and each["failures"][0][0] == first]
    assert [failure[:3] for failure in entry["failures"]] == [
        [first, "undecodable", "JSONDecodeError"],
        [first + 2, "undecodable", "JSONDecodeError"],
    ]
    assert (entry["values"], entry["data"]) == (["{", "["], [None, None])


@pytest.mark.parametrize(
    ("first", "answer", "shown", "why"),
    [
        (3100, "raise", "Worthless", "Worthless: cannot decide"),
        (3110, ["skip"], "NoDecision", "NoDecision: it returned 1 words for 2 records"),
        (3120, None, "NoDecision", "NoDecision: it returned None"),
        (3130, "perhaps", "NoDecision", "NoDecision: it returned 'perhaps' for a record"),
    ],
)
def test_a_hook_that_fails_keeps_every_record_and_celery_shows_it(
    bridge: StandIn, first: int, answer: Any, shown: str, why: str
) -> None:
    before, sent = judge(bridge, answer, first)
    outcome = bridge.outcome(sent)
    assert outcome.decided == (Decided(first, "dead_letter"), Decided(first + 2, "dead_letter"))
    assert outcome.hook_error.startswith(why)
    assert (outcome.rejected, outcome.next_offset) == (before.rejected, before.next_offset)
    assert bridge.error_of(sent)["result"]["exc_type"] == shown


def test_a_hook_may_answer_by_offset(bridge: StandIn) -> None:
    failed = bridge.send(CHAIN, rows(1, b'"worthless"', first=3200))
    outcome = bridge.outcome(failed)
    assert isinstance(outcome.failure, Failure)
    assert outcome.at_stake == (3201,)
    sent = bridge.send([link("decide_by_offset")], rows(b'"worthless"', first=3201), judged=outcome)
    assert bridge.outcome(sent) == replace(outcome, decided=(Decided(3201, "skip"),))
    bridge.wait_for_entry(task="decide_by_offset", failures=[[3201, "exhausted", "Worthless", "not this one"]])
