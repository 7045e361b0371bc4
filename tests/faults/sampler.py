"""Looks at a stage from outside, twice a second: memory, health, what is committed."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from bridge.devstack.ports import LOOPBACK
from tests.faults.rig import Process

if TYPE_CHECKING:
    from tests.faults.stage import Stage

#: seconds between two looks
EVERY = 0.5

logger = logging.getLogger(__name__)


class Sampler:
    """A thread for as long as the `with` block, or until `stop`, which raises what has ended the looks before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._looking = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "sampler")
        #: process id of each bridge that has answered -> what it said of itself last
        self.ready: dict[int, bool] = {}

    def __enter__(self) -> Self:
        self._looks = self._thread.submit(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is None:
            self._looks.result()

    def _end(self) -> None:
        self._over.set()
        self._thread.shutdown()

    def stop(self) -> None:
        """The last look is over."""
        self._end()
        self._looks.result()

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
            self._stage.note("sample", who=name, bridge=seen.pid, rss=seen.memory_info().rss)
        except psutil.NoSuchProcess:
            return  # it has just ended

    def _look_at_health(self, name: str, process: Process) -> None:
        with closing(HTTPConnection(LOOPBACK, self._stage.port_of(name), timeout=1)) as connection:
            try:
                connection.request("GET", "/readyz")
                answer = connection.getresponse()
                code, body = answer.status, answer.read()
            except (
                OSError,
                HTTPException,
            ) as error:  # it starts, is frozen, or ends, perhaps in the middle of an answer
                self._stage.note("health", bridge=process.pid, code=0, reasons=[str(error)])
                self.ready[process.pid] = False
                return
        self.ready[process.pid] = code == HTTPStatus.OK
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
