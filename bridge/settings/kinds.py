"""What an option's value may be.

A kind reads a value from code, or its text from the environment or the command line: `parse` gives it in the option's
type or raises Unfit; `wanted` says what fits, as in "lane_queues must be <an integer from 1 to 4096>".
"""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.records import Retry
from bridge.settings.redis_urls import why_not

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class Unfit(ValueError):
    """The value is not of this kind. The text, if there is one, is a whole reason with its remedy."""


class Kind(Protocol):
    """A kind of value."""

    @property
    def wanted(self) -> str:
        """What fits."""

    def parse(self, value: object) -> object:
        """The value in the option's type. Raises Unfit."""


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number in a range."""

    low: int
    high: int

    @property
    def wanted(self) -> str:
        """Its range."""
        return f"an integer from {self.low} to {self.high}"

    def parse(self, value: object) -> int:
        """A text of digits, or an int."""
        if isinstance(value, str):
            try:
                value = int(value)
            except ValueError:
                raise Unfit from None
        if type(value) is not int or not self.low <= value <= self.high:
            raise Unfit
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a range."""

    low: float
    high: float

    @property
    def wanted(self) -> str:
        """Its range."""
        return f"a number from {self.low:g} to {self.high:g}"

    def parse(self, value: object) -> float:
        """A text like 0.5, or a number."""
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise Unfit from None
        if type(value) not in (int, float) or not self.low <= value <= self.high:  # type: ignore[operator]
            raise Unfit
        return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off."""

    wanted: str = "true or false"

    def parse(self, value: object) -> bool:
        """A bool, or a text like true, yes, on, 1."""
        text = value.strip().lower() if isinstance(value, str) else ""
        if value is True or text in _TRUE:
            return True
        if value is False or text in _FALSE:
            return False
        raise Unfit


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few texts."""

    choices: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """The texts."""
        *most, last = (f'"{choice}"' for choice in self.choices)
        return f"{', '.join(most)} or {last}"

    def parse(self, value: object) -> str:
        """Exactly one of them."""
        if not isinstance(value, str) or value not in self.choices:
            raise Unfit
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A text without control characters or blanks around it."""

    wanted: str = "a text that is not empty"

    def parse(self, value: object) -> str:
        """As it is."""
        if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
            raise Unfit
        return value


@dataclass(frozen=True, slots=True)
class Servers:
    """Kafka brokers."""

    wanted: str = "host:port, or several of them separated by commas"

    def parse(self, value: object) -> str:
        """A text, or a list of texts."""
        texts = value.split(",") if isinstance(value, str) else value
        if not isinstance(texts, Sequence) or not texts:
            raise Unfit
        servers = [text.strip() if isinstance(text, str) else "" for text in texts]
        if not all(re.fullmatch(r"(\w+://)?([^\s/:,@]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?", server) for server in servers):
            raise Unfit
        return ",".join(servers)


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """Where the ledger is."""

    wanted: str = "a URL redis://, rediss:// or unix://"

    def parse(self, value: object) -> str:
        """A URL of a single Redis or Valkey."""
        if not isinstance(value, str):
            raise Unfit
        if reason := why_not(value):
            raise Unfit(reason)
        return value


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where to listen; the empty text is nowhere."""

    wanted: str = "host:port, or empty for no HTTP"

    def parse(self, value: object) -> str:
        """`host:port`, `:port`, `port` or nothing."""
        if not isinstance(value, str):
            raise Unfit
        address = value.strip()
        port = address.rpartition(":")[2]
        if address and not (port.isdecimal() and int(port) <= 65535):
            raise Unfit
        return address


@dataclass(frozen=True, slots=True)
class RawOptions:
    """librdkafka options by name; `resolve` reads them one by one."""

    wanted: str = "a mapping of librdkafka's option names to values"

    def parse(self, value: object) -> dict[str, object]:
        """A mapping with texts as names, or a tuple of `name=value`."""
        if isinstance(value, tuple):
            parts = [str(text).partition("=") for text in value]
            if not all(name and equals for name, equals, _ in parts):
                raise Unfit("each value must be NAME=VALUE. Write it as security.protocol=SASL_SSL, for example.")
            return {name: text for name, _, text in parts}
        if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
            raise Unfit
        return dict(value)


@dataclass(frozen=True, slots=True)
class Predicate:
    """A function that closes batches."""

    wanted: str = "a function close_batch(record, batch) -> bool"

    def parse(self, value: object) -> object:
        """Something that can be called with a record and a batch."""
        if not callable(value):
            raise Unfit
        return _called_with(value, None, ())


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a record's `data` is made with."""

    wanted: str = '"raw", "json" or a function decode(record) -> object'

    def parse(self, value: object) -> object:
        """One of the two words, or something that can be called with a record and answers at once."""
        if isinstance(value, str) and value in ("raw", "json"):
            return value
        if not callable(value):
            raise Unfit
        if any(base.__module__.startswith("confluent_kafka.") for base in type(value).__mro__):
            raise Unfit(
                "a deserializer takes a value and a context, not a record. Wrap it: lambda record: deserializer("
                "record.value, SerializationContext(record.topic, MessageField.VALUE))."
            )
        if hasattr(value, "apply_async"):
            raise Unfit("a task is no decoder. Make it an ordinary function that the task may call, too.")
        if inspect.iscoroutinefunction(value):
            raise Unfit("tasks do not await. Make it an ordinary function.")
        return _called_with(value, None)


def _called_with(function: Callable[..., object], *arguments: object) -> object:
    """The function, if it can be called with such arguments. Raises Unfit."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        raise Unfit from None
    except ValueError:
        return function  # one in C that does not tell its arguments
    return function


@dataclass(frozen=True, slots=True)
class TaskSignature:
    """A task of the app; who declares the pipeline reads it, because this room knows no Celery."""

    wanted: str = "the signature of a BatchTask"

    def parse(self, value: object) -> object:
        """As it is."""
        return value


@dataclass(frozen=True, slots=True)
class Retries:
    """How a batch is tried again."""

    wanted: str = "a Retry"

    def parse(self, value: object) -> Retry:
        """A Retry with a whole number of attempts."""
        if not isinstance(value, Retry):
            raise Unfit
        if type(value.max_attempts) is not int:
            raise Unfit("max_attempts must be an integer. Set it to Retry(max_attempts=5), for example.")
        return value


@dataclass(frozen=True, slots=True)
class TopicTemplate:
    """A topic's name with {topic} in it."""

    wanted: str = "a topic name, with {topic} for the topic that the record came from"

    def parse(self, value: object) -> str:
        """A template that gives a name that Kafka allows, and not the topic itself."""
        if not isinstance(value, str) or value == "{topic}":
            raise Unfit
        try:
            fields = {field for _, field, _, _ in string.Formatter().parse(value) if field is not None}
        except ValueError:
            raise Unfit from None
        if fields - {"topic"} or not is_topic_name(value.replace("{topic}", "t")):
            raise Unfit
        return value


def is_topic_name(name: str) -> bool:
    """Whether Kafka allows it: up to 249 letters, digits, dots, underscores and dashes."""
    return re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) is not None and name not in (".", "..")
