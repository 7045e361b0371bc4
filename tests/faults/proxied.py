"""A stage on which each bridge and each worker reaches Redis, and each bridge Kafka, through a network of its own.

    @row(15, "redis-cut-bridge", stage=ProxiedStage)
    def act(stage): stage.redis_way("b0").set(CUT)                           # also "even", "odd": the workers
    @row(15, "kafka-cut", Setup(servers=kafka_ways), stage=ProxiedStage)     # kafka_ways: of the bridges b0 and b1
    def act(stage): stage.kafka_way("b0").set(CUT)
The rig's own clients (records, offsets, the sampler) use the servers' plain addresses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from bridge.devstack.kafka import KafkaServer
from bridge.devstack.ports import LOOPBACK, fresh_port
from bridge.devstack.server import Server
from tests.faults.proxy import SILENT, Mode, Proxy
from tests.faults.rig import Process
from tests.faults.servers import Servers
from tests.faults.stage import Setup, Stage


class ProxiedKafka(KafkaServer):
    """A broker with one more listener for each name, which tells its clients the address of that name's proxy: who
    starts at `bootstrap_through(name)` never learns another way."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._inner = {name: fresh_port() for name in names}
        self._cleanup = ExitStack()
        self.proxies: dict[str, Proxy] = {}

    def bootstrap_through(self, name: str) -> str:
        """The address of that name's proxy."""
        return f"{LOOPBACK}:{self.proxies[name].port}"

    def start(self) -> None:
        """As KafkaServer; the proxies serve from the first start until `close`."""
        for name in self._inner.keys() - self.proxies.keys():
            self.proxies[name] = self._cleanup.enter_context(Proxy(self._inner[name]))
        super().start()

    def close(self) -> None:
        """As KafkaServer."""
        super().close()
        self._cleanup.close()

    def _properties(self) -> dict[str, str]:
        plain = super()._properties()
        inner = "".join(f",{_listener(name)}://{LOOPBACK}:{port}" for name, port in self._inner.items())
        told = "".join(f",{_listener(name)}://{self.bootstrap_through(name)}" for name in self._inner)
        protocols = "".join(f",{_listener(name)}:PLAINTEXT" for name in self._inner)
        return {
            **plain,
            "listeners": plain["listeners"] + inner,
            "advertised.listeners": plain["advertised.listeners"] + told,
            "listener.security.protocol.map": plain["listener.security.protocol.map"] + protocols,
        }


def _listener(name: str) -> str:
    return f"THROUGH_{name.upper()}"


def kafka_ways() -> Servers:
    """A fresh Redis, and a Kafka that the usual two bridges reach through proxies."""
    return Servers(kafka=ProxiedKafka(["b0", "b1"]))


class ProxiedStage(Stage):
    """The proxies go on until all processes have ended, also when these are started again."""

    def __init__(self, setup: Setup, seed: int) -> None:
        super().__init__(setup, seed)
        self._redis_port: int | None = None
        self._ways: dict[str, Proxy] = {}
        self._servers = ExitStack()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._servers:
            super().__exit__(kind, error, trace)

    def redis_way(self, name: str) -> Proxy:
        """The network between this bridge or worker and Redis."""
        if name not in self._ways:
            self._ways[name] = self._servers.enter_context(Proxy(self._redis_port or self.rig.stack.redis.port))
        return self._ways[name]

    def move_redis(self, port: int) -> None:
        """From now on all ways lead to this Redis; what is open is reset."""
        self._redis_port = port
        for way in self._ways.values():
            way.target_port = port
            way.reset()

    def keep(self, server: Server) -> None:
        """Start a server that lives until all processes have ended."""
        self._servers.enter_context(server)

    def kafka_way(self, name: str) -> Proxy:
        """The network between this bridge and Kafka; the setup's servers must have a ProxiedKafka."""
        kafka = self.rig.stack.kafka
        assert isinstance(kafka, ProxiedKafka), "the row's Setup needs servers=kafka_ways"
        return kafka.proxies[name]

    def play(self, way: Proxy, mode: Mode, seconds: float, timeout: float = 45.0) -> float:
        """The way is bad for so long; afterwards all partitions go on. When that began, in seconds."""
        self.wait(0.3, 2.0)
        began, before = time.monotonic(), way.counts.total
        with self.fault(f"network: {mode}"), way.playing(mode):
            self.wait(seconds)
            happened = way.counts.total - before
        if mode is not SILENT and not happened:
            self.violations.append(f"nothing went through the network while it was {mode}: the row shows nothing")
        self.await_progress("all partitions go on", timeout)
        return began

    def start_bridge(self, name: str, *arguments: str, **env: str) -> Process:
        """As on any stage, with the bridge's own ways."""
        return super().start_bridge(name, *arguments, **{**self._addresses(name), **env})

    def start_worker(self, name: str, queues: str = "", **env: str) -> Process:
        """As on any stage, with the worker's own way."""
        return super().start_worker(name, queues, **{"CELERY_BROKER_URL": self._redis_url(name), **env})

    def _redis_url(self, name: str) -> str:
        return f"redis://{LOOPBACK}:{self.redis_way(name).port}/0"

    def _addresses(self, name: str) -> dict[str, str]:
        kafka = self.rig.stack.kafka
        addresses = {"CELERY_BROKER_URL": self._redis_url(name)}
        if isinstance(kafka, ProxiedKafka) and name in kafka.proxies:
            addresses["BRIDGE_BOOTSTRAP_SERVERS"] = kafka.bootstrap_through(name)
        return addresses
