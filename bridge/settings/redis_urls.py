"""Which URLs can hold the ledger: one Redis or Valkey, by TCP, TLS or Unix socket. Sentinel and Cluster cannot."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from bridge.errors import ConfigurationError
from bridge.settings.shown import without_passwords

SCHEMES = ("redis", "rediss", "unix", "redis+socket")

_EXAMPLE = "redis://localhost:6379/0"

#: how ssl.VerifyMode and Celery's URLs name what redis-py calls ssl_cert_reqs
_CERTIFICATES = {ssl.CERT_REQUIRED: "required", ssl.CERT_OPTIONAL: "optional", ssl.CERT_NONE: "none"}


def why_not(url: str) -> str | None:
    """Why this URL cannot hold the ledger, with the remedy; None when it can. The text never shows the URL."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if "sentinel" in scheme:
        return (
            "Redis Sentinel is not supported: the ledger needs one address. Set it to one that follows the master "
            f"(a proxy or a service name), like {_EXAMPLE}."
        )
    if "cluster" in scheme:
        return (
            "Redis Cluster is not supported: the ledger needs a single Redis or Valkey. "
            f"Set it to one, like {_EXAMPLE}."
        )
    if scheme not in SCHEMES:
        return f"ledger_url must be a URL of a Redis or Valkey. Set it to one, like {_EXAMPLE}."
    return (
        None
        if scheme in ("unix", "redis+socket") or _is_address(url)
        else (
            f"ledger_url must be a URL like {_EXAMPLE}: a host, a port and a database number; "
            "special characters of a password are percent-encoded."
        )
    )


def ledger_url_of_broker(broker_url: object, use_ssl: object = None) -> str:
    """The ledger's URL when the app's broker holds it.

    `use_ssl` is Celery's `broker_use_ssl`. Raises ConfigurationError when the broker is not a single Redis.
    """
    remedy = f"Set ledger_url (BRIDGE_LEDGER_URL) to a Redis >= 6.2 or a Valkey, like {_EXAMPLE}."
    urls = _listed(broker_url)
    if not urls:
        raise ConfigurationError(f"The app has no broker_url, so the ledger has no default address. {remedy}")
    if len(urls) > 1:
        raise ConfigurationError(f"The app's broker_url names {len(urls)} brokers, the ledger must be at one. {remedy}")
    url = urls[0]
    name = without_passwords(url)
    if url.partition("://")[0].lower() not in (*SCHEMES, "sentinel"):
        raise ConfigurationError(
            f"The app's broker ({name}) is not Redis, so the ledger has no default address. {remedy}"
        )
    if reason := why_not(url):
        raise ConfigurationError(f"The app's broker ({name}) cannot hold the ledger: {reason.split('. ')[0]}. {remedy}")
    return _with_tls(url, use_ssl) if use_ssl else url


def _listed(broker_url: object) -> list[str]:
    if isinstance(broker_url, str):
        return [url for url in broker_url.split(";") if url]
    return [str(url) for url in broker_url] if isinstance(broker_url, Sequence) else []


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(re.fullmatch(r"/*\d*/*", parts.path)) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _with_tls(url: str, use_ssl: object) -> str:
    parts = urlsplit(url)
    options = use_ssl.items() if isinstance(use_ssl, Mapping) else ()
    given = {
        name: _CERTIFICATES[v] if isinstance(v, ssl.VerifyMode) else str(v) for name, v in options if v is not None
    }
    query = {**dict(parse_qsl(parts.query)), **given}
    scheme = "rediss" if parts.scheme == "redis" else parts.scheme
    return urlunsplit((scheme, parts.netloc, parts.path, urlencode(query), ""))
