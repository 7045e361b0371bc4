"""What a cell runs on: a Kafka, a Redis, bridges and workers of its own, all real processes, all stopped at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from bridge.devstack import DevStack
from tests.faults import history
from tests.faults.checker import Expected, Partition
from tests.faults.producing import Acknowledged

#: lane queues of two workers that share all the work
EVEN = ",".join(f"lane-{n}" for n in range(0, 16, 2))
ODD = ",".join(f"lane-{n}" for n in range(1, 16, 2))


class Failed(AssertionError):
    """A cell did not show what it must show."""


class Process:
    """A process with its children, in a process group of its own, its output in a file."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], directory: Path, cwd: Path | None = None
    ) -> None:
        self.name = name
        self.command = command
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=dict(environment), cwd=cwd, stdout=output, stderr=output, start_new_session=True
            )
        self.peak_rss = 0
        #: what it has in its environment beyond the others of its rig
        self.own_env: Mapping[str, str] = {}

    @property
    def pid(self) -> int:
        """The main process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def sample(self) -> None:
        """Note the resident memory of the main process, in bytes."""
        if self.exit_code is None:
            self.peak_rss = max(self.peak_rss, psutil.Process(self.pid).memory_info().rss)

    def children(self) -> list[int]:
        """The pids below the main process."""
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def signal(self, number: signal.Signals) -> None:
        """To the main process only."""
        self._process.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL to the whole group, as when the machine takes it."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.wait(10)

    def wait(self, timeout: float) -> int:
        """The exit code. Raises Failed when it still runs after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} still runs after {timeout:g} s:\n{self.tail()}") from None

    def stop(self, timeout: float = 20.0) -> None:
        """SIGTERM, then SIGKILL to the group."""
        if self.exit_code is None:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill_group()
        self.kill_group()

    def tail(self, lines: int = 25) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Rig:
    """One cell's world. `env` goes into the environment of bridges and workers, `settings` to the broker;
    `servers`: instead of a Kafka and a Redis without options."""

    def __init__(
        self,
        *,
        topic: str = "faults",
        partitions: int = 12,
        settings: Mapping[str, str] | None = None,
        servers: AbstractContextManager[DevStack] | None = None,
        app: str = "tests.faults.app",
        **env: str,
    ) -> None:
        self.topic = topic
        self.app = app
        self._servers = servers or DevStack(settings)
        self.partitions = partitions
        self.env = env
        self._cleanup = ExitStack()
        self.processes: list[Process] = []

    def __enter__(self) -> Self:
        with self._cleanup:
            self.directory = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="lanebridge-cell-")))
            self.history = self.directory / "history"
            self.history.mkdir()
            self.stack = self._cleanup.enter_context(self._servers)
            self._cleanup.callback(self._stop_all)
            self._admin = AdminClient({"bootstrap.servers": self.stack.kafka.bootstrap_servers, "log_level": 0})
            self.create_topic(self.topic, self.partitions)
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for process in self.processes:
                print(f"--- {process.name} (exit {process.exit_code})\n{process.tail()}", file=sys.stderr)
        self._cleanup.close()

    def _stop_all(self) -> None:
        for process in reversed(self.processes):
            if process.exit_code is None:
                process.signal(signal.SIGCONT)
            process.stop()

    # --- Kafka -------------------------------------------------------------------------------------------------------

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        """Create a topic and wait until every partition has a leader."""
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        self._admin.create_topics([topic])[name].result(30)
        self.until(
            lambda: all(p.leader >= 0 for p in self._admin.list_topics(name, 10).topics[name].partitions.values()),
            30,
            f"leaders of {name}",
        )

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until nobody knows it any more."""
        self._admin.delete_topics([name])[name].result(30)
        self.until(lambda: name not in self._admin.list_topics(timeout=10).topics, 30, f"{name} is gone")

    def add_partitions(self, partitions: int) -> None:
        """The topic has so many partitions from now on."""
        self._admin.create_partitions([NewPartitions(self.topic, partitions)])[self.topic].result(30)
        self.partitions = partitions

    def produce(self, count: int, *, size: int = 100, keys: int = 0, topic: str | None = None, start: int = 0) -> None:
        """`count` records of `size` bytes, in turn to each partition; `keys` different keys, 0 for none."""
        numbers = range(start, start + count)
        values = (str(number).encode().ljust(size, b".") for number in numbers)
        self.write(zip(numbers, values, strict=True), keys=keys, topic=topic)

    def write(self, records: Iterable[tuple[int, bytes]], *, keys: int = 0, topic: str | None = None) -> None:
        """Records by number: it is in partition number % partitions, at offset number // partitions when none before it
        is left out."""
        options = {"bootstrap.servers": self.stack.kafka.bootstrap_servers, "linger.ms": 20, "log_level": 0}
        # without idempotence a retried batch may land behind its successor, and offsets would not follow the numbers
        producer = Producer({**options, "enable.idempotence": True})
        acknowledged = Acknowledged(str(self.history)) if self.env.get("FAULTS_SUMS") else None
        for number, value in records:
            key = f"key-{number // self.partitions % keys}".encode() if keys else None
            while True:
                try:
                    producer.produce(
                        topic or self.topic, value, key, partition=number % self.partitions, on_delivery=acknowledged
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 10_000 == 0:
                producer.poll(0)
        if producer.flush(60):
            raise Failed("the records could not be produced")
        if acknowledged is not None:
            acknowledged.write()

    def committed(self, group: str = "faults") -> dict[Partition, int]:
        """What the group has committed, asked by a client of its own."""
        return self._offsets(group)[0]

    def ends(self, group: str = "faults") -> dict[Partition, int]:
        """The high watermarks, asked by a client of its own."""
        return self._offsets(group)[1]

    def _offsets(self, group: str) -> tuple[dict[Partition, int], dict[Partition, int]]:
        client = Consumer({"bootstrap.servers": self.stack.kafka.bootstrap_servers, "group.id": group, "log_level": 0})
        try:
            parts = [TopicPartition(self.topic, number) for number in range(self.partitions)]
            committed = {(tp.topic, tp.partition): max(tp.offset, 0) for tp in self._ask_committed(client, parts)}
            ends = {(tp.topic, tp.partition): client.get_watermark_offsets(tp, 10)[1] for tp in parts}
            return committed, ends
        finally:
            client.close()

    def _ask_committed(self, client: Consumer, parts: list[TopicPartition]) -> list[TopicPartition]:
        """A broker that has just started, or was restarted, may have no coordinator for the group yet."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return client.committed(parts, 10)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    # --- processes ---------------------------------------------------------------------------------------------------

    def environment(self, **extra: str) -> dict[str, str]:
        """What every process of the cell sees."""
        mine = {
            "FAULTS_HISTORY": str(self.history),
            "FAULTS_TOPIC": self.topic,
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **self.stack.environment(), **mine, **self.env, **extra}

    def bridge(self, *arguments: str, name: str = "bridge", module: str = "bridge.cli", **env: str) -> Process:
        """`lanebridge run` with these arguments; `module` is what Python runs."""
        command = [sys.executable, "-m", module, "-A", self.app, "run", *arguments]
        return self._start(name, command, env)

    def worker(self, name: str, queues: str = "", *, pool: str = "solo", concurrency: int = 1, **env: str) -> Process:
        """`celery bridge worker` on these queues; all lane queues when none are given."""
        command = [sys.executable, "-m", "celery", "-A", self.app, "bridge", "worker"]
        command += ["-n", f"{name}@%h", "-P", pool, "-c", str(concurrency), "-l", "WARNING"]
        command += ["-Q", queues] if queues else []
        return self._start(name, command, env)

    def workers(self, *, pool: str = "solo", concurrency: int = 1, **env: str) -> list[Process]:
        """Two workers with disjoint queues."""
        return [
            self.worker("even", EVEN, pool=pool, concurrency=concurrency, **env),
            self.worker("odd", ODD, pool=pool, concurrency=concurrency, **env),
        ]

    def supervise(self, workers: list[Process]) -> bool:
        """Start those of `workers` again that have ended, as compose and systemd do; always True."""
        for number, worker in enumerate(workers):
            if worker.exit_code is not None:
                name = f"{worker.name}-{len(self.processes)}"
                workers[number] = again = self._start(name, worker.command, worker.own_env)
                again.name = worker.name
        return True

    def limited(self, name: str, command: Sequence[str], limits: str, **env: str) -> Process:
        """A command from a shell that has set `limits` (ulimit) before."""
        return self._start(name, ["sh", "-c", f'{limits} && exec "$@"', "sh", *command], env)

    def _start(self, name: str, command: list[str], env: Mapping[str, str]) -> Process:
        process = Process(name, command, self.environment(**env), self.directory)
        process.own_env = env
        self.processes.append(process)
        return process

    def lanes(self) -> list[dict[str, Any]]:
        """What `lanebridge lanes --json` says of every lane."""
        command = [sys.executable, "-m", "bridge.cli", "-A", self.app, "lanes", "--json"]
        said = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True, timeout=60)
        found: list[dict[str, Any]] = json.loads(said.stdout)["lanes"]
        return found

    # --- what is seen ------------------------------------------------------------------------------------------------

    def runs(self) -> list[history.Run]:
        """What the tasks have written down so far."""
        return history.read(self.history)

    def lines(self) -> int:
        """How many lines they have written."""
        return sum(path.read_bytes().count(b'"run": ') for path in self.history.glob("*.jsonl"))

    def expected(self, links: Iterable[str] = ("link1",), **about: object) -> Expected:
        """What the checker compares with: all offsets of gapless partitions, and what the broker says now."""
        committed, ends = self._offsets("faults")
        offsets = {tp: range(end) for tp, end in ends.items()}
        return Expected(offsets=offsets, links=tuple(links), committed=committed, ends=ends, **about)  # type: ignore[arg-type]

    def until(self, condition: Callable[[], object], timeout: float, what: str, step: float = 0.05) -> None:
        """Wait for a condition. Raises Failed after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {timeout:g} s")
            time.sleep(step)

    def all_committed(self) -> bool:
        """The group has committed every partition's end."""
        committed, ends = self._offsets("faults")
        return all(committed[tp] >= end for tp, end in ends.items())
