"""What must be there before the bridge begins: Kafka, the topics, the ledger, the Celery broker.

Services that are not up yet are waited for, `startup_timeout` seconds in all; what waiting cannot mend (a wrong
password, a topic that does not exist) ends at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerError

from bridge.errors import LanebridgeError
from bridge.kafka.admin import Admin
from bridge.kafka.errors import KafkaLoginRefused, KafkaUnavailable
from bridge.runtime.plan import Plan
from bridge.runtime.topics import Topics

logger = logging.getLogger(__name__)

#: seconds between two tries, and for which a try asks Kafka
PAUSE, CHECK_TIMEOUT = 0.5, 1.0


class StartupError(LanebridgeError):
    """A service that the bridge needs is not there."""


class Interrupted(Exception):
    """Asked to stop while waiting."""


class Startup:
    """The checks, in order. `stopping` is asked between two tries."""

    def __init__(
        self, plan: Plan, topics: Topics, admin: Admin, client: redis.Redis, stopping: Callable[[], bool]
    ) -> None:
        self._plan = plan
        self._topics = topics
        self._admin = admin
        self._client = client
        self._stopping = stopping
        self._deadline = time.monotonic() + plan.settings.startup_timeout

    def wait(self) -> None:
        """Return when all is there. Raises StartupError, Interrupted, or what the check says cannot be mended."""
        self._until("Kafka", self._check_kafka)
        self._until("the ledger", self._check_ledger)
        self._until("the Celery broker", self._check_broker)
        self._check_topics()
        self._until("Kafka", self._look_at_topics)

    def _until(self, name: str, check: Callable[[], str | None]) -> None:
        said = False
        while (problem := check()) is not None:
            if time.monotonic() >= self._deadline:
                limit = self._plan.settings.startup_timeout
                raise StartupError(f"{problem} Gave up after startup_timeout={limit:g} s.")
            if not said:
                logger.info("waiting for %s: %s", name, problem, extra={"action": "waiting"})
                said = True
            self._pause()

    def _pause(self) -> None:
        if self._stopping():
            raise Interrupted
        time.sleep(PAUSE)

    def _check_kafka(self) -> str | None:
        try:
            self._admin.check_broker(CHECK_TIMEOUT)
        except KafkaLoginRefused:
            raise
        except KafkaUnavailable as error:
            return f"{error}."
        return None

    def _check_ledger(self) -> str | None:
        try:
            self._client.ping()
        except redis.AuthenticationError as error:
            raise StartupError(
                f"The ledger refused the login ({error}): check ledger_url (BRIDGE_LEDGER_URL)."
            ) from None
        except redis.RedisError as error:
            reason = str(error).rstrip(".")
            return f"The ledger (ledger_url) cannot be reached: {reason}. Start Redis or set BRIDGE_LEDGER_URL."
        return None

    def _check_broker(self) -> str | None:
        app: Any = self._plan.app
        try:
            with app.connection_for_write(connect_timeout=3) as connection:
                connection.ensure_connection(max_retries=1, timeout=3)
        except (BrokerError, KombuError, OSError) as error:
            reason = str(error).rstrip(".")
            return f"The Celery broker cannot be reached: {reason}. Start it or set broker_url of the app."
        return None

    def _check_topics(self) -> None:
        said = False
        while missing := self._admin.missing_topics(self._topics.names):
            text = f"Kafka has no topic {', '.join(sorted(missing))}"
            if not self._plan.settings.wait_for_topics:
                servers = self._plan.settings.bootstrap_servers
                how = f"kafka-topics.sh --bootstrap-server {servers} --create --topic {min(missing)} --partitions N"
                raise StartupError(f"{text}: create it ({how}), or set wait_for_topics=true to wait for it.")
            if not said:
                logger.info("waiting: %s", text, extra={"action": "waiting"})
                said = True
            self._pause()

    def _look_at_topics(self) -> str | None:
        """What does not keep the bridge from running, but a person should know."""
        try:
            self._topics.check_shared(self._admin)
            left_out, missing = self._topics.left_out(self._admin), self._topics.missing_dead_letters(self._admin)
        except KafkaLoginRefused:
            raise
        except KafkaUnavailable as error:
            return f"{error}."
        for topic in left_out:
            text = "topic %s is not carried: an expression matches it, but it is a dead letter topic of this bridge"
            logger.info(text, topic, extra={"action": "left_out"})
        for each in missing:
            logger.warning("%s; create it: %s", each, each.command, extra={"action": "dead_letter_topic"})
        return None
