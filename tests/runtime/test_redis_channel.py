"""The client that a channel of kombu's Redis transport uses."""

from __future__ import annotations

from typing import Any

from kombu.connection import Connection

from bridge.devstack import RedisServer
from bridge.runtime.redis_channel import share_client


def test_a_channel_has_one_client_for_a_pool(redis_server: RedisServer) -> None:
    with _connect(redis_server.url) as connection:
        channel = connection.default_channel
        assert _client(channel) is not _client(channel)

        share_client(channel)

        first = _client(channel)
        assert first is _client(channel)
        assert first.connection_pool is channel.pool
        assert first.ping()


def test_a_channel_with_another_pool_has_another_client(redis_server: RedisServer) -> None:
    with _connect(redis_server.url) as connection:
        channel = connection.default_channel
        share_client(channel)
        first = _client(channel)

        channel._disconnect_pools()

        assert _client(channel) is not first
        assert _client(channel).connection_pool is channel.pool


def test_the_keys_of_a_shared_client_have_their_prefix(redis_server: RedisServer) -> None:
    with _connect(redis_server.url, transport_options={"global_keyprefix": "mine:"}) as connection:
        channel = connection.default_channel
        share_client(channel)
        _client(channel).lpush("queue", "message")

    with _connect(redis_server.url) as connection:
        assert _client(connection.default_channel).rpop("mine:queue") == b"message"


def test_a_channel_that_makes_its_clients_in_another_way_stays_as_it_is() -> None:
    with _connect("memory://") as connection:
        channel = connection.default_channel
        before = dict(vars(channel))

        share_client(channel)

        assert vars(channel) == before


def _connect(url: str, **options: Any) -> Any:
    return Connection(url, **options)  # type: ignore[no-untyped-call]


def _client(channel: Any) -> Any:
    with channel.conn_or_acquire() as client:
        return client
