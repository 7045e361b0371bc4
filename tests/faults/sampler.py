"""Looks at a stage from outside, twice a second: memory, file descriptors, health, what is committed."""

from __future__ import annotations

import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.faults.rig import Process

if TYPE_CHECKING:
    from tests.faults.stage import Stage

#: seconds between two looks
EVERY = 0.5

logger = logging.getLogger(__name__)


class Sampler:
    """A thread for as long as the `with` block, or until `stop`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sampler")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """The last look is over."""
        self._over.set()
        self._thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No look falls into the block: what it does to offsets comes between two looks."""
        with self._looking:
            yield

    def _run(self) -> None:
        servers = self._stage.rig.stack.kafka.bootstrap_servers
        client = Consumer({"bootstrap.servers": servers, "group.id": "faults", "log_level": 0})
        try:
            while not self._over.wait(EVERY):
                with self._looking:
                    self._look(client)
            self._look_at_commits(client)
        finally:
            client.close()

    def _look(self, client: Consumer) -> None:
        for name, process in list(self._stage.bridges.items()):
            self._look_at_process(name, process)
            self._look_at_health(name, process)
        self._look_at_commits(client)

    def _look_at_process(self, name: str, process: Process) -> None:
        try:
            seen = psutil.Process(process.pid)
            with seen.oneshot():
                self._stage.note("sample", who=name, bridge=seen.pid, rss=seen.memory_info().rss, fds=seen.num_fds())
        except psutil.NoSuchProcess:
            return  # it has just ended

    def _look_at_health(self, name: str, process: Process) -> None:
        url = f"http://127.0.0.1:{self._stage.port_of(name)}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                code, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            code, body = error.code, error.read()
        except OSError as error:  # it starts, is frozen, or has ended
            self._stage.note("health", bridge=process.pid, code=0, reasons=[str(error)])
            return
        reasons = json.loads(body).get("reasons", [])
        self._stage.note("health", bridge=process.pid, code=code, reasons=reasons)

    def _look_at_commits(self, client: Consumer) -> None:
        rig = self._stage.rig
        parts = [TopicPartition(rig.topic, number) for number in range(rig.partitions)]
        try:
            found = client.committed(parts, 1)
        except KafkaException as error:  # the broker is away, which may be the fault that is played
            logger.info("commits cannot be read: %s", error)
            return
        offsets = [[tp.topic, tp.partition, tp.offset] for tp in found if tp.offset >= 0]
        self._stage.note("committed", offsets=offsets)
