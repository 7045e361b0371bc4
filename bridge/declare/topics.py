"""Which topics a pipeline carries. A topic belongs to one pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bridge.settings.kinds import is_topic_name

_NAME = "a name has up to 249 letters, digits, dots, underscores and dashes. Remedy: correct it"


def read_topics(topics: object, problems: list[str]) -> tuple[str, ...]:
    """The topics as names and ^patterns; what is wrong goes to `problems`."""
    names = [topics] if isinstance(topics, str) else topics
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        problems.append(
            "topics must be a topic name, a list of them, or a regular expression that begins with ^. "
            'Remedy: "orders", ["orders", "refunds"] or "^orders-.*".'
        )
        return ()
    for name in names:
        problems += _wrong_name(name)
    problems += [f"topic {name!r} is there twice. Remedy: name it once." for name in _repeated(names)]
    return tuple(dict.fromkeys(names))


def shared_topics(topics: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """Topics, and patterns, that both would carry."""
    for topic in topics:
        if any(topic == other or _matches(topic, other) or _matches(other, topic) for other in others):
            yield topic


def own_dead_letters(topics: Sequence[str], template: str) -> Iterator[str]:
    """Dead letter topics whose records would come back to the same pipeline."""
    for topic in topics:
        dead_letters = template.replace("{topic}", topic)
        if not topic.startswith("^") and any(dead_letters == each or _matches(each, dead_letters) for each in topics):
            yield dead_letters
        elif topic.startswith("^") and "{topic}" not in template and _matches(topic, template):
            yield template


def _wrong_name(name: str) -> Iterator[str]:
    if not name.startswith("^"):
        if not is_topic_name(name):
            several = "; several topics are a list" if "," in name else ""
            yield f"topic {name!r} is no topic name: {_NAME}{several}."
        return
    try:
        re.compile(name)
    except re.error as error:
        yield f"topic {name!r} is no regular expression ({error}). Remedy: correct it."


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _matches(pattern: str, name: str) -> bool:
    """As librdkafka does it: the beginning of the name is enough."""
    if not pattern.startswith("^") or name.startswith("^"):
        return False
    try:
        return re.match(pattern, name) is not None
    except re.error:
        return False
