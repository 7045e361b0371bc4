"""`lanebridge lanes`: the whole group's lanes from what its bridges have published to a real Redis."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from bridge.cli.lanes_table import lane_table
from bridge.core.view import LaneState
from bridge.entries import Owner
from bridge.instructions import Pause, Request, Target
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ops.state import Bridge, State
from bridge.records import TopicPartition
from tests.cli.conftest import Cli, WriteApp, publish
from tests.integration.world import clean_environment
from tests.ops.samples import ACTIVE, IDLE, RUNNING, TP, WALL_MS, document, with_lane
from tests.ops.test_state import LANE_FIELDS
from tests.waiting import wait_until


def rows(output: str) -> list[list[str]]:
    """The table's rows, without the sum and the head."""
    lines = output.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("─"))
    return [line.split() for line in lines[start + 1 :] if line.strip()]


def test_json_is_the_merged_state_of_all_bridges_with_the_public_fields(cli: Cli, app: str, ledger: Ledger) -> None:
    other = document(replace(ACTIVE, tp=TopicPartition("orders", 2), lanes=(IDLE,)), bridge="bridge-b", ends={})
    publish(ledger, document(ACTIVE), other)
    result = cli("lanes", "-A", app, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert [tuple(lane)[: len(LANE_FIELDS)] for lane in found["lanes"]] == [LANE_FIELDS] * 2
    assert [(lane["partition"], lane["owner"], lane["state"], lane["lag"]) for lane in found["lanes"]] == [
        (1, "bridge-a", "running", 20),
        (2, "bridge-b", "idle", None),
    ]
    assert found["lanes"][0]["in_flight"] == {
        "chain": "g.orders-1.80-89.7-1",
        "link": 1,
        "worker": "host.1",
        "age_seconds": 2.0,
    }
    assert [bridge["id"] for bridge in found["bridges"]] == ["bridge-a", "bridge-b"]


def test_without_a_bridge_json_is_an_empty_document(cli: Cli, app: str) -> None:
    result = cli("lanes", "-A", app, "--json")
    assert (result.exit_code, json.loads(result.stdout)["lanes"]) == (0, [])


def test_without_a_bridge_the_table_says_so_and_what_to_do(cli: Cli, app: str, group_name: str) -> None:
    result = cli("lanes", "-A", app)
    assert result.exit_code == 0
    assert result.stdout == (
        f"No bridge of group {group_name} is running: none has published its state in the last seconds. "
        "Start one with: lanebridge run\n"
    )


def test_the_table_sums_up_and_shows_what_each_lane_does(cli: Cli, app: str, ledger: Ledger, group_name: str) -> None:
    publish(ledger, document(ACTIVE))
    result = cli("lanes", "-A", app)
    assert (result.exit_code, result.stderr) == (0, "")
    first = result.stdout.splitlines()[0]
    assert first == (f"Group {group_name}: 1 bridge, 1 partition, 1 lane (1 running); lag 20 records, oldest 1.5 s")
    (row,) = rows(result.stdout)
    assert row[:11] == ["orders[1]", "0", "running", "20", "1.5", "s", "80", "100", "4", "2", "lane-0"]
    assert " ".join(row[11:]) == RUNNING.reason


def test_lanes_in_trouble_come_first_then_the_oldest(cli: Cli, app: str, ledger: Ledger) -> None:
    states: list[LaneState] = [
        "idle", "filling", "running", "adopting", "retrying", "paused", "stalled", "stopped",
    ]  # fmt: skip
    lanes = [replace(IDLE, lane=index, state=state) for index, state in enumerate(states)]
    lanes.append(replace(IDLE, lane=8, state="stopped", oldest_timestamp_ms=WALL_MS - 60_000, buffered=1))
    publish(ledger, document(replace(ACTIVE, lanes=tuple(lanes))))
    order = [int(row[1]) for row in rows(cli("lanes", "-A", app).stdout)]
    assert order == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_what_is_not_known_is_a_question_mark(cli: Cli, app: str, ledger: Ledger) -> None:
    young = replace(ACTIVE, committed=None, position=None, fetched=None, lanes=(replace(IDLE, state="adopting"),))
    publish(ledger, document(young, ends={}))
    (row,) = rows(cli("lanes", "-A", app).stdout)
    assert row[:9] == ["orders[1]", "0", "adopting", "?", "-", "?", "?", "0", "-"]


def test_a_bridge_that_cannot_reach_something_says_so_above_the_table(cli: Cli, app: str, ledger: Ledger) -> None:
    state = document(ACTIVE)
    trouble = "the Celery broker cannot be reached"
    publish(ledger, State(state.lanes, state.partitions, (Bridge("bridge-a", WALL_MS, 1, trouble),)))
    assert f"Bridge bridge-a: {trouble}" in cli("lanes", "-A", app).stdout.splitlines()


def test_of_a_partition_that_two_bridges_publish_the_true_owner_is_shown(cli: Cli, app: str, ledger: Ledger) -> None:
    publish(ledger, document(ACTIVE), document(replace(ACTIVE, owner=Owner(8, "b")), bridge="bridge-b"))
    found = json.loads(cli("lanes", "-A", app, "--json").stdout)
    assert [(lane["partition"], lane["owner"]) for lane in found["lanes"]] == [(TP.partition, "bridge-b")]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["LANE", "STATE", "LAG", "AGE", "WHY"]),
        (200, ["LANE", "STATE", "LAG", "AGE", "COMMITTED", "END", "BUFFERED", "TRY", "QUEUE", "WHY"]),
    ],
)
def test_a_narrow_terminal_keeps_room_for_the_reason(width: int, columns: list[str]) -> None:
    assert [column.header for column in lane_table(document(ACTIVE), width).columns] == columns


