"""What librdkafka is told: our profile, the user's raw options on top, and the few options that the bridge must own.

Rules: own defaults that the chosen group protocol refuses are left out; secrets never reach a repr or a log line.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.settings import HIDDEN, OWNED_KAFKA_OPTIONS, is_secret_kafka_option
from bridge.settings.patterns import is_next_generation

_DEFAULT_MAX_POLL_INTERVAL_MS = 300_000


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What the Kafka adapter must know. Durations in seconds; `kafka` holds raw librdkafka options by name."""

    bootstrap_servers: str
    group_id: str
    session_timeout: float = 10.0
    heartbeat_interval: float = 1.0
    kafka: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def is_next_generation(self) -> bool:
        """Whether the broker runs the group (`group.protocol=consumer`, KIP-848)."""
        return is_next_generation(self.kafka)

    @property
    def absence_limit(self) -> float:
        """Seconds without a poll after which the group may have given our partitions to others."""
        max_poll_ms = str(self.kafka.get("max.poll.interval.ms", _DEFAULT_MAX_POLL_INTERVAL_MS))
        return min(self.session_timeout, int(max_poll_ms) / 1000.0)


def consumer_profile(settings: ConsumerSettings) -> dict[str, object]:
    """The options of the consumer that belongs to the group."""
    return {
        "client.id": client_id(),
        "queued.min.messages": 2000,
        # the default of one second makes the fetcher stop that long whenever the queue is full: 3-6 times slower
        "fetch.queue.backoff.ms": 10,
        # also what one fetch may bring, at most 1 MB of each partition: with 4 MB, a third of 12 partitions at a time,
        # some of them waited until the others were done; more than 12 MB only takes memory
        "queued.max.messages.kbytes": 12 * 1024,
        "fetch.wait.max.ms": 50,
        "topic.metadata.refresh.interval.ms": 30_000,
        # a regular expression never means Kafka's own topics
        "topic.blacklist": "^__consumer_offsets$,^__transaction_state$,^__share_group_state$",
        **_connection(),
        **_user_options(settings),
        **_group(settings),
        "bootstrap.servers": settings.bootstrap_servers,
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
    }


def admin_profile(settings: ConsumerSettings) -> dict[str, object]:
    """The options of a client that asks about topics; it is of no group."""
    return {
        "client.id": f"{client_id()}-admin",
        **_connection(),
        **_outside_the_group(settings),
        "bootstrap.servers": settings.bootstrap_servers,
    }


def onlooker_profile(settings: ConsumerSettings) -> dict[str, object]:
    """The options of a consumer that never subscribes, and only reads what the group has committed."""
    return {
        **admin_profile(settings),
        "client.id": f"{client_id()}-onlooker",
        "group.id": settings.group_id,
        "enable.auto.commit": False,
    }


def client_id() -> str:
    """`lanebridge-<host>-<process id>`."""
    return f"lanebridge-{socket.gethostname()}-{os.getpid()}"


def without_secrets(text: str, options: Mapping[str, object]) -> str:
    """`text` with the values of secret options blotted out."""
    for name in filter(is_secret_kafka_option, options):
        secret = str(options[name])
        if len(secret) > 3:  # blotting out single letters would show them
            text = text.replace(secret, HIDDEN)
    return text


def _connection() -> dict[str, object]:
    # log_level 2: what goes wrong with connections arrives as error events, once more in the log would be a flood
    # a connection that the broker closes because it is idle is no event
    return {
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2000,
        "log.connection.close": False,
        "log_level": 2,
    }


def _group(settings: ConsumerSettings) -> dict[str, object]:
    if settings.is_next_generation:  # the broker owns these; the client refuses them
        return {}
    return {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": round(settings.session_timeout * 1000),
        "heartbeat.interval.ms": round(settings.heartbeat_interval * 1000),
    }


def _user_options(settings: ConsumerSettings) -> dict[str, object]:
    return {name: value for name, value in settings.kafka.items() if name not in OWNED_KAFKA_OPTIONS}


def _outside_the_group(settings: ConsumerSettings) -> dict[str, object]:
    # a poll interval is refused when it is shorter than a session, which these clients leave at its long default
    members_only = ("group.", "client.id", "max.poll.interval.ms")
    return {name: value for name, value in _user_options(settings).items() if not name.startswith(members_only)}
