"""The Redis that holds the ledger: reachable, new enough, never evicting, what a restart of it loses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import redis

from bridge.cli.doctor.findings import Finding, note, ok, problem, warning
from bridge.ledger.connect import connect
from bridge.settings import shown

OLDEST = (6, 2)

#: the part of maxmemory from which on the ledger may soon be refused memory
FULL_AT = 0.8


def look_at_ledger(url: str) -> list[Finding]:
    """Ask the ledger's Redis."""
    try:
        with connect(url) as client:
            info: dict[str, Any] = client.info()
            saves = _saves(client)
    except redis.AuthenticationError as error:
        remedy = "check user and password in ledger_url (BRIDGE_LEDGER_URL or BRIDGE_LEDGER_URL_FILE)"
        return [problem(f"{shown(url)} refuses the login: {error}", remedy)]
    except redis.RedisError as error:
        remedy = "start Redis >= 6.2 or Valkey there, or set ledger_url (BRIDGE_LEDGER_URL)"
        return [problem(f"{shown(url)} cannot be reached: {error}", remedy)]
    return [ok(f"reached at {shown(url)}"), *(finding for check in CHECKS for finding in check({**info, **saves}))]


def _saves(client: redis.Redis) -> dict[str, str]:
    """Hosted servers may not allow CONFIG: then nothing is said about snapshots."""
    try:
        found = client.config_get("save")
    except redis.ResponseError:
        return {}
    return {"config_save": str(found.get("save", ""))}


def _version(info: Mapping[str, Any]) -> list[Finding]:
    own = info.get("valkey_version")
    name = f"Valkey {own}" if own else f"Redis {info.get('redis_version', '?')}"
    number = tuple(int(part) for part in re.findall(r"\d+", str(info.get("redis_version", "0.0")))[:2])
    if number < OLDEST:
        return [problem(f"{name} is too old: the ledger's scripts need 6.2", "use Redis >= 6.2 or Valkey")]
    return [ok(name)]


def _eviction(info: Mapping[str, Any]) -> list[Finding]:
    limit, policy = int(info.get("maxmemory", 0)), str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: Redis may throw away what is in flight, and records are handled again"
        return [problem(text, "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf")]
    return [ok("maxmemory-policy is noeviction" + ("" if limit else ", no memory limit"))]


def _memory(info: Mapping[str, Any]) -> list[Finding]:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if not limit:
        return []
    text = f"{used / limit:.0%} of maxmemory ({limit / 2**20:,.0f} MiB) is in use"
    if used < FULL_AT * limit:
        return [ok(text)]
    return [warning(f"{text}: when it is full, no lane is dispatched", "raise maxmemory, or lower in_flight_bytes")]


def _persistence(info: Mapping[str, Any]) -> list[Finding]:
    if info.get("aof_enabled"):
        return [ok("appendonly is on: a restart of Redis loses a second at the most")]
    remedy = "appendonly yes keeps the ledger; without it nothing is lost, but finished records above the committed"
    remedy += " offset may run again after Redis restarts"
    snapshots = info.get("config_save")
    if snapshots == "":
        return [note("nothing is kept on disk: after a restart of Redis the ledger is empty", remedy)]
    every = f" ({snapshots})" if snapshots else ""
    return [note(f"only snapshots are kept on disk{every}: a restart of Redis rolls the ledger back", remedy)]


CHECKS: tuple[Callable[[Mapping[str, Any]], list[Finding]], ...] = (_version, _eviction, _memory, _persistence)
