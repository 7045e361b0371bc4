"""Where `lanes` reads: the states that the bridges of the app's group have published to the ledger."""

from __future__ import annotations

import redis

from bridge.app import Bridge
from bridge.cli.errors import Failed
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.ops.state import State, decode_state, merge
from bridge.settings import shown


def read_state(bridge: Bridge) -> State:
    """All bridges' states as one. Raises Failed when the ledger does not answer, UnreadableState."""
    try:
        with connect(bridge.ledger_url) as client:
            blobs = Ledger(client, bridge.settings.group_id).states()
    except redis.RedisError as error:
        reason = str(error).rstrip(".")
        raise Failed(
            f"the ledger (ledger_url {shown(bridge.ledger_url)}) cannot be read: {reason}. Start Redis, or set "
            "BRIDGE_LEDGER_URL to the Redis that the bridge uses"
        ) from None
    return merge([decode_state(blob) for blob in blobs.values()])
