"""The clients with which bridge and workers reach the ledger."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

#: the way Celery's URLs name what redis-py calls ssl_cert_reqs
_CERTIFICATES = {"CERT_REQUIRED": "required", "CERT_OPTIONAL": "optional", "CERT_NONE": "none"}


def connect(url: str, *, socket_timeout: float = 5.0, **options: Any) -> redis.Redis:
    """A client for `url` (`redis://`, `rediss://`, `unix://`, or Celery's `redis+socket://`).

    Nothing is connected yet. A call that is not answered within `socket_timeout` seconds fails at once: redis-py's own
    retries would block for seconds. `options` are redis-py's. Raises ValueError for a URL of another kind.
    """
    return redis.Redis.from_url(
        _plain_url(url),
        socket_timeout=socket_timeout,
        socket_connect_timeout=socket_timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **options,
    )


def _plain_url(url: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if "ssl_cert_reqs" in query:
        query["ssl_cert_reqs"] = _CERTIFICATES.get(query["ssl_cert_reqs"], query["ssl_cert_reqs"])
    scheme = parts.scheme
    if scheme == "redis+socket":
        scheme, query["db"] = "unix", query.pop("virtual_host", "0").strip("/") or "0"
    return f"{scheme}://{parts.netloc}{parts.path}?{urlencode(query)}"
