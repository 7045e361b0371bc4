"""`lanebridge retry` and `skip`: what they ask of the bridges, and what they say of the answers. A thread answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli.main import bridge_group
from bridge.cli.operators.asking import Answer
from bridge.core.view import FlightView, LaneView
from bridge.instructions import Request, Target
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.records import TopicPartition
from tests.cli.conftest import Cli, publish
from tests.integration.world import clean_environment
from tests.ops.samples import ACTIVE, IDLE, RUNNING, document
from tests.waiting import wait_until

STOPPED = replace(
    IDLE,
    state="stopped",
    reason="stopped at record 42",
    attempt=5,
    max_attempts=5,
    last_error="ValueError: boom",
    first_unfinished=42,
    at_stake=(42,),
)
RETRYING = replace(STOPPED, state="retrying", attempt=2, first_unfinished=40, at_stake=(41,), retry_in=9.0)
STALLED = replace(IDLE, state="stalled", reason="no worker consumes lane-3", first_unfinished=50)
ON_ITS_WAY = replace(RUNNING, first_unfinished=80, in_flight=FlightView("chain", 1, "", 0.2))
UNCLAIMED = replace(ON_ITS_WAY, in_flight=FlightView("chain", 1, "", 3.0))
PAUSED = replace(STOPPED, state="paused", paused="orders/1/0 is paused by anna")

TRIED = "it is tried again now"


def show(ledger: Ledger, *lanes: LaneView, partition: int = 1) -> None:
    """A bridge has these lanes."""
    numbered = tuple(replace(lane, lane=index) for index, lane in enumerate(lanes))
    publish(ledger, document(replace(ACTIVE, tp=TopicPartition("orders", partition), lanes=numbered)))


@contextmanager
def bridge(operators: Operators, answer: Callable[[Request], str]) -> Iterator[list[Request]]:
    """Answers each request, "" not now, until the end of the block; gives what was asked."""
    seen, is_over = list[Request](), threading.Event()

    def run() -> None:
        while not is_over.wait(0.01):
            for request in operators.read().requests:
                if result := answer(request):
                    seen.append(request)
                    operators.answer(request, result, bridge="bridge-a", at_ms=1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def asked(requests: list[Request] | tuple[Request, ...]) -> list[tuple[str, str, int, str]]:
    return [(each.action, str(each.target), each.offset, each.who) for each in requests]


def left_alone(operators: Operators) -> bool:
    return operators.audit() == ()


# --- retry


def test_every_lane_that_waits_is_asked_for_and_its_answer_printed(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, IDLE, STOPPED, RETRYING, STALLED, UNCLAIMED, ON_ITS_WAY, RUNNING)
    with bridge(operators, lambda request: TRIED) as seen:
        result = cli("retry", "-A", app, "orders", "--as", "anna")
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == [f"orders/1/{lane}: {TRIED}" for lane in (1, 2, 3, 4)]
    assert sorted(asked(seen)) == [
        ("retry", "orders/1/1", 42, "anna"),
        ("retry", "orders/1/2", 40, "anna"),
        ("retry", "orders/1/3", 50, "anna"),
        ("retry", "orders/1/4", 80, "anna"),
    ]
    assert len({request.id for request in seen}) == 4


def test_only_the_lanes_of_the_targets_are_asked_for(cli: Cli, app: str, ledger: Ledger, operators: Operators) -> None:
    show(ledger, STOPPED, STOPPED, STOPPED)
    with bridge(operators, lambda request: TRIED) as seen:
        assert cli("retry", "-A", app, "orders/1/0", "orders/1/2").exit_code == 0
    assert {target for _, target, _, _ in asked(seen)} == {"orders/1/0", "orders/1/2"}


def test_where_nothing_waits_nothing_is_asked(cli: Cli, app: str, ledger: Ledger, operators: Operators) -> None:
    show(ledger, IDLE, RUNNING)
    result = cli("retry", "-A", app, "orders/1")
    assert (result.exit_code, result.stdout) == (0, "No lane of orders/1 waits: there is nothing to try again\n")
    assert left_alone(operators)


def test_a_topic_that_no_bridge_shows_is_not_known_to_wait(cli: Cli, app: str, operators: Operators) -> None:
    result = cli("retry", "-A", app, "orders/1")
    assert (result.exit_code, result.stderr) == (1, "no bridge shows a lane of orders/1 now\n")
    assert left_alone(operators)


@pytest.mark.parametrize(
    ("lane", "text"),
    [
        (PAUSED, "orders/1/0: orders/1/0 is paused by anna: resume it first"),
        (replace(STALLED, first_unfinished=None), "orders/1/0: it has no record to try again: no worker consumes"),
    ],
)
def test_a_lane_that_cannot_be_asked_for_says_why(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, lane: LaneView, text: str
) -> None:
    show(ledger, lane)
    result = cli("retry", "-A", app, "orders/1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(text)
    assert left_alone(operators)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (TRIED, 0),
        ("it is tried again now, as if for the first time", 0),
        ("link 1 is published again", 0),
        ("link 2 on w1 is not waited for any more; it counts as a timeout", 0),
        ("record 42 is finished already", 0),
        ("no attempt has failed: nothing to try again", 1),
        ("link 1 is running on w1: nothing to try again before it ends", 1),
        ("record 42 was rejected for good: it can be skipped, not tried again", 1),
        ("orders is paused by anna since then: resume it first", 1),
        ("there is no lane 0, the partition has 0", 1),
        ("withdrawn", 1),
    ],
)
def test_the_exit_code_says_whether_it_was_tried_again(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, answer: str, code: int
) -> None:
    show(ledger, STOPPED)
    with bridge(operators, lambda request: answer):
        result = cli("retry", "-A", app, "orders/1")
    assert (result.exit_code, result.output) == (code, f"orders/1/0: {answer}\n")


def test_what_is_not_answered_in_time_stays_asked_for_and_can_be_taken_back(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, STOPPED, STOPPED)
    with bridge(operators, lambda request: TRIED if request.target.lane == 1 else ""):
        result = cli("retry", "-A", app, "orders/1", "--timeout", "3", "--as", "anna")
    assert (result.exit_code, result.stdout) == (1, f"orders/1/1: {TRIED}\n")
    assert result.stderr == (
        "orders/1/0: retry of record 42 is not answered within 3 s. It stays asked for, and is done as soon as a "
        "bridge has the lane. To take it back: lanebridge retry orders/1/0 --withdraw\n"
    )
    assert asked(operators.read().requests) == [("retry", "orders/1/0", 42, "anna")]

    back = cli("retry", "-A", app, "orders", "--withdraw", "--as", "ben")
    assert (back.exit_code, back.stdout) == (
        0,
        "orders/1/0: retry of record 42, asked for by anna, is taken back\n",
    )
    assert operators.read().requests == ()
    assert (operators.audit()[-1].who, operators.audit()[-1].result) == ("ben", "withdrawn")


def test_what_somebody_has_asked_for_already_is_waited_for_not_asked_again(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, STOPPED)
    operators.ask(Request("first", "retry", Target("orders", 1, 0), 42, "anna", 1))
    with bridge(operators, lambda request: TRIED) as seen:
        assert cli("retry", "-A", app, "orders/1", "--as", "ben").stdout == f"orders/1/0: {TRIED}\n"
    assert [request.id for request in seen] == ["first"]


def test_many_lanes_are_asked_for_a_hundred_at_a_time(cli: Cli, app: str, ledger: Ledger, operators: Operators) -> None:
    show(ledger, *[STOPPED] * 250)
    most: list[int] = []

    def answer(request: Request) -> str:
        most.append(len(operators.read().requests))
        return TRIED

    with bridge(operators, answer) as seen:
        result = cli("retry", "-A", app, "orders", "--timeout", "120")
    assert (result.exit_code, len(result.stdout.splitlines()), len(seen)) == (0, 250, 250)
    assert max(most) <= 100


def test_after_a_hundred_that_are_not_answered_no_more_are_asked_for(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, *[STOPPED] * 130)
    result = cli("retry", "-A", app, "orders", "--timeout", "0")
    assert (result.exit_code, len(operators.read().requests)) == (1, 100)
    assert "30 more lanes are not asked before these are answered" in result.stderr


def test_a_retry_as_json_has_every_request_with_its_result(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, STOPPED, PAUSED)
    with bridge(operators, lambda request: TRIED):
        result = cli("retry", "-A", app, "orders", "--as", "anna", "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    found = json.loads(result.stdout)
    (request,) = found["requests"]
    assert request | {"id": "", "at_ms": 0} == {
        "id": "",
        "action": "retry",
        "target": "orders/1/0",
        "offset": 42,
        "who": "anna",
        "at_ms": 0,
        "note": "",
        "result": TRIED,
        "done": True,
    }
    assert found["not_asked"] == ["orders/1/1: orders/1/0 is paused by anna: resume it first"]


def test_ctrl_c_ends_the_waiting_and_leaves_what_is_asked_for(
    app: str, ledger: Ledger, operators: Operators, tmp_path: Path
) -> None:
    show(ledger, STOPPED)
    command = [sys.executable, "-m", "bridge.cli", "retry", "-A", app, "orders", "--timeout", "600"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: operators.read().requests, what="the request")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "It stays asked for" in errors
    assert len(operators.read().requests) == 1


# --- skip


def skip(app: str, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(bridge_group, ["skip", "-A", app, *arguments], input=typed, prog_name="lanebridge")


def skipped(request: Request) -> str:
    return f"record {request.offset} is skipped"


STANDS = "orders/1/0 (stopped) stands at record 42 after 5 of 5 attempts: ValueError: boom"
ASKED = "To be skipped: record 42. It is never handled, and no dead letter is written."


def test_what_is_to_be_skipped_is_named_and_asked_about(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, STOPPED)
    with bridge(operators, skipped) as seen:
        result = skip(app, "orders/1", "--as", "anna", typed="y\n")
    assert (result.exit_code, result.stdout) == (0, "orders/1/0: record 42 is skipped\n")
    assert result.stderr.splitlines()[:2] == [STANDS, ASKED]
    assert result.stderr.splitlines()[2].startswith("Skip it? [y/N]: ")
    assert asked(seen) == [("skip", "orders/1/0", 42, "anna")]


@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
def test_what_is_not_confirmed_is_not_skipped(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, typed: str
) -> None:
    show(ledger, STOPPED)
    assert skip(app, "orders/1", typed=typed).exit_code == 1
    assert left_alone(operators)


def test_all_records_at_stake_are_skipped_or_only_the_one_that_is_named(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, replace(STOPPED, at_stake=(42, 44, 47)))
    with bridge(operators, skipped) as seen:
        assert cli("skip", "-A", app, "orders/1", "--offset", "44", "--yes").exit_code == 0
        assert [request.offset for request in seen] == [44]
        result = cli("skip", "-A", app, "orders/1", "--yes")
    assert result.exit_code == 0
    assert sorted(request.offset for request in seen) == [42, 44, 44, 47]
    assert "To be skipped: records 42, 44, 47. They are never handled" in result.stderr


def test_of_several_lanes_the_only_one_that_stands_is_meant(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, IDLE, RUNNING, RETRYING)
    with bridge(operators, skipped) as seen:
        assert cli("skip", "-A", app, "orders/1", "--yes").exit_code == 0
    assert [(str(each.target), each.offset) for each in seen] == [("orders/1/2", 41)]


@pytest.mark.parametrize(
    ("lanes", "arguments", "error"),
    [
        ((IDLE,), ("orders/1",), "orders/1 stands at no record that failed: there is nothing to skip: idle, waiting"),
        ((RUNNING, IDLE), ("orders/1",), "orders/1 stands at no record that failed: there is nothing to skip\n"),
        ((STOPPED, RUNNING), ("orders/1/1",), "orders/1/1 stands at no record that failed"),
        (
            (STOPPED, RETRYING),
            ("orders/1",),
            "2 lanes of orders/1 stand: orders/1/0 at record 42, orders/1/1 at record 41. Name one of them\n",
        ),
        ((STOPPED,), ("orders/1", "--offset", "43"), "orders/1/0 does not stand at record 43, but at record 42\n"),
        ((STOPPED,), ("orders/0",), "no bridge shows orders/0 now: what it stands at is not known\n"),
    ],
)
def test_what_did_not_fail_cannot_be_skipped(
    cli: Cli,
    app: str,
    ledger: Ledger,
    operators: Operators,
    lanes: tuple[LaneView, ...],
    arguments: tuple[str, ...],
    error: str,
) -> None:
    show(ledger, *lanes)
    result = cli("skip", "-A", app, *arguments, "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {error}")
    assert left_alone(operators)


@pytest.mark.parametrize("target", ["orders", "orders/1/7", "orders/2", "invoices/0"])
def test_skipping_needs_a_partition_that_is_there(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, target: str
) -> None:
    show(ledger, STOPPED)
    result = cli("skip", "-A", app, target, "--yes")
    assert (result.exit_code, result.stdout) == (2, "")
    assert left_alone(operators)


@pytest.mark.parametrize("answer", ["record 42 is finished already", "the lane stands at 50, not at record 42"])
def test_what_the_bridge_refuses_to_skip_is_not_done(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, answer: str
) -> None:
    show(ledger, STOPPED)
    with bridge(operators, lambda request: answer):
        result = cli("skip", "-A", app, "orders/1", "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(f"orders/1/0: {answer}\n")


def test_of_more_records_than_are_shown_the_bridge_knows(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, replace(STOPPED, at_stake=tuple(range(20))))
    with bridge(operators, skipped) as seen:
        assert cli("skip", "-A", app, "orders/1", "--offset", "33", "--yes").exit_code == 0
    assert [request.offset for request in seen] == [33]


def test_a_skip_that_waits_can_be_taken_back_for_one_record(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    show(ledger, replace(STOPPED, at_stake=(42, 44)))
    assert cli("skip", "-A", app, "orders/1", "--yes", "--timeout", "0").exit_code == 1
    result = cli("skip", "-A", app, "orders/1", "--offset", "44", "--withdraw", "--json")
    (back,) = json.loads(result.stdout)["requests"]
    assert (result.exit_code, back["offset"], back["withdrawn"]) == (0, 44, True)
    assert [request.offset for request in operators.read().requests] == [42]


def test_taking_back_what_nobody_has_asked_for_is_refused(cli: Cli, app: str, operators: Operators) -> None:
    operators.ask(Request("other", "retry", Target("orders", 1, 0), 42, "anna", 1))
    result = cli("skip", "-A", app, "orders/1", "--withdraw")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No skip of orders/1 waits for an answer" in result.stderr
    assert [request.id for request in operators.read().requests] == ["other"]


def test_a_request_without_an_answer_is_not_done() -> None:
    assert not Answer(Request("1", "retry", Target("orders", 1, 0), 42, "anna", 1), None).is_done
