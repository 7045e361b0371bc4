"""Where the commands look: what the bridges of the app's group have published to the ledger, and what operators want of
them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from bridge.app import Bridge
from bridge.cli.errors import Failed
from bridge.instructions import Instructions
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ops.state import State, decode_state, merge
from bridge.settings import shown


@contextmanager
def ledger_client(bridge: Bridge) -> Iterator[redis.Redis]:
    """The ledger's Redis. Raises Failed when it does not answer."""
    try:
        with connect(bridge.ledger_url) as client:
            yield client
    except redis.RedisError as error:
        reason = str(error).rstrip(".")
        raise Failed(
            f"the ledger (ledger_url {shown(bridge.ledger_url)}) cannot be read: {reason}. Start Redis, or set "
            "BRIDGE_LEDGER_URL to the Redis that the bridge uses"
        ) from None


def merged_state(ledger: Ledger) -> State:
    """All bridges' states as one. Raises UnreadableState, redis' errors."""
    return merge([decode_state(blob) for blob in ledger.states().values()])


def read_state(bridge: Bridge) -> State:
    """All bridges' states as one. Raises Failed when the ledger does not answer, UnreadableState."""
    with ledger_client(bridge) as client:
        return merged_state(Ledger(client, bridge.settings.group_id))


def read_group(bridge: Bridge) -> tuple[State, Instructions]:
    """All bridges' states as one, and what operators want. Raises as `read_state`."""
    with ledger_client(bridge) as client:
        group = bridge.settings.group_id
        return merged_state(Ledger(client, group)), Operators(client, group).read()