def test_hostile_text_cannot_break_the_table(cli: Cli, app: str, ledger: Ledger) -> None:
    publish(ledger, with_lane(state="stopped", reason="[bold]boom[/bold]\nsecond \x1b[31mline"))
    (row,) = rows(cli("lanes", "-A", app).stdout)
    assert " ".join(row[11 - 1 :]).endswith("[bold]boom[/bold] | second \\x1b[31mline")


def test_another_groups_lanes_are_not_shown(cli: Cli, app: str, redis_url: str, group_name: str) -> None:
    publish(Ledger(redis.Redis.from_url(redis_url), f"{group_name}-other"), document(ACTIVE))
    assert json.loads(cli("lanes", "-A", app, "--json").stdout)["lanes"] == []
    found = cli("lanes", "-A", app, "--json", "--group-id", f"{group_name}-other")
    assert len(json.loads(found.stdout)["lanes"]) == 1


def test_a_redis_that_does_not_answer_is_a_fatal_error_without_its_password(cli: Cli, write_app: WriteApp) -> None:
    result = cli("lanes", "-A", write_app())
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: the ledger (ledger_url redis://:***@127.0.0.1:1/0) cannot be read: ")
    assert line.endswith("Start Redis, or set BRIDGE_LEDGER_URL to the Redis that the bridge uses")


def test_a_state_of_another_version_is_a_fatal_error_that_says_so(cli: Cli, app: str, ledger: Ledger) -> None:
    ledger.publish_state("bridge-x", b'{"format": 99}', 60.0)
    result = cli("lanes", "-A", app)
    assert result.exit_code == 1
    assert "run one version of lanebridge in the whole group (format 99, this version knows 1)" in result.stderr


# --- what operators want


def wanted(operators: Operators, pauses: int = 0, requests: int = 0) -> None:
    for number in range(pauses):
        operators.pause(Pause(Target("orders", number), "anna", 1_795_512_600_000, "upgrade"))
    for number in range(requests):
        operators.ask(Request(f"{number:02}", "skip", Target("orders", 1, number), 42, "ben", 1_795_512_600_000))


PAUSED = "orders/0 is paused by anna since 2026-11-24 09:30:00 UTC (upgrade)"
ASKED = "skip of record 42 in orders/1/0 is asked for by ben since 2026-11-24 09:30:00 UTC, and not answered yet"


def test_pauses_and_requests_stand_above_the_table(cli: Cli, app: str, ledger: Ledger, operators: Operators) -> None:
    publish(ledger, with_lane(state="paused", reason=f"{PAUSED}; 3 records wait"))
    wanted(operators, pauses=1, requests=1)
    lines = cli("lanes", "-A", app).stdout.splitlines()
    assert lines[1:3] == [PAUSED, ASKED]
    (row,) = rows("\n".join(lines))
    assert (row[2], " ".join(row[-3:])) == ("paused", "3 records wait")


def test_pauses_and_requests_are_shown_without_a_bridge(cli: Cli, app: str, operators: Operators) -> None:
    wanted(operators, pauses=1, requests=1)
    lines = cli("lanes", "-A", app).stdout.splitlines()
    assert lines[0].startswith("No bridge of group")
    assert lines[1:] == [PAUSED, ASKED]


def test_of_many_pauses_and_requests_the_first_are_shown(cli: Cli, app: str, operators: Operators) -> None:
    wanted(operators, pauses=13, requests=11)
    lines = cli("lanes", "-A", app).stdout.splitlines()[1:]
    assert len(lines) == 22
    assert (lines[10], lines[21]) == ("... and 3 more pauses", "... and 1 more requests")


# --- again and again


@contextmanager
def watching(app: str, directory: Path, *options: str, terminal: bool = False) -> Iterator[Callable[[], str]]:
    """`lanes --watch` in a process, which Ctrl-C ends with 0; gives what it has written so far."""
    here, there = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(here, (40, 160))
    command = [sys.executable, "-m", "bridge.cli", "lanes", "-A", app, "--watch", "0.1", *options]
    environment = {**clean_environment(), "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=directory, env=environment, stdout=there, stderr=subprocess.PIPE)
    os.close(there)
    os.set_blocking(here, False)
    written = bytearray()

    def read() -> str:
        with suppress(OSError):  # nothing new; or of a terminal: its process is gone
            while part := os.read(here, 65536):
                written.extend(part)
        return written.decode(errors="replace")

    try:
        yield read
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=30)[1]
        assert (process.returncode, errors) == (0, b"")
    finally:
        process.kill()
        process.wait()
        os.close(here)


def test_without_a_terminal_a_table_is_written_each_time(app: str, ledger: Ledger, tmp_path: Path) -> None:
    publish(ledger, with_lane(reason="the first"))
    with watching(app, tmp_path) as read:
        wait_until(lambda: read().count("the first") > 1, what="two tables")
        publish(ledger, with_lane(reason="the second"))
        wait_until(lambda: "the second" in read(), what="a new table")
        assert "\x1b" not in read()


def test_on_a_terminal_the_table_is_drawn_in_its_place(app: str, ledger: Ledger, tmp_path: Path) -> None:
    publish(ledger, with_lane(reason="the first"))
    with watching(app, tmp_path, terminal=True) as read:
        wait_until(lambda: "the first" in read(), what="a table")
        publish(ledger, with_lane(reason="the second"))
        wait_until(lambda: "the second" in read(), what="a new table")
        assert "every 0.1 s; Ctrl-C ends it" in read()
        between = read().rpartition("the first")[2].partition("the second")[0]
        assert "\x1b[1A\x1b[2K" in between  # up a line and empty it


def test_as_json_a_document_is_written_each_time(app: str, ledger: Ledger, tmp_path: Path) -> None:
    publish(ledger, with_lane(reason="the first"))
    with watching(app, tmp_path, "--json") as read:
        wait_until(lambda: read().count("\n") > 1, what="two documents")
        lines = read().splitlines()[:2]
    assert [json.loads(line)["lanes"][0]["reason"] for line in lines] == ["the first"] * 2


def test_what_cannot_be_read_is_said_and_tried_again(app: str, ledger: Ledger, tmp_path: Path) -> None:
    publish(ledger, with_lane(reason="the first"))
    with watching(app, tmp_path) as read:
        wait_until(lambda: "the first" in read(), what="a table")
        ledger.publish_state("bridge-a", b'{"format": 99}', 60.0)
        wait_until(lambda: "this version knows 1" in read(), what="the trouble")
        publish(ledger, with_lane(reason="the second"))
        wait_until(lambda: "the second" in read(), what="a new table")


def test_what_cannot_be_read_at_first_ends_the_command(cli: Cli, write_app: WriteApp) -> None:
    result = cli("lanes", "-A", write_app(), "--watch")
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)
