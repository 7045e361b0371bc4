"""The options of a bridge: the one table, and the values read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, TypedDict

from bridge.settings.kinds import Choice, HttpAddress, Integer, Number, RawOptions, RedisUrl, Servers, Switch, Text
from bridge.settings.option import REQUIRED, Option, table

_MIB = 1024 * 1024


class BridgeOptions(TypedDict, total=False):
    """What `Bridge(app, ...)` takes; each is also a variable BRIDGE_<NAME> and a flag of `lanebridge run`."""

    bootstrap_servers: Annotated[
        str, Option(Servers(), "localhost:9092", "The Kafka brokers to ask first.", "kafka-1:9092,kafka-2:9092")
    ]
    group_id: Annotated[
        str,
        Option(
            Text(),
            REQUIRED,
            "The Kafka consumer group. Bridges of one group share the partitions.",
            "orders",
            readers="both",
        ),
    ]
    ledger_url: Annotated[
        str | None,
        Option(
            RedisUrl(),
            None,
            "The Redis (6.2 or newer) or Valkey that holds the ledger.",
            "redis://localhost:6379/0",
            default_text="the app's Redis broker",
            secret=True,
            readers="both",
        ),
    ]
    kafka: Annotated[
        Mapping[str, object],
        Option(
            RawOptions(),
            MappingProxyType({}),
            "Raw librdkafka options by name, for TLS, SASL and tuning. As variables: BRIDGE_KAFKA_SASL_USERNAME is "
            "sasl.username. Those that belong to the bridge are refused.",
            '{"security.protocol": "SASL_SSL"}',
            default_text="none",
            secret=True,
        ),
    ]
    http: Annotated[
        str,
        Option(
            HttpAddress(),
            "",
            "Where the bridge serves /healthz, /readyz, /metrics and /api/lanes; without a host on loopback only.",
            "127.0.0.1:8080",
            default_text="off",
        ),
    ]
    lane_queues: Annotated[
        int,
        Option(
            Integer(1, 4096),
            16,
            "How many Celery queues the lanes share: lane-0, lane-1 and so on.",
            "32",
            "queues",
            readers="both",
        ),
    ]
    start_from: Annotated[
        str,
        Option(
            Choice(("earliest", "latest", "error")),
            "earliest",
            "Where to begin a partition that the group has never committed.",
            '"latest"',
        ),
    ]
    commit_interval: Annotated[
        float,
        Option(
            Number(0, 3600),
            0.01,
            "The least time between two commits; 0 commits as soon as the last one is confirmed. After a crash nothing "
            "is repeated however rare commits are: the ledger knows what is finished.",
            "5",
            "seconds",
        ),
    ]
    session_timeout: Annotated[
        float,
        Option(
            Number(1, 3600),
            10.0,
            "After this long without a sign Kafka gives a bridge's partitions away.",
            "30",
            "seconds",
        ),
    ]
    heartbeat_interval: Annotated[
        float, Option(Number(0.1, 1200), 1.0, "How often a bridge says to Kafka that it lives.", "3", "seconds")
    ]
    wait_for_topics: Annotated[
        bool,
        Option(
            Switch(), False, "Wait at the start for topics that do not exist, instead of ending with an error.", "true"
        ),
    ]
    startup_timeout: Annotated[
        float,
        Option(
            Number(0, 86400),
            30.0,
            "How long to wait at the start for Kafka, the ledger and the broker.",
            "120",
            "seconds",
        ),
    ]
    shutdown_timeout: Annotated[
        float,
        Option(Number(0, 3600), 10.0, "How long the last commit may take at the end.", "20", "seconds"),
    ]
    buffer_bytes: Annotated[
        int,
        Option(Integer(_MIB, 2**40), 32 * _MIB, "Memory for records that wait in the bridge.", "134217728", "bytes"),
    ]
    in_flight_bytes: Annotated[
        int,
        Option(
            Integer(_MIB, 2**40),
            64 * _MIB,
            "Payload that may lie in Redis at once, for the whole bridge.",
            "134217728",
            "bytes",
        ),
    ]
    claim_timeout: Annotated[
        float,
        Option(
            Number(0.1, 3600),
            15.0,
            "After this long a link that no worker has taken is published again.",
            "30",
            "seconds",
            readers="both",
        ),
    ]
    worker_timeout: Annotated[
        float,
        Option(
            Number(0.1, 3600),
            15.0,
            "After this long without a heartbeat a worker counts as dead.",
            "30",
            "seconds",
            readers="both",
        ),
    ]
    worker_heartbeat: Annotated[
        float,
        Option(
            Number(0.1, 1200),
            3.0,
            "How often a worker says to the ledger that it lives.",
            "5",
            "seconds",
            readers="workers",
        ),
    ]
    max_timeouts: Annotated[
        int,
        Option(
            Integer(1, 1000),
            2,
            "How often the same record may run into a time limit before it is given up.",
            "3",
            "times",
        ),
    ]
    max_worker_losses: Annotated[
        int,
        Option(
            Integer(1, 1000), 3, "How often the same record may lose its worker before it is given up.", "5", "times"
        ),
    ]
    brake_limit: Annotated[
        float,
        Option(
            Number(0, 86400),
            600.0,
            "While many lanes fail and none succeeds, an outage is suspected: for up to this long no record is given "
            "up, lanes are tried again instead. 0: never.",
            "1800",
            "seconds",
        ),
    ]
    brake_lanes: Annotated[
        int,
        Option(
            Integer(1, 100_000),
            3,
            "How many lanes must fail, and at least half of all, before an outage is suspected.",
            "1",
            "lanes",
        ),
    ]
    dead_letter_profile: Annotated[
        Literal["kafka", "spring"],
        Option(
            Choice(("kafka", "spring")),
            "kafka",
            "How the headers of dead letters are named: __dlq.errors.* as Kafka's own, or kafka_dlt-* as Spring's.",
            '"spring"',
        ),
    ]
    log_format: Annotated[
        Literal["text", "json"],
        Option(
            Choice(("text", "json")),
            "text",
            "How an event is logged: as a line of text, or as a JSON document on a line.",
            '"json"',
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The value of every option. Durations in seconds, sizes in bytes; `ledger_url` None is the app's Redis broker."""

    bootstrap_servers: str
    group_id: str
    ledger_url: str | None
    kafka: Mapping[str, object]
    http: str
    lane_queues: int
    start_from: str
    commit_interval: float
    session_timeout: float
    heartbeat_interval: float
    wait_for_topics: bool
    startup_timeout: float
    shutdown_timeout: float
    buffer_bytes: int
    in_flight_bytes: int
    claim_timeout: float
    worker_timeout: float
    worker_heartbeat: float
    max_timeouts: int
    max_worker_losses: int
    brake_limit: float
    brake_lanes: int
    dead_letter_profile: Literal["kafka", "spring"]
    log_format: Literal["text", "json"]

    def __repr__(self) -> str:
        values = (f"{option.name}={option.shown(getattr(self, option.name))!r}" for option in OPTIONS)
        return f"Settings({', '.join(values)})"


OPTIONS = table(BridgeOptions)
