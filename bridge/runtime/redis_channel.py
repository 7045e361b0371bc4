"""kombu's Redis transport makes a client object for each message that it sends: a third of what publishing costs."""

from __future__ import annotations

from typing import Any


def share_client(channel: Any) -> None:
    """Let a channel of kombu's Redis transport use the client that it has made, as long as it asks for the same one
    (the same pool of connections). A channel that does not make its clients with `Client` stays as it is.

    The channel must be used by one thread only."""
    make = getattr(channel, "Client", None)
    if make is None:
        return
    asked: dict[str, Any] | None = None
    client: Any = None

    def shared(**options: Any) -> Any:
        nonlocal asked, client
        if options != asked:
            asked, client = options, make(**options)
        return client

    channel.Client = shared
