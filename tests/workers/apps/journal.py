"""What tasks write down of their runs, for the tests to read: a Redis list per group."""

import json
import os
from typing import Any

import redis

from tests.workers.apps.settings import GROUP, REDIS_URL


def write(**entry: Any) -> None:
    """Append an entry."""
    with redis.Redis.from_url(REDIS_URL) as client:
        client.rpush(f"journal:{GROUP}", json.dumps({"pid": os.getpid(), **entry}))


def wait_for_gate(name: str, timeout: float) -> None:
    """Until the test opens the gate `name` (pushes to its list), at most `timeout` seconds."""
    with redis.Redis.from_url(REDIS_URL, socket_timeout=None) as client:
        client.blpop([f"gate:{GROUP}:{name}"], timeout=timeout)
