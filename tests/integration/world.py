"""The world of an acceptance test: the session's Kafka, a Redis database of its own, and processes that run what the
package's scripts run, each in a process group of its own, all of them gone at the end."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.faults.rig import Process
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

#: variables that speak of somebody's own servers
_FOREIGN = ("BRIDGE_", "CELERY_", "FLOWER_", "LANEBRIDGE_")

#: seconds after which a command that should end is given up
_PATIENCE_S = 90.0


def clean_environment() -> dict[str, str]:
    """This process' environment without other servers, the scripts of this Python first on PATH."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    scripts = Path(sys.executable).parent
    return {**own, "PATH": f"{scripts}{os.pathsep}{own.get('PATH', '')}", "PYTHONUNBUFFERED": "1"}


def write_files(directory: Path, files: Mapping[str, str]) -> Path:
    """Source files by relative path, their common indentation removed; gives the directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return directory


class World:
    """Servers by address, processes by name. `directory` is where processes run and write."""

    def __init__(self, directory: Path, servers: str, redis_url: str, group: str) -> None:
        self.directory = directory
        self.servers = servers
        self.redis_url = redis_url
        self.group = group
        self._journal = directory / "journal"
        self._journal.mkdir()
        self._processes: list[Process] = []
        self.environment = {
            **clean_environment(),
            "BRIDGE_BOOTSTRAP_SERVERS": servers,
            "CELERY_BROKER_URL": redis_url,
            "BRIDGE_GROUP_ID": group,
            "TEST_JOURNAL": str(self._journal),
        }

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, name: str, *command: str, cwd: Path | None = None, **env: str) -> Process:
        """Start a command; its output goes to a log of its own."""
        environment = {**self.environment, **env}
        process = Process(f"{name}-{len(self._processes)}", list(command), environment, self.directory, cwd=cwd)
        self._processes.append(process)
        return process

    def run(self, name: str, *command: str, cwd: Path | None = None, **env: str) -> Process:
        """Start a command and wait until it has ended."""
        process = self.start(name, *command, cwd=cwd, **env)
        process.wait(_PATIENCE_S)
        return process

    def bridge(self, app: str, *options: str, **env: str) -> Process:
        """`lanebridge run`, until all that is in the topics is done."""
        return self.run("bridge", "lanebridge", "-A", app, "run", "--until-idle", *options, cwd=ROOT, **env)

    def worker(self, app: str, *options: str, **env: str) -> Process:
        """`celery bridge worker`, ready for links."""
        command = ("celery", "-A", app, "bridge", "worker", "-l", "INFO", *options)
        worker = self.start("worker", *command, cwd=ROOT, **env)
        await_line(worker, "serves lanes")
        return worker

    # --- Kafka -------------------------------------------------------------------------------------------------------

    def produce(self, topic: str, values: Iterable[bytes], *, partitions: int = 1, **config: object) -> None:
        """Each value to the next partition in turn."""
        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0, **config})
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % partitions)
        assert producer.flush(30.0) == 0

    def committed(self, topic: str, partitions: int = 1) -> list[int]:
        """What the group has committed, by partition, asked by a client of its own; -1: nothing."""
        places = [TopicPartition(topic, number) for number in range(partitions)]

        def ask() -> list[TopicPartition] | None:
            try:
                return client.committed(places, 10.0)
            except KafkaException:  # a young broker's coordinator may still be on its way
                return None

        with self._onlooker() as client:
            found = wait_until(ask, what=f"the committed offsets of {self.group}")
        return [max(place.offset, -1) for place in found or ()]

    def ends(self, topic: str, partitions: int = 1) -> list[int]:
        """The high watermarks by partition."""
        with self._onlooker() as client:
            return [client.get_watermark_offsets(TopicPartition(topic, n), 10.0)[1] for n in range(partitions)]

    def _onlooker(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.servers, "group.id": self.group, "log_level": 0})

    # --- what the tasks did ------------------------------------------------------------------------------------------

    def journal(self, **about: object) -> list[dict[str, Any]]:
        """What tasks have written with tests.integration.apps.journal, oldest first; only entries with these values."""
        lines = [line for path in self._journal.glob("*.jsonl") for line in path.read_text().splitlines()]
        entries = sorted(map(json.loads, lines), key=lambda entry: float(entry["at"]))
        return [entry for entry in entries if entry.items() >= about.items()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.stop()
            if error is not None:
                print(f"--- {process.name} (exit {process.exit_code})\n{process.tail(60)}")


def await_line(process: Process, text: str, timeout: float = 60.0) -> None:
    """Until the process has written `text`."""

    def written() -> bool:
        assert process.exit_code is None, f"{process.name} ended with {process.exit_code}:\n{process.tail()}"
        return text in process.log.read_text(errors="replace")

    wait_until(written, timeout, f"{text!r} from {process.name}")
