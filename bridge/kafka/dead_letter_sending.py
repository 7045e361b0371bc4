"""Produces records and waits for the broker's acknowledgement of each: for dead letters, and for their replay.

Rules: acks=all, idempotent, never creates a topic, and `send` always ends. Each record is a request of its own to the
broker's size limit: in one batch with others a small one would be refused for their size. A client that has given up,
or that holds what was not sent in time, is thrown away and built anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, Message

from bridge.kafka.errors import LastError, code_of, error_of, refused_option
from bridge.kafka.profile import ConsumerSettings, admin_profile, client_id
from bridge.records import Headers, TopicPartition

_client_logger = logging.getLogger("bridge.kafka.client")

#: seconds in which a record is acknowledged or given back
DELIVERY_TIMEOUT_S = 30.0
#: seconds beyond it until a request under way has its answer
_GRACE_S = 15.0

#: what a broker reads in one request (socket.request.max.bytes) less what stands around a record: larger ones are
#: refused here, because the broker would cut the connection
_MESSAGE_BYTES = 100 * 1024 * 1024 - 64 * 1024

#: raw options that say how to connect; the others are about consuming
_CONNECTION = (
    "security.", "sasl.", "ssl.", "ssl_", "enable.sasl.", "enable.ssl.", "oauth_cb", "socket.", "broker.", "client.",
    "connections.", "reconnect.", "resolve_cb", "retry.backoff.", "metadata.", "topic.metadata.", "api.version.",
    "bootstrap.servers", "plugin.library.paths", "log_level", "log.connection.close", "debug",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be written to a partition."""

    tp: TopicPartition
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name.encode()) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


def producer_profile(settings: ConsumerSettings, delivery_timeout: float) -> dict[str, object]:
    """The options of the producer; `delivery_timeout` in seconds."""
    connection = {name: value for name, value in admin_profile(settings).items() if name.startswith(_CONNECTION)}
    return {
        **connection,
        "client.id": f"{client_id()}-dead-letters",
        "acks": "all",
        "enable.idempotence": True,
        "allow.auto.create.topics": False,
        "message.timeout.ms": round(delivery_timeout * 1000),
        "request.timeout.ms": round(min(10.0, delivery_timeout) * 1000),
        "message.max.bytes": _MESSAGE_BYTES,
        "batch.num.messages": 1,
        "linger.ms": 0,
    }


class AcknowledgedProducer:
    """Writes records and tells the fate of each. One thread at a time."""

    def __init__(self, settings: ConsumerSettings, delivery_timeout: float = DELIVERY_TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout = delivery_timeout
        self._client: ck.Producer | None = None
        self._last_error = LastError()
        self._is_spent = False

    def send(self, records: Sequence[Outgoing]) -> list[KafkaError | None]:
        """None for each record that the broker has acknowledged, else why not; within about the delivery timeout.

        Raises BadKafkaOption when the client refuses the options.
        """
        known_before = self._client is not None
        found = self._send(records)
        stale = [index for index, error in enumerate(found) if error is not None and code_of(error) in _STALE]
        if stale and known_before:
            self._throw_away()
            for index, error in zip(stale, self._send([records[index] for index in stale]), strict=True):
                found[index] = error
        return found

    def close(self, timeout: float) -> None:
        """End the connections, within about `timeout` seconds."""
        if self._client is not None:
            self._client.flush(timeout)
        self._throw_away()

    def _send(self, records: Sequence[Outgoing]) -> list[KafkaError | None]:
        client = self._client = self._client or self._connect()
        self._last_error.forget()
        fates = _Fates(len(records))
        deadline = time.monotonic() + self._timeout + _GRACE_S
        for index, record in enumerate(records):
            self._produce(client, index, record, fates, deadline)
        if client.flush(max(0.0, deadline - time.monotonic())):
            self._is_spent = True
        found = fates.all(KafkaError(KafkaError._MSG_TIMED_OUT))
        if self._is_spent or any(error is not None and _is_fatal(error) for error in found):
            self._throw_away()
        return [None if error is None else self._last_error.explain(error) for error in found]

    def _produce(self, client: ck.Producer, index: int, record: Outgoing, fates: _Fates, deadline: float) -> None:
        while True:
            try:
                client.produce(
                    record.tp.topic,
                    partition=record.tp.partition,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    on_delivery=fates.callback(index),
                )
                return
            except BufferError:  # the client holds as much as it takes
                client.poll(0.1)
                if time.monotonic() > deadline:
                    return
            except KafkaException as error:
                fates.set(index, error_of(error))
                return

    def _connect(self) -> ck.Producer:
        self._is_spent = False
        profile = {**producer_profile(self._settings, self._timeout), "error_cb": self._on_error}
        try:
            return ck.Producer(profile, logger=_client_logger)
        except KafkaException as error:
            raise refused_option(error, self._settings) from error

    def _throw_away(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.purge()
            client.poll(0)

    def _on_error(self, error: KafkaError) -> None:
        if _is_fatal(error):
            self._is_spent = True
        self._last_error.note(error)


#: the client goes by what it has known of the topic for minutes: a new one looks anew
_STALE = frozenset({"_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC"})


class _Fates:
    """What became of each record, as far as it is known."""

    def __init__(self, count: int) -> None:
        self._known: dict[int, KafkaError | None] = {}
        self._count = count

    def set(self, index: int, error: KafkaError | None) -> None:
        self._known[index] = error

    def callback(self, index: int) -> Callable[[KafkaError | None, Message], None]:
        return lambda error, _message: self.set(index, error)

    def all(self, unknown: KafkaError) -> list[KafkaError | None]:
        return [self._known.get(index, unknown) for index in range(self._count)]


def _is_fatal(error: KafkaError) -> bool:
    return error.fatal() or error.code() == KafkaError._FATAL
