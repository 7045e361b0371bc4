"""Topic names and regular expressions, read as the broker or librdkafka reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Kafka's own topics: no regular expression means them
INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})


def expand_names(wanted: Iterable[str], existing: Iterable[str], *, whole_name: bool) -> list[str]:
    """The existing topics that are meant, sorted. A name that begins with ^ is a regular expression: with `whole_name`
    it must match the whole name (group.protocol=consumer), else the beginning."""
    names, found = set(existing), set[str]()
    for topic in wanted:
        if topic.startswith("^"):
            pattern = re.compile(topic)
            match = pattern.fullmatch if whole_name else pattern.match
            found |= {name for name in names - INTERNAL_TOPICS if match(name)}
        else:
            found |= {topic} & names
    return sorted(found)


def is_next_generation(kafka: Mapping[str, object]) -> bool:
    """Whether these raw options let the broker run the group (`group.protocol=consumer`, KIP-848)."""
    return str(kafka.get("group.protocol", "classic")).lower() == "consumer"
