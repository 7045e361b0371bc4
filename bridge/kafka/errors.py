"""What goes wrong with Kafka, in words that name the option, its value and the remedy.

Rules: a client repeats the same error several times a second, so each is reported once and then at most once a
minute; no text holds a secret.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from confluent_kafka import KafkaError, KafkaException

from bridge.errors import ConfigurationError, LanebridgeError
from bridge.kafka.profile import ConsumerSettings, without_secrets
from bridge.records import TopicPartition

logger = logging.getLogger(__name__)

#: seconds for which an error that goes on is not reported again
REPORT_INTERVAL_S = 60.0
#: seconds without an error after which it is over: a broker that accepts and never answers makes one every ten
#: seconds, a topic that is missing or may not be read with a look at all topics (every 5 minutes)
QUIET_S, RARE_QUIET_S = 12.0, 330.0
_RARE = frozenset(
    {
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_TOPIC",
        "_UNKNOWN_PARTITION",
    }
)

#: what concerns a record, not the way to it
_HARMLESS = frozenset({"_BAD_MSG"})

_BROKER = re.compile(r"^(?P<broker>(?:[a-z_]+://)?[^\s/]+)/(?:bootstrap|\d+): (?P<text>.*)$", re.DOTALL)


class KafkaUnavailable(LanebridgeError):
    """Kafka does not answer in time."""


class KafkaUnreachable(KafkaUnavailable):
    """No Kafka broker can be reached."""


class KafkaLoginRefused(KafkaUnavailable):
    """Kafka refuses the login."""


class FatalKafkaError(LanebridgeError):
    """The Kafka client has given up; a new process is needed."""


class BadKafkaOption(ConfigurationError):
    """librdkafka refuses an option."""


#: codes that say less than what went wrong with the connections
_VAGUE = frozenset({"_TIMED_OUT", "_MSG_TIMED_OUT", "_TRANSPORT", "_WAIT_COORD", "_PURGE_QUEUE", "_PURGE_INFLIGHT"})


class LastError:
    """What a client has told last of its connections: it explains time-outs."""

    def __init__(self) -> None:
        self._known: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """The client has told this."""
        if self._known is None or code_of(error) != "_ALL_BROKERS_DOWN":  # which says less than what came before
            self._known = error

    def forget(self) -> None:
        """What was told so far explains nothing that happens from now on."""
        self._known = None

    def explain(self, error: KafkaError) -> KafkaError:
        """The error, or what it came from."""
        return self._known or error if code_of(error) in _VAGUE else error


@dataclass(frozen=True, slots=True)
class BrokerError:
    """Something that a person should know. `code` is librdkafka's name of the error, `broker` its address ("" for
    the cluster), `repeats` how often it has come since it was last reported; `recovered` says that it is over."""

    code: str
    broker: str
    text: str
    remedy: str
    repeats: int = 0
    recovered: bool = False

    @property
    def is_trouble(self) -> bool:
        """It concerns the way to Kafka, not a record that came."""
        return self.code not in _HARMLESS

    def __str__(self) -> str:
        again = f" [{self.repeats} times since the last report]" if self.repeats else ""
        return f"{self.text} ({self.code}){again}" + (f"; {self.remedy}" if self.remedy else "")


def code_of(error: KafkaError) -> str:
    """The name of the error, as in librdkafka's documentation."""
    return str(error.name())


def error_of(error: KafkaException) -> KafkaError:
    """The KafkaError in a KafkaException."""
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def explain(error: KafkaError, settings: ConsumerSettings) -> BrokerError:
    """The error with its remedy."""
    code = code_of(error)
    text = without_secrets(error.str(), settings.kafka)
    found = _BROKER.match(text)
    broker, text = (found["broker"], f"{found['broker']}: {found['text']}") if found else ("", text)
    return BrokerError(code, broker, text, _remedy(code, settings))


def unreadable_headers(tp: TopicPartition, offsets: Sequence[int]) -> BrokerError:
    """The report of records that are delivered without their headers."""
    logger.debug("%s: headers not readable at offsets %s", tp, offsets, extra={"action": "headers_unreadable"})
    return BrokerError(
        "_BAD_MSG",
        "",
        f"{tp} holds records with a header name that is not UTF-8: they are delivered without their headers",
        "correct the producer; the offsets are in the log at level DEBUG",
    )


def fatal(error: KafkaError, settings: ConsumerSettings) -> FatalKafkaError:
    """The exception for an error after which the client works no more."""
    known = explain(error, settings)
    code = next((code for code in _FATAL_CODES if _meaning(code) in known.text), known.code)
    remedy = _remedy(code, settings) or "start the bridge again, after a few seconds"
    return FatalKafkaError(f"the Kafka client has given up: {known.text} ({code}); {remedy}")


def refused_option(error: KafkaException, settings: ConsumerSettings) -> BadKafkaOption:
    """The exception for options that the client does not take."""
    text = without_secrets(error_of(error).str(), settings.kafka)
    return BadKafkaOption(
        f"librdkafka refuses its options: {text}; correct it in kafka={{...}} or in the BRIDGE_KAFKA_... variable "
        "(the names are those of librdkafka's CONFIGURATION.md)"
    )


