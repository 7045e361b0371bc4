"""Kafka and Redis together, for as long as a `with` block."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from bridge.devstack.kafka import KafkaServer
from bridge.devstack.redis import RedisServer


class DevStack:
    """Both servers, started on entry; on exit, whatever the reason, stopped and removed in the opposite order.

    `kafka_settings` are the broker's own.
    Stop what uses them first: a Celery worker that outlives its Redis would join the next one on that port.
    """

    def __init__(self, kafka_settings: Mapping[str, str] | None = None) -> None:
        self._kafka_settings = kafka_settings
        self._cleanup = ExitStack()
        self.redis: RedisServer
        self.kafka: KafkaServer

    def environment(self) -> dict[str, str]:
        """The variables that point Lanebridge and Celery at these servers."""
        return {
            "BRIDGE_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "CELERY_BROKER_URL": self.redis.url,
        }

    def stopped_servers(self) -> list[str]:
        """The names of servers that ended by themselves."""
        servers = {"Kafka": self.kafka.pid, "Redis": self.redis.pid}
        return [name for name, pid in servers.items() if pid is None]

    def __enter__(self) -> Self:
        with self._cleanup:
            self.redis = self._cleanup.enter_context(RedisServer())
            self.kafka = self._cleanup.enter_context(KafkaServer(settings=self._kafka_settings))
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()
