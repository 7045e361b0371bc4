"""Raw librdkafka options: which ones the bridge must own, which ones are secret, how a variable names one."""

from __future__ import annotations

from collections.abc import Mapping

#: raw options that a user may not set, and why (with what to do instead)
OWNED_KAFKA_OPTIONS: Mapping[str, str] = {
    "bootstrap.servers": "set bootstrap_servers",
    "metadata.broker.list": "set bootstrap_servers",
    "group.id": "set group_id",
    "session.timeout.ms": "set session_timeout (seconds)",
    "heartbeat.interval.ms": "set heartbeat_interval (seconds)",
    "enable.auto.commit": "offsets are committed only when their records are finished",
    "auto.commit.enable": "offsets are committed only when their records are finished",
    "auto.commit.interval.ms": "set commit_interval (seconds)",
    "enable.auto.offset.store": "offsets are committed only when their records are finished",
    "auto.offset.reset": "set start_from; an offset that vanished is reported, never skipped in silence",
    "enable.partition.eof": "the end of a log is how the bridge knows that a partition is idle",
    "partition.assignment.strategy": "the bridge takes and gives partitions one by one (cooperative-sticky)",
    "default.topic.config": "it could set auto.offset.reset; write its options beside the others",
    "on_commit": "the bridge handles the broker's answers itself",
    "error_cb": "the bridge reports the client's errors itself",
    "stats_cb": "the bridge owns the client's callbacks",
    "throttle_cb": "the bridge owns the client's callbacks",
    "log_cb": "the client's log goes to the logger bridge.kafka.client",
    "logger": "the client's log goes to the logger bridge.kafka.client",
}

#: raw options whose values are never shown
SECRET_KAFKA_OPTIONS: frozenset[str] = frozenset(
    {
        "sasl.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.kerberos.kinit.cmd",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "ssl_key",
    }
)

#: parts of names that only secrets have: a new librdkafka may have secrets that the table does not know yet
_SECRET_PARTS = ("password", "secret", "passphrase")

#: names whose underscores are not dots, and names that end like our own `_FILE`
_UNDERSCORED = {"log.level": "log_level"}
_OWN_FILE_NAMES = frozenset(
    {
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
    }
)

_FILE = ".file"


def is_secret_kafka_option(name: str) -> bool:
    """Whether the value of this raw option must not be shown."""
    return name in SECRET_KAFKA_OPTIONS or any(part in name for part in _SECRET_PARTS)


def option_of(variable: str) -> tuple[str, bool]:
    """The raw option that `BRIDGE_KAFKA_<variable>` means, and whether the variable names a file that holds its
    value: SASL_USERNAME is sasl.username, SASL_PASSWORD_FILE holds sasl.password."""
    name = variable.lower().replace("_", ".")
    in_file = name.endswith(_FILE) and name not in _OWN_FILE_NAMES
    name = name.removesuffix(_FILE) if in_file else name
    return _UNDERSCORED.get(name, name), in_file
