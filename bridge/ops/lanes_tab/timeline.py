"""The last batches of a partition as Flower has heard of them: a chain per line, its links with their times.

Flower knows what workers have sent as events since it started; the ids of links begin with group, topic and partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.core.dispatching import chain_prefix
from bridge.entries import chain_of
from bridge.records import TopicPartition

#: chains that are shown
CHAINS = 20

#: what Celery calls a link behind which the chain does not go on
ENDED_BADLY = frozenset({"FAILURE", "REVOKED", "REJECTED"})


class LinkEvents(msgspec.Struct, frozen=True):
    """A link as a Celery task; times in seconds since 1970, null where no event said so."""

    id: str
    link: int
    name: str
    state: str
    records: str
    worker: str
    received: float | None
    started: float | None
    ended: float | None
    runtime: float | None
    exception: str


class ChainEvents(msgspec.Struct, frozen=True):
    """A chain, its links in order. `cut` says after which link it did not go on, "" it did."""

    chain: str
    links: tuple[LinkEvents, ...]
    cut: str


def timeline(tasks: Mapping[str, Any], group: str, tp: TopicPartition, count: int = CHAINS) -> tuple[ChainEvents, ...]:
    """The last `count` chains of the partition among Flower's tasks, newest first."""
    prefix = f"{chain_prefix(group)}{tp.topic}-{tp.partition}."
    found: dict[str, list[LinkEvents]] = {}
    for id, task in list(tasks.items()):
        if id.startswith(prefix):
            chain, number = chain_of(id)
            if chain:
                found.setdefault(chain, []).append(_link(id, number, task))
    chains = [_chain(chain, links) for chain, links in found.items()]
    chains.sort(key=lambda chain: max(link.received or link.started or 0.0 for link in chain.links), reverse=True)
    return tuple(chains[:count])


def _chain(chain: str, links: list[LinkEvents]) -> ChainEvents:
    links.sort(key=lambda link: link.link)
    last = links[-1]
    cut = f"ended at link {last.link}, nothing behind it ran" if last.state in ENDED_BADLY else ""
    return ChainEvents(chain, tuple(links), cut)


def _link(id: str, number: int, task: Any) -> LinkEvents:
    ended = task.succeeded or task.failed or task.revoked
    return LinkEvents(
        id=id,
        link=number,
        name=task.name or "",
        state=task.state,
        records=_plain(task.args),
        worker=getattr(task.worker, "hostname", None) or "",
        received=task.received,
        started=task.started,
        ended=ended if isinstance(ended, float) else None,
        runtime=task.runtime,
        exception=task.exception or "",
    )


def _plain(args: str | None) -> str:
    """What the bridge has given as the text of the arguments; anything else is not shown: it might hold records."""
    return args if args and args[0] not in "([{" else ""
