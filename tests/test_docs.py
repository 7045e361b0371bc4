"""What the pages say that can be compared with the code, and the README's own example, run word for word."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from redis import Redis

from bridge.cli.main import COMMANDS
from bridge.core.failures import COUNTED
from bridge.core.lane import TABLE, Phase, Signal
from bridge.devstack import KafkaServer, RedisServer
from bridge.entries import DISPOSITIONS, DeadLetter
from bridge.kafka.dead_letter_headers import Sender, letter_headers
from bridge.records import TopicPartition

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
README = (ROOT / "README.md").read_text()
FAILURES = (ROOT / "docs" / "failures.md").read_text()


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        other = page.parent / name if name else page
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
            assert anchor in map(_anchor, headings), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    named = re.findall(r"(?:^|[`/ ])lanebridge ([a-z]+)|celery -A \w+ bridge ([a-z]+)", page.read_text(), re.MULTILINE)
    assert {first or second for first, second in named} <= set(COMMANDS)


def test_the_architecture_shows_the_table_of_the_lanes_as_it_is() -> None:
    (table,) = re.findall(r"\| From \|.*?\n\n", ARCHITECTURE, re.DOTALL)
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    shown = {
        (Phase(row[0]), Signal[signal.upper()]): Phase(cell)
        for row in rows
        for signal, cell in zip(head[1:], row[1:], strict=True)
        if cell
    }
    assert shown == TABLE


def test_the_architecture_names_every_step_of_the_ledger() -> None:
    scripts = {path.stem for path in (ROOT / "bridge" / "ledger" / "scripts").glob("[!_]*.lua")}
    of_registries = {"register", "registered", "report_error"}
    (steps,) = re.findall(r"### Steps\n(.*?)\n### ", ARCHITECTURE, re.DOTALL)
    named = set(re.findall(r"^\| ([a-z_, ]+) \|", steps, re.MULTILINE)) | set(re.findall(r"`([a-z]+)`", steps))
    assert {name for cell in named for name in cell.split(", ")} >= scripts - of_registries


def test_the_page_about_failures_shows_the_headers_of_both_profiles_as_they_are() -> None:
    (table,) = re.findall(r"\| Header \|.*?\n\n", FAILURES, re.DOTALL)
    _, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    after_a_replay = (("lanebridge.replays", b"1"),)
    row = (7, 1, None, None, after_a_replay)
    letter = DeadLetter(
        row, "exhausted", "m", "E", "trace", "task", 1, "chain", 0, 1, first_failed_ms=1, last_failed_ms=2
    )
    for profile, column in (("kafka", 0), ("spring", 1)):
        headers = letter_headers(TopicPartition("t", 0), letter, Sender("g", "1", profile), omitted="value")  # type: ignore[arg-type]
        shown = [cells[0] if cells[column] == "the same" else cells[column] for cells in rows]
        assert sorted(re.split(r"[` ]", cell)[1] for cell in shown if cell) == sorted(name for name, _ in headers)


def test_the_page_about_failures_names_every_disposition() -> None:
    (cell,) = re.findall(r"^\| `lanebridge\.disposition` \|.*\| (.*) \|$", FAILURES, re.MULTILINE)
    given_up_as = {DISPOSITIONS[kind] for kind, counter in COUNTED.items() if counter}
    assert set(re.findall(r"`(\w+)`", cell)) == given_up_as | {"rejected", "undecodable"}


def test_the_architecture_gives_a_reason_for_every_dependency(project: dict[str, Any]) -> None:
    (table,) = re.findall(r"## Dependencies\n(.*)", ARCHITECTURE, re.DOTALL)
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *(name for extra in extras.values() for name in extra)]
    names = {re.split(r"[<>=\[]", text)[0] for text in wanted} - {"lanebridge"}
    assert {name for name in names if name not in table and not name.startswith("types-")} == set()


def test_the_architecture_shows_the_floors_as_they_are_held(project: dict[str, Any]) -> None:
    (contract, *_) = project["tool"]["importlinter"]["contracts"]
    held = [re.split(r" [:|] ", layer) for layer in contract["layers"]]
    blocks = [text for _, text in re.findall(r"^```(\w*)\n(.*?)^```", ARCHITECTURE, re.DOTALL | re.MULTILINE)]
    (floors,) = [block for block in blocks if block.startswith("cli ")]
    assert [sorted(line.split()) for line in floors.splitlines()] == [sorted(names) for names in held]


def test_the_tutorial_shows_the_example_app_as_it_is() -> None:
    source = (ROOT / "tasks" / "celery.py").read_text()
    (app, tasks) = re.findall(r"```python\n((?:app = Celery|@app\.task).*?)```", TUTORIAL, re.DOTALL)
    assert app in source
    assert tasks in source


@contextmanager
def _running(*command: str, cwd: Path, environment: dict[str, str]) -> Iterator[Path]:
    log = cwd / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(30)


def test_the_readmes_own_example_runs(
    kafka: KafkaServer, redis_server: RedisServer, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    (example,) = re.findall(r"```python\n# orders\.py\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    (tmp_path / "orders.py").write_text(example)
    make_topic("orders", partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for amount in range(1, 11):
        producer.produce("orders", json.dumps({"amount": amount}), partition=0)
    assert producer.flush(30.0) == 0
    database = redis_server.url.replace("/0", "/9")
    environment = {**os.environ, "BRIDGE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "CELERY_BROKER_URL": database}
    lanebridge = [sys.executable, "-m", "bridge.cli"]
    worker = [*lanebridge, "worker", "-A", "orders", "-P", "solo"]
    with _running(*worker, cwd=tmp_path, environment=environment) as log:
        run = [*lanebridge, "run", "-A", "orders", "--until-idle"]
        answer = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        assert "<Batch orders[0] 0..9 (10 records)>: 55 in all" in log.read_text()
    Redis.from_url(database).flushdb()


def test_the_example_of_a_task_that_decides_runs(
    kafka: KafkaServer, redis_server: RedisServer, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    (example,) = re.findall(r"```python\n# payments\.py\n(.*?)```", FAILURES, re.DOTALL)
    (tmp_path / "payments.py").write_text(example)
    make_topic("payments", partitions=1)
    make_topic("payments.dlq", partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for account, amount in (("a", 20), ("closed", 1), ("b", 0), ("c", 50)):
        producer.produce("payments", json.dumps({"account": account, "amount": amount}))
    producer.produce("payments", "no JSON")
    assert producer.flush(30.0) == 0
    database = redis_server.url.replace("/0", "/8")
    environment = {**os.environ, "BRIDGE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "CELERY_BROKER_URL": database}
    lanebridge = [sys.executable, "-m", "bridge.cli"]
    with _running(*lanebridge, "worker", "-A", "payments", "-P", "solo", cwd=tmp_path, environment=environment) as log:
        for command in (["run", "--until-idle"], ["dlq", "list", "--json"]):
            answer = subprocess.run(
                [*lanebridge, *command, "-A", "payments"],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert answer.returncode == 0, answer.stderr
        said = re.findall(r"(?:booked|given up) \d.*", log.read_text())
    kinds = [(each["disposition"], each["exception"]) for each in json.loads(answer.stdout)["dead_letters"]]
    assert kinds == [("exhausted", "ZeroDivisionError"), ("undecodable", "JSONDecodeError")]
    assert said == [
        "booked 0: 5",
        "given up 1: exhausted, Closed",
        "given up 2: exhausted, ZeroDivisionError",
        "booked 3: 2",
        "given up 4: undecodable, JSONDecodeError",
    ]
    Redis.from_url(database).flushdb()