class ErrorFilter:
    """Lets an error through once, and again after a minute with the number of repeats; notices the end of an outage."""

    def __init__(self, settings: ConsumerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._reported: dict[tuple[str, str], tuple[float, int]] = {}
        self._is_troubled = self._all_down = self._heard = False
        self._over_at = clock()

    def admit(self, known: BrokerError) -> BrokerError | None:
        """The report, or None when it would be a repetition."""
        now = self._clock()
        is_outage = known.code == "_ALL_BROKERS_DOWN"
        if known.is_trouble:
            self._all_down, self._heard, self._is_troubled = self._all_down or is_outage, False, True
            self._over_at = max(self._over_at, now + (RARE_QUIET_S if known.code in _RARE else QUIET_S))
        key = (known.code, "" if is_outage else known.broker or known.text)
        reported_at, repeats = self._reported.get(key, (None, 0))
        if reported_at is not None and now - reported_at < REPORT_INTERVAL_S:
            self._reported[key] = (reported_at, repeats + 1)
            return None
        self._forget_old(now)
        self._reported[key] = (now, 0)
        return replace(known, repeats=repeats)

    def hear(self) -> None:
        """Something came from a broker, or from what the client had fetched ahead; to another client of this process,
        maybe: on an idle topic nothing else is heard."""
        self._heard = True

    def recovered(self) -> BrokerError | None:
        """After an error, once: Kafka answers again. After an outage of all brokers the next one will be news."""
        if not (self._is_troubled and self._heard and self._clock() > self._over_at):
            return None
        if self._all_down:
            self._reported.clear()
        self._is_troubled = self._all_down = False
        text = f"Kafka at {self._settings.bootstrap_servers} answers again"
        return BrokerError("_ALL_BROKERS_DOWN", "", text, "", recovered=True)

    def _forget_old(self, now: float) -> None:
        """Keep what was reported in the last interval, and what has been repeated since: the rest is over."""
        self._reported = {
            key: (at, repeats)
            for key, (at, repeats) in self._reported.items()
            if now - at < REPORT_INTERVAL_S or repeats
        }


def _meaning(code: str) -> str:
    """librdkafka's own words for a code."""
    return str(KafkaError(getattr(KafkaError, code)).str())


def _remedy(code: str, settings: ConsumerSettings) -> str:
    template = _REMEDIES.get(code, "")
    options = settings.kafka
    return template.format(
        servers=settings.bootstrap_servers,
        group=settings.group_id,
        protocol=options.get("security.protocol", "plaintext"),
        mechanism=options.get("sasl.mechanisms", options.get("sasl.mechanism", "GSSAPI")),
        username=options.get("sasl.username", ""),
        instance=options.get("group.instance.id", ""),
    )


_REACH = (
    "check that Kafka runs and that bootstrap_servers={servers!r} (BRIDGE_BOOTSTRAP_SERVERS) and "
    "security.protocol={protocol!r} are right"
)
_LOGIN = (
    "check sasl.username={username!r}, sasl.password (BRIDGE_KAFKA_SASL_PASSWORD), sasl.mechanisms={mechanism!r} and "
    "security.protocol={protocol!r}"
)
_STATIC = (
    "group.instance.id={instance!r} is in use by another process, or was a moment ago: give each bridge its own, or "
    "wait session_timeout before starting again"
)

_REMEDIES = {
    "_ALL_BROKERS_DOWN": _REACH,
    "_TRANSPORT": _REACH,
    "_RESOLVE": _REACH,
    "_TIMED_OUT": _REACH,
    "_SSL": "check the ssl.* options and security.protocol={protocol!r}",
    "_AUTHENTICATION": _LOGIN,
    "SASL_AUTHENTICATION_FAILED": _LOGIN,
    "UNSUPPORTED_SASL_MECHANISM": _LOGIN,
    "ILLEGAL_SASL_STATE": _LOGIN,
    "TOPIC_AUTHORIZATION_FAILED": "grant sasl.username={username!r} Read and Describe on the topic",
    "GROUP_AUTHORIZATION_FAILED": "grant sasl.username={username!r} Read on the group {group!r} (group_id)",
    "CLUSTER_AUTHORIZATION_FAILED": "grant sasl.username={username!r} Describe on the cluster",
    "UNKNOWN_TOPIC_OR_PART": "create the topic, or correct its name in the pipeline",
    "_UNKNOWN_TOPIC": "create the topic, or correct its name in the pipeline",
    "_UNKNOWN_PARTITION": "the partition was there before: was the topic deleted or created anew?",
    "_MAX_POLL_EXCEEDED": (
        "the bridge stood still for longer than max.poll.interval.ms and its partitions went to others"
    ),
    "INCONSISTENT_GROUP_PROTOCOL": (
        "other members of the group {group!r} (group_id) use another assignor: use a group of its own for the bridge"
    ),
    "INVALID_SESSION_TIMEOUT": (
        "set session_timeout between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"
    ),
    "UNSUPPORTED_VERSION": "group.protocol=consumer needs Kafka 4.0 or newer: leave it out",
    "FENCED_INSTANCE_ID": _STATIC,
    "UNRELEASED_INSTANCE_ID": _STATIC,
    "GROUP_MAX_SIZE_REACHED": "the group {group!r} has as many members as the broker's group.max.size allows",
    "INVALID_GROUP_ID": "set group_id to a name that is not empty",
}

#: what may stand behind a fatal error, which itself names its cause only in its text
_FATAL_CODES = ("FENCED_INSTANCE_ID", "UNRELEASED_INSTANCE_ID", "UNSUPPORTED_VERSION", "INVALID_GROUP_ID")
