"""`lanebridge pause`, `resume` and `audit`, on a real Redis with what bridges have published to it."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import replace

import pytest

from bridge.core.view import PartitionView
from bridge.instructions import AuditLine, Pause, Target
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.records import TopicPartition
from tests.cli.conftest import GOOD, Cli, WriteApp, of_group, publish
from tests.ops.samples import ACTIVE, IDLE, TP, document

ANNA = Pause(Target("orders", 1), "anna@laptop", 1_795_512_600_000, "database upgrade")
SINCE = "orders/1 is paused by anna@laptop since 2026-11-24 09:30:00 UTC (database upgrade)"

#: an app with a pipeline of expressions beside that of orders
EXPRESSIONS = f"""{GOOD}
    bridge.pipeline(["^pay", "returns"], chain=store.s(), name="money")
"""


def partition_of(topic: str, number: int, lanes: int = 1) -> PartitionView:
    views = tuple(replace(IDLE, lane=lane) for lane in range(lanes))
    return replace(ACTIVE, tp=TopicPartition(topic, number), lanes=views)


def paused(operators: Operators) -> list[tuple[str, str, str]]:
    return [(str(pause.target), pause.who, pause.note) for pause in operators.read().pauses]


def audited(operators: Operators) -> list[tuple[str, str, str]]:
    return [(line.action, line.target, line.who) for line in operators.audit()]


# --- pause


@pytest.mark.parametrize("target", ["orders", "orders/1", "orders/1/0"])
def test_a_pause_is_left_for_the_bridges_with_who_and_why(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, target: str
) -> None:
    publish(ledger, document(ACTIVE))
    result = cli("pause", "-A", app, target, "--as", "anna@laptop", "--note", "database\n upgrade")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{target} is paused: nothing more of it is dispatched until it is resumed; the chain in flight will end\n"
    )
    assert paused(operators) == [(target, "anna@laptop", "database upgrade")]
    assert audited(operators) == [("pause", target, "anna@laptop")]


def test_the_name_is_that_of_the_user_and_the_host(cli: Cli, app: str, operators: Operators) -> None:
    assert cli("pause", "-A", app, "orders").exit_code == 0
    assert paused(operators) == [("orders", f"{getpass.getuser()}@{socket.gethostname()}", "")]


def test_a_user_without_a_name_is_a_number(
    cli: Cli, app: str, operators: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert cli("pause", "-A", app, "orders").exit_code == 0
    assert paused(operators) == [("orders", f"uid-4711@{socket.gethostname()}", "")]


def test_a_topic_of_the_app_may_be_paused_before_a_bridge_runs(cli: Cli, app: str, operators: Operators) -> None:
    result = cli("pause", "-A", app, "orders/7/3")
    assert result.exit_code == 0
    assert result.stdout.endswith("; no bridge shows it now, it holds as soon as one has it\n")
    assert [target for target, _, _ in paused(operators)] == ["orders/7/3"]


def test_pausing_twice_says_who_was_first_and_changes_nothing(cli: Cli, app: str, operators: Operators) -> None:
    operators.pause(ANNA)
    result = cli("pause", "-A", app, "orders/1", "--as", "ben", "--note", "mine")
    assert (result.exit_code, result.stdout) == (0, f"Already so: {SINCE}\n")
    assert operators.read().pauses == (ANNA,)


def test_a_pause_beside_a_wider_one_says_so(cli: Cli, app: str, operators: Operators) -> None:
    operators.pause(ANNA)
    result = cli("pause", "-A", app, "orders/1/0")
    assert result.stdout.endswith(f". Besides, {SINCE}: both must be resumed\n")
    assert [target for target, _, _ in paused(operators)] == ["orders/1", "orders/1/0"]


def test_a_pause_as_json_says_whether_it_stood_before(cli: Cli, app: str, operators: Operators) -> None:
    operators.pause(ANNA)
    result = cli("pause", "-A", app, "orders/1", "orders/2", "--as", "ben", "--json")
    first, second = json.loads(result.stdout)["paused"]
    assert first == {
        "target": "orders/1",
        "who": "anna@laptop",
        "at_ms": ANNA.at_ms,
        "note": "database upgrade",
        "was_paused": True,
    }
    assert (second["target"], second["who"], second["was_paused"]) == ("orders/2", "ben", False)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("invoices", "no pipeline of the app has a topic invoices, and no bridge shows one; there is orders"),
        ("order", "there is orders; did you mean orders?"),
        ("orders/4", "no bridge has orders/4: the partitions of orders that bridges have end with 2"),
        ("orders/1/1", "there is no lane orders/1/1: partition orders/1 has one lane, 0"),
        ("orders/2/8", "there is no lane orders/2/8: partition orders/2 has 8 lanes, 0 to 7"),
        ("orders/x", "'orders/x' is not TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE"),
        ("orders/1/0/0", "'orders/1/0/0' is not TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE"),
        ("orders/-1", "'orders/-1' is not TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE"),
        ("", "'' is not TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE"),
    ],
)
@pytest.mark.parametrize("command", ["pause", "resume", "retry"])
def test_what_is_not_there_is_a_usage_error_and_nothing_is_done(
    cli: Cli, app: str, ledger: Ledger, operators: Operators, command: str, target: str, error: str
) -> None:
    publish(ledger, document(ACTIVE, partition_of("orders", 2, 8)))
    result = cli(command, "-A", app, "orders/1", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr
    assert (operators.read().pauses, operators.audit()) == ((), ())


def test_a_partition_on_its_way_between_two_bridges_may_be_paused(
    cli: Cli, app: str, ledger: Ledger, operators: Operators
) -> None:
    publish(ledger, document(ACTIVE))
    assert cli("pause", "-A", app, "orders/0").exit_code == 0
    assert [target for target, _, _ in paused(operators)] == ["orders/0"]


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_naming_nothing_is_a_usage_error(cli: Cli, app: str, command: str) -> None:
    result = cli(command, "-A", app)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: name a TARGET ")


@pytest.mark.parametrize("option", ["--as", "--note"])
@pytest.mark.parametrize("text", [" ", "x" * 501])
def test_a_name_or_note_that_nobody_can_read_is_a_usage_error(cli: Cli, app: str, option: str, text: str) -> None:
    result = cli("pause", "-A", app, "orders", option, text)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': it must have 1 to " in result.stderr


# --- whole pipelines


def test_a_pipeline_is_all_its_topics_and_what_its_expressions_match_now(
    cli: Cli, write_app: WriteApp, redis_url: str, group_name: str, ledger: Ledger, operators: Operators
) -> None:
    app = write_app(of_group(EXPRESSIONS, redis_url, group_name))
    publish(ledger, document(*(partition_of(topic, 0) for topic in ("orders", "payments", "payroll"))))
    assert cli("pause", "-A", app, "--pipeline", "money").exit_code == 0
    assert [target for target, _, _ in paused(operators)] == ["payments", "payroll", "returns"]


def test_a_pipeline_is_resumed_with_the_topics_that_no_bridge_shows_any_more(
    cli: Cli, write_app: WriteApp, redis_url: str, group_name: str, operators: Operators
) -> None:
    app = write_app(of_group(EXPRESSIONS, redis_url, group_name))
    for target in (Target("payments"), Target("payroll", 3), Target("orders")):
        operators.pause(replace(ANNA, target=target))
    assert cli("resume", "-A", app, "--pipeline", "money").exit_code == 0
    assert [target for target, _, _ in paused(operators)] == ["orders"]


def test_an_expression_that_matches_nothing_now_is_an_error(
    cli: Cli, write_app: WriteApp, redis_url: str, group_name: str
) -> None:
    source = EXPRESSIONS.replace('["^pay", "returns"]', '"^pay"')
    result = cli("pause", "-A", write_app(of_group(source, redis_url, group_name)), "--pipeline", "money")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: pipeline 'money' is the expression ^pay, and no bridge shows a topic that it matches: name the "
        "topics\n",
    )


def test_a_pipeline_that_does_not_exist_is_a_usage_error(cli: Cli, app: str) -> None:
    result = cli("pause", "-A", app, "--pipeline", "order")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: the app has no pipeline 'order', it has orders; did you mean orders?\n",
    )


# --- resume


def test_resuming_says_who_had_paused(cli: Cli, app: str, operators: Operators) -> None:
    operators.pause(ANNA)
    result = cli("resume", "-A", app, "orders/1", "--as", "ben")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"orders/1 is resumed; before: {SINCE}\n"
    assert paused(operators) == []
    assert audited(operators) == [("pause", "orders/1", "anna@laptop"), ("resume", "orders/1", "ben")]


def test_resuming_a_topic_resumes_its_parts(cli: Cli, app: str, operators: Operators) -> None:
    for target in (Target("orders", 1), Target("orders", 2, 3), Target("payments")):
        operators.pause(replace(ANNA, target=target))
    result = cli("resume", "-A", app, "orders", "--json")
    found = json.loads(result.stdout)
    assert ([each["target"] for each in found["resumed"]], found["still_paused"]) == (["orders/1", "orders/2/3"], [])
    assert [target for target, _, _ in paused(operators)] == ["payments"]


@pytest.mark.parametrize("is_paused_itself", [False, True])
def test_a_part_of_what_is_paused_names_what_to_resume(
    cli: Cli, app: str, operators: Operators, is_paused_itself: bool
) -> None:
    operators.pause(ANNA)
    if is_paused_itself:
        operators.pause(replace(ANNA, target=Target("orders", 1, 0)))
    result = cli("resume", "-A", app, "orders/1/0")
    still = "does not go on yet:" if is_paused_itself else "is not paused by itself, but"
    assert result.stderr == f"Error: orders/1/0 {still} {SINCE}. Resume that: lanebridge resume orders/1\n"
    assert result.exit_code == 1
    assert operators.read().pauses == (ANNA,)


def test_resuming_what_is_not_paused_is_done_already(cli: Cli, app: str, operators: Operators) -> None:
    result = cli("resume", "-A", app, "orders")
    assert (result.exit_code, result.stdout, operators.audit()) == (0, "orders is not paused\n", ())


def test_a_topic_that_is_gone_from_the_app_can_be_resumed(cli: Cli, app: str, operators: Operators) -> None:
    operators.pause(replace(ANNA, target=Target("former")))
    assert cli("resume", "-A", app, "former").exit_code == 0
    assert paused(operators) == []


# --- audit


def test_the_audit_shows_who_did_what_with_its_result(cli: Cli, app: str, operators: Operators) -> None:
    cli("pause", "-A", app, "orders", "--as", "anna", "--note", "upgrade")
    cli("resume", "-A", app, "orders", "--as", "[bold]ben\x1b[31m")
    lines = [line.split() for line in cli("audit", "-A", app).stdout.splitlines() if line.strip()][2:]
    assert [(line[2:6], " ".join(line[6:])) for line in lines] == [
        (["anna", "pause", "orders", "-"], "done (upgrade)"),
        (["[bold]ben\\x1b[31m", "resume", "orders", "-"], "done"),
    ]


def test_the_audit_as_json_has_the_last_lines_oldest_first(cli: Cli, app: str, operators: Operators) -> None:
    for number in range(5):
        operators.pause(replace(ANNA, target=Target("orders", number)))
    found = json.loads(cli("audit", "-A", app, "--json", "--count", "2").stdout)["audit"]
    assert [line["target"] for line in found] == ["orders/3", "orders/4"]
    assert tuple(found[0]) == AuditLine.__match_args__


def test_an_empty_audit_says_so(cli: Cli, app: str, group_name: str) -> None:
    result = cli("audit", "-A", app)
    assert result.exit_code == 0
    assert " ".join(result.stdout.split()) == (
        f"Nobody has paused, resumed, retried or skipped anything of group {group_name}."
    )


@pytest.mark.parametrize("arguments", [("pause", "orders"), ("resume", "orders"), ("retry", "orders"), ("audit",)])
def test_a_ledger_that_does_not_answer_is_a_fatal_error_without_its_password(
    cli: Cli, write_app: WriteApp, arguments: tuple[str, ...]
) -> None:
    result = cli(*arguments, "-A", write_app())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: the ledger (ledger_url redis://:***@127.0.0.1:1/0) cannot be read: ")


def test_the_partition_of_the_samples_is_the_one_that_the_tests_name() -> None:
    assert TP == ("orders", 1)
