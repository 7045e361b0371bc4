"""`lanebridge retry`: what it asks of the bridges, and what it says of the answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.cli.operators.asking import Answer
from bridge.core.view import LaneView
from bridge.instructions import Request, Target
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from tests.cli.answering import (
    ON_ITS_WAY,
    PAUSED,
    RETRYING,
    STALLED,
    STOPPED,
    TRIED,
    UNCLAIMED,
    asked,
    bridge,
    left_alone,
    show,
)
from tests.cli.conftest import Cli
from tests.integration.world import clean_environment
from tests.ops.samples import IDLE, RUNNING
from tests.waiting import wait_until


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
        ("record 42 was rejected for good: it can be skipped, not tried again", 1),
    ],
)
def test_the_exit_code_says_whether_it_was_tried_again(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, answer: str, code: int
) -> None:
    show(ledger, STOPPED)
    with bridge(operators, lambda request: answer, done=code == 0):
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
        "orders/1/0: retry of record 42 is not answered yet. It stays asked for, and is done as soon as a "
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
    show(ledger, STOPPED, STOPPED)
    operators.ask(Request("first", "retry", Target("orders", 1, 0), 42, "anna", 1))

    def answer(request: Request) -> str:
        """Not before the command has looked, and asked for the other lane."""
        return TRIED if operators.audit()[-1].target == "orders/1/1" or request.target.lane == 1 else ""

    with bridge(operators, answer) as seen:
        result = cli("retry", "-A", app, "orders/1", "--as", "ben")
    assert sorted(result.stdout.splitlines()) == [f"orders/1/0: {TRIED}", f"orders/1/1: {TRIED}"]
    assert sorted((request.target.lane, request.who) for request in seen) == [(0, "anna"), (1, "ben")]


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


def test_a_request_without_an_answer_is_not_done() -> None:
    assert not Answer(Request("1", "retry", Target("orders", 1, 0), 42, "anna", 1), None).is_done
