"""A Kafka and a Redis with options of their own, as a cell may want them."""

from __future__ import annotations

from typing import Self

from bridge.devstack import DevStack
from bridge.devstack.kafka import KafkaServer
from bridge.devstack.redis import RedisServer


class Servers(DevStack):
    """As DevStack, with these servers instead of fresh ones; they are started and closed here."""

    def __init__(self, *, kafka: KafkaServer | None = None, redis: RedisServer | None = None) -> None:
        super().__init__()
        self._own = (redis or RedisServer(), kafka or KafkaServer())

    def __enter__(self) -> Self:
        with self._cleanup:
            self.redis = self._cleanup.enter_context(self._own[0])
            self.kafka = self._cleanup.enter_context(self._own[1])
            self._cleanup = self._cleanup.pop_all()
        return self
