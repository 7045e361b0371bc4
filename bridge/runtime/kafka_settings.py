"""What the Kafka adapter must know, from the options of the bridge."""

from __future__ import annotations

from bridge.kafka.profile import ConsumerSettings
from bridge.settings import Settings


def consumer_settings(settings: Settings) -> ConsumerSettings:
    """The same for the consumer, the questions to Kafka and the producer of dead letters."""
    return ConsumerSettings(
        settings.bootstrap_servers,
        settings.group_id,
        session_timeout=settings.session_timeout,
        heartbeat_interval=settings.heartbeat_interval,
        kafka=settings.kafka,
    )
