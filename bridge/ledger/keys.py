"""Names of keys and channels in Redis.

Rules: everything of one partition lies in one hash slot (the text in braces); names hold no glob characters, no
braces, spaces or line ends; a partition's text is `<group>/<topic>/<partition>` with the group percent-encoded.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

from bridge.entries import link_id
from bridge.records import TopicPartition

#: characters of a group that stay as they are: no `/`, `%`, space, brace, bracket, backslash, `*` or `?`
_PLAIN = "!#$&'()+,-.:;<=>@^_|~"


def partition_text(group: str, tp: TopicPartition) -> str:
    """How handles and notices name a partition of a group."""
    return f"{_group_text(group)}/{tp.topic}/{tp.partition}"


def split_partition_text(text: str) -> tuple[str, TopicPartition]:
    """Group and partition of what `partition_text` made. Raises ValueError for any other text."""
    group, topic, partition = text.split("/")
    return unquote(group), TopicPartition(topic, int(partition))


def hash_key(partition: str) -> str:
    """The hash of a partition, named by its `partition_text`."""
    return f"lanebridge:{{{partition}}}"


def payload_key(partition: str, chain: str, link: int) -> str:
    """What a link works on. A value of its own for each link: once written it never changes."""
    return f"lanebridge:{{{partition}}}:{link_id(chain, link)}"


def registry_key(name: str) -> str:
    """The index of a registry; its members lie beside it."""
    return f"lanebridge:{{{name}}}"


def states_name(group: str) -> str:
    """The registry of the states that the bridges of a group publish."""
    return f"states/{_group_text(group)}"


def operators_name(group: str) -> str:
    """The registry-like name under which operators' instructions to a group lie."""
    return f"operators/{_group_text(group)}"


@lru_cache(maxsize=64)
def _group_text(group: str) -> str:
    return quote(group, safe=_PLAIN)
