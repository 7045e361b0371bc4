"""Servers, a topic full of records, and processes that run as users start them, for one benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from redis import Redis

from benchmarks.seen import Seen
from benchmarks.values import values
from bridge.devstack import KafkaServer, RedisServer
from bridge.devstack.ports import fresh_port

ROOT = Path(__file__).parents[1]
TOPIC = "measured"
APP = "benchmarks.app"

_FINISHED = "lanebridge_records_finished_total{"
#: seconds for which a process may take to end
_END_S = 20.0
#: the queues that lanes share by default
_LANE_QUEUES = 16

SOLO = ("-P", "solo")


class Stack:
    """`with Stack(500) as stack:`; everything that it has started is gone behind the block."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.http, self.flower = fresh_port(), fresh_port()
        self.kafka, self.redis = KafkaServer(), RedisServer()
        self._stack = ExitStack()
        self._logs: dict[int, Path] = {}

    def __enter__(self) -> Self:
        self._stack.enter_context(self.kafka)
        self._stack.enter_context(self.redis)
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lanebridge-bench-")))
        Seen.create(self.folder / "seen")
        scripts = str(Path(sys.executable).parent)
        self._env = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
            "CELERY_BROKER_URL": self.redis.url,
            "BRIDGE_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "BRIDGE_HTTP": f"127.0.0.1:{self.http}",
            "MEASURED_SEEN": str(self.folder / "seen"),
        }
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, self.partitions, 1)])[TOPIC].result(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def produce(self, records: int, size: int = 100) -> None:
        """So many records of `size` bytes, dealt over the partitions."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, "linger.ms": 50, "log_level": 0})
        given = values(size)
        for number in range(records):
            while not _is_queued(producer, given[number % len(given)], number % self.partitions):
                producer.poll(0.1)
        producer.flush()

    def start(self, *command: str, **env: str) -> subprocess.Popen[bytes]:
        """A process with the app's environment; ends with the block at the latest. What it says is in `said`."""
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".log", delete=False) as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, env={**self._env, **env}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._logs[process.pid] = Path(log.name)
        self._stack.callback(end, process)
        return process

    def said(self, process: subprocess.Popen[bytes], lines: int = 8) -> str:
        """The last lines of what a process wrote."""
        return "\n".join(self._logs[process.pid].read_text(errors="replace").splitlines()[-lines:])

    @contextmanager
    def running(self, processes: Iterable[subprocess.Popen[bytes]]) -> Iterator[None]:
        """They end with the block, all at once."""
        started = list(processes)
        try:
            yield
        finally:
            for process in started:
                process.terminate()
            for process in started:
                end(process)

    def start_workers(self, count: int = 2, options: Sequence[str] = SOLO, **env: str) -> list[subprocess.Popen[bytes]]:
        """So many, without events, among which the lane queues are dealt. By default two, pool solo."""
        started = []
        for first in range(count):
            lanes = ",".join(f"lane-{number}" for number in range(first, _LANE_QUEUES, count))
            worker = ("celery", "-A", APP, "bridge", "worker", "-n", f"measured{first}@%h", *options, "-Q", lanes)
            started.append(self.start(*worker, **env))
        return started

    def empty_redis(self) -> None:
        """What a window leaves in queues and ledger must not come up in the next."""
        with Redis.from_url(self.redis.url) as client:
            client.flushall()

    def finished(self) -> float:
        """How many records are finished, as the bridge says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(_FINISHED))

    def await_finished(self, records: float, timeout: float = 120.0) -> float:
        """Until so many records are finished; how many are then. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                if (found := self.finished()) >= records:
                    return found
            except OSError:
                pass  # it has not begun to serve
            time.sleep(0.1)
        raise TimeoutError(f"{records:g} records were not finished within {timeout:g} s")


def _is_queued(producer: Producer, value: bytes, partition: int) -> bool:
    try:
        producer.produce(TOPIC, value, partition=partition)
    except BufferError:
        return False
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, also to a process that stands still."""
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
