"""`lanebridge skip`: what it names and asks about, what it refuses, and what it says of the answers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from bridge.cli.main import bridge_group
from bridge.core.view import LaneView
from bridge.instructions import Request, Target
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from tests.cli.answering import RETRYING, STOPPED, asked, bridge, left_alone, show
from tests.cli.conftest import Cli
from tests.ops.samples import IDLE, RUNNING


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
    with bridge(operators, lambda request: answer, done=False):
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
