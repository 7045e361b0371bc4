"""Where an operator's command works: the group's instructions, what its bridges show, and who asks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import click

from bridge.app import Bridge
from bridge.cli.plans import resolve_bridge
from bridge.cli.sources import ledger_client, merged_state
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ops.state import State


@dataclass(frozen=True, slots=True)
class Desk:
    """`state` is what the bridges showed when the command began."""

    bridge: Bridge
    operators: Operators
    state: State
    who: str


@contextmanager
def desk(context: click.Context, given: Mapping[str, object], who: str) -> Iterator[Desk]:
    """The desk of this command. Raises Failed when the ledger does not answer, UnreadableState."""
    bridge = resolve_bridge(context, given)
    with ledger_client(bridge) as client:
        group = bridge.settings.group_id
        yield Desk(bridge, Operators(client, group), merged_state(Ledger(client, group)), who)


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000
