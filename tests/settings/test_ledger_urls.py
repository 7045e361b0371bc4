"""Where the ledger may be."""

from __future__ import annotations

import ssl

import pytest

from bridge.errors import ConfigurationError
from bridge.settings import Misconfigured, ledger_url_of_broker, resolve

GROUP = {"group_id": "orders"}
REMEDY = "Set ledger_url (BRIDGE_LEDGER_URL) to a Redis >= 6.2 or a Valkey, like redis://localhost:6379/0."

REFUSED = {
    "sentinel://:hunter2@host:26379": "BRIDGE_LEDGER_URL='sentinel://:***@host:26379': Redis Sentinel is not "
    "supported: the ledger needs one address. Set it to one that follows the master (a proxy or a service name), like "
    "redis://localhost:6379/0.",
    "redis+cluster://host:7000": "BRIDGE_LEDGER_URL='redis+cluster://host:7000': Redis Cluster is not supported: the "
    "ledger needs a single Redis or Valkey. Set it to one, like redis://localhost:6379/0.",
    "localhost:6379": "BRIDGE_LEDGER_URL='localhost:6379': ledger_url must be a URL of a Redis or Valkey. "
    "Set it to one, like redis://localhost:6379/0.",
    "amqp://guest@host//": "BRIDGE_LEDGER_URL='amqp://guest@host//': ledger_url must be a URL of a Redis or Valkey. "
    "Set it to one, like redis://localhost:6379/0.",
    "redis://host:port/0": "BRIDGE_LEDGER_URL='redis://host:port/0': ledger_url must be a URL like "
    "redis://localhost:6379/0: a host, a port and a database number; special characters of a password are "
    "percent-encoded.",
    "redis://:hun/ter2@host/0": "BRIDGE_LEDGER_URL='redis://:***@host/0': ledger_url must be a URL like "
    "redis://localhost:6379/0: a host, a port and a database number; special characters of a password are "
    "percent-encoded.",
}


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_cannot_hold_the_ledger_is_refused_by_name(url: str) -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {"BRIDGE_LEDGER_URL": url})
    assert str(error.value) == REFUSED[url]


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://localhost",
        "redis://user:p%40ss@localhost:6379/2",
        "rediss://host:6380/0?ssl_cert_reqs=required",
        "unix:///run/redis.sock",
        "redis+socket:///run/redis.sock?virtual_host=1",
        "redis://localhost:6379//",
    ],
)
def test_one_redis_by_tcp_tls_or_socket_is_taken_as_it_is(url: str) -> None:
    assert resolve({}, GROUP, {"BRIDGE_LEDGER_URL": url}).settings.ledger_url == url
    assert ledger_url_of_broker(url) == url


@pytest.mark.parametrize(
    ("broker", "text"),
    [
        (None, f"The app has no broker_url, so the ledger has no default address. {REMEDY}"),
        (
            "amqp://guest:hunter2@rabbit//",
            "The app's broker (amqp://guest:***@rabbit//) is not Redis, so the ledger has no default address. "
            + REMEDY,
        ),
        ("memory://", f"The app's broker (memory://) is not Redis, so the ledger has no default address. {REMEDY}"),
        (
            "sentinel://:hunter2@a:26379;sentinel://b:26379",
            f"The app's broker_url names 2 brokers, the ledger must be at one. {REMEDY}",
        ),
        (
            ["redis://a", "redis://b"],
            f"The app's broker_url names 2 brokers, the ledger must be at one. {REMEDY}",
        ),
        (
            "sentinel://:hunter2@a:26379",
            "The app's broker (sentinel://:***@a:26379) cannot hold the ledger: Redis Sentinel is not supported: the "
            f"ledger needs one address. {REMEDY}",
        ),
    ],
)
def test_a_broker_that_cannot_hold_the_ledger_is_named_with_the_remedy(broker: object, text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        ledger_url_of_broker(broker)
    assert str(error.value) == text


def test_the_broker_s_tls_settings_are_the_ledger_s_too() -> None:
    use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/ca.pem", "ssl_keyfile": None}
    assert ledger_url_of_broker("redis://:pw@host:6380/1", use_ssl) == (
        "rediss://:pw@host:6380/1?ssl_cert_reqs=required&ssl_ca_certs=%2Fetc%2Fca.pem"
    )
    assert ledger_url_of_broker("redis://host/0", True) == "rediss://host/0"
    assert ledger_url_of_broker("redis://host/0", False) == "redis://host/0"
