"""Clients for the ledger: which URLs, and how they fail."""

import pytest
import redis

from bridge.devstack import RedisServer
from bridge.ledger.connect import connect
from tests.waiting import wait_until


def options_of(url: str) -> dict[str, object]:
    """What redis-py made of a URL."""
    found: dict[str, object] = connect(url).connection_pool.connection_kwargs
    return found


def test_a_client_answers(redis_server: RedisServer) -> None:
    with connect(redis_server.url) as client:
        assert client.ping()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", {"host": "localhost"}),
        ("redis://:secret@example.org:6380/3", {"host": "example.org", "port": 6380, "db": 3, "password": "secret"}),
        ("redis://user:a%2Fb@example.org//", {"username": "user", "password": "a/b"}),
        ("rediss://example.org/1", {"host": "example.org", "db": 1}),
        ("rediss://example.org/1?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none"}),
        ("rediss://example.org/1?ssl_cert_reqs=required&ssl_ca_certs=%2Fca", {"ssl_cert_reqs": "required"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("redis+socket:///run/redis.sock", {"path": "/run/redis.sock", "db": 0}),
        ("redis+socket:///run/redis.sock?virtual_host=/2", {"path": "/run/redis.sock", "db": 2}),
    ],
)
def test_urls_are_understood_as_celery_and_redis_write_them(url: str, expected: dict[str, object]) -> None:
    found = options_of(url)

    assert {name: found.get(name) for name in expected} == expected


def test_a_tls_url_makes_tls_connections() -> None:
    assert connect("rediss://example.org").connection_pool.connection_class is redis.SSLConnection


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        connect("amqp://localhost")


def test_a_silent_server_fails_a_call_once_and_the_client_works_again_afterwards() -> None:
    with RedisServer() as server, connect(server.url, socket_timeout=0.2) as client:
        client.set("key", "value")
        server.suspend()
        with pytest.raises(redis.TimeoutError):
            client.get("key")

        server.resume()
        assert wait_until(lambda: _get(client), what="an answer") == b"value"


def _get(client: redis.Redis) -> object:
    try:
        return client.get("key")
    except redis.TimeoutError:
        return None
