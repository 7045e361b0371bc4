"""A real Apache Kafka broker in KRaft mode: one node, on loopback, its data in a temporary directory.

Tuned to start fast and to be gone without a trace; what clients see of it is what production brokers do.
"""

import base64
import logging
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bridge.devstack.jars import broker_classpath
from bridge.devstack.java import find_java
from bridge.devstack.ports import LOOPBACK, accepts_connections, fresh_port
from bridge.devstack.process import ServerDidNotStart
from bridge.devstack.server import Server

logger = logging.getLogger(__name__)

_START_TIMEOUT_S = 90.0
#: without performance data: it would leave a directory in /tmp
_JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)

#: small and quick, where the stock values are meant for clusters; a new group starts without waiting for others
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "broker.session.timeout.ms": "3000",  # how long a broker that was killed waits for its own old session
    "broker.heartbeat.interval.ms": "500",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.min.session.timeout.ms": "3000",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.backoff.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
}


class KafkaServer(Server):
    """A broker on a fresh port.

    `start` after `stop` or `kill` goes on with the same port and data; `close` removes everything.
    `settings` are broker settings that go before the defaults here; with `sasl_users` (name to password) there is
    a second listener that wants SASL/PLAIN.
    """

    def __init__(
        self, *, settings: Mapping[str, str] | None = None, sasl_users: Mapping[str, str] | None = None
    ) -> None:
        self._settings = dict(settings or {})
        self._sasl_users = dict(sasl_users or {})
        self._port, self._controller_port, self._sasl_port = fresh_port(), fresh_port(), fresh_port()
        self._formatted = False
        super().__init__("kafka")

    @property
    def bootstrap_servers(self) -> str:
        """Address of the plain listener."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def sasl_bootstrap_servers(self) -> str:
        """Address of the listener that wants SASL/PLAIN; nobody listens there without `sasl_users`."""
        return f"{LOOPBACK}:{self._sasl_port}"

    def start(self) -> None:
        """Start the broker and wait until it serves. Raises LanebridgeError with the remedy or the log's end."""
        java, classpath = str(find_java()), broker_classpath()
        if not self._formatted:
            self._format(java, classpath)
        self._process.start([java, *_JVM, "-cp", classpath, "kafka.Kafka", str(self._properties_file)])
        self._process.await_ready(self._serves, _START_TIMEOUT_S)
        logger.info("Kafka serves at %s", self.bootstrap_servers, extra={"action": "kafka_started"})

    @property
    def _properties_file(self) -> Path:
        return self._process.directory / "server.properties"

    def _format(self, java: str, classpath: str) -> None:
        """Write the properties and let Kafka's own tool prepare the data directory."""
        path = self._properties_file
        path.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
        path.chmod(0o600)
        tool = [java, *_JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath]
        tool += ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(path)]
        answer = subprocess.run(tool, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise ServerDidNotStart(f"Kafka's data could not be prepared:\n{answer.stdout}{answer.stderr}")
        self._formatted = True

    def _properties(self) -> dict[str, str]:
        listeners = f"PLAINTEXT://{self.bootstrap_servers}"
        sasl: dict[str, str] = {}
        if self._sasl_users:
            listeners += f",SASL://{self.sasl_bootstrap_servers}"
            users = " ".join(f'user_{name}="{password}"' for name, password in self._sasl_users.items())
            module = "org.apache.kafka.common.security.plain.PlainLoginModule"
            sasl = {
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl.plain.sasl.jaas.config": f"{module} required {users};",
            }
        controller = f"{LOOPBACK}:{self._controller_port}"
        places = {
            "listeners": f"{listeners},CONTROLLER://{controller}",
            "advertised.listeners": listeners,
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self._process.directory / "data"),
        }
        return {**_SETTINGS, **places, **sasl, **self._settings}

    def _serves(self) -> bool:
        if not accepts_connections(self._port):
            return False
        try:
            client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
            return bool(client.list_topics(timeout=2.0).brokers)
        except KafkaException:
            return False


def _cluster_id() -> str:
    """Kafka's form of a UUID; its first byte is zero so that it never looks like an option (a leading "-")."""
    return base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
