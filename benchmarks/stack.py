"""Servers, a topic full of records, and processes that run as users start them, for one measurement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.devstack import KafkaServer, RedisServer
from bridge.devstack.ports import fresh_port

ROOT = Path(__file__).parents[1]
TOPIC = "measured"

_FINISHED = "lanebridge_records_finished_total"


class Stack:
    """`with Stack(500) as stack:`; everything that it has started is gone behind the block."""

    def __init__(self, partitions: int, *, batch_size: int = 100) -> None:
        self.partitions = partitions
        self._stack = ExitStack()
        self._env = {**os.environ, "MEASURED_BATCH": str(batch_size)}
        self.http, self.flower = fresh_port(), fresh_port()

    def __enter__(self) -> Self:
        kafka = self._stack.enter_context(KafkaServer())
        redis = self._stack.enter_context(RedisServer())
        self._servers = kafka.bootstrap_servers
        scripts = str(Path(sys.executable).parent)
        self._env.update(
            PATH=f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
            CELERY_BROKER_URL=redis.url,
            BRIDGE_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
            BRIDGE_HTTP=f"127.0.0.1:{self.http}",
        )
        admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, self.partitions, 1)])[TOPIC].result(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def produce(self, records: int, size: int = 100) -> None:
        """So many records of `size` bytes, dealt over the partitions."""
        producer = Producer({"bootstrap.servers": self._servers, "linger.ms": 50, "log_level": 0})
        value = b"x" * size
        for number in range(records):
            while True:
                try:
                    producer.produce(TOPIC, value, partition=number % self.partitions)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A process of the app; ends with the block."""
        process = subprocess.Popen(
            command, env=self._env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(_end, process)
        return process

    def finished(self) -> float:
        """How many records are finished, as the bridge says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{_FINISHED}{{"))

    def await_finished(self, records: float, timeout: float = 120.0) -> None:
        """Until so many records are finished. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                if self.finished() >= records:
                    return
            except OSError:
                pass  # it has not begun to serve
            time.sleep(0.2)
        raise TimeoutError(f"{records:g} records were not finished within {timeout:g} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
