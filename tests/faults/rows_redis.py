"""Rows of the matrix: what happens to Redis.

Only where Redis was emptied or rolled back may finished records above the committed offset run again, and a link that
was claimed then may overlap its successor: of each loss, at most the four that the workers' processes run.
"""

from __future__ import annotations

from collections.abc import Iterable

import redis

from bridge.devstack.redis import RedisServer
from tests.faults.matrix import row
from tests.faults.proxied import ProxiedStage
from tests.faults.proxy import SILENT, Proxy
from tests.faults.queue_cells import QUEUES
from tests.faults.servers import Servers
from tests.faults.small_disk import RedisOnSmallDisk
from tests.faults.stage import Setup, Stage

#: links that run at the same time
SLOTS = 4
LOST_ONCE = Setup(records=12_000, links=2, overlaps=SLOTS)
LOST_THREE_TIMES = Setup(records=12_000, links=2, overlaps=3 * SLOTS)
#: a link that was lost is published again soon
EAGER = {"BRIDGE_CLAIM_TIMEOUT": "3"}
#: the append-only file is not made smaller, which would need room
APPEND_ONLY = {"auto-aof-rewrite-percentage": "0"}


def kept_data(fsync: str) -> Servers:
    """A Redis that comes back with its data."""
    return Servers(redis=RedisServer(keep_data=True, options={**APPEND_ONLY, "appendfsync": fsync}))


def small_disk(fsync: str) -> Servers:
    """A Redis whose append-only file is on a small disk."""
    return Servers(redis=RedisOnSmallDisk(megabytes=64, options={**APPEND_ONLY, "appendfsync": fsync}))


# --- killed -----------------------------------------------------------------------------------------------------------


@row(10, "redis-kill-empty", LOST_ONCE, smoke=True)
def redis_kill_empty(stage: Stage) -> None:
    """kill -9 of Redis, back empty after up to 8 s."""
    _kill(stage, "empty", 8.0)


@row(10, "redis-kill-everysec", Setup(records=12_000, links=2, overlaps=SLOTS, servers=lambda: kept_data("everysec")))
def redis_kill_everysec(stage: Stage) -> None:
    """kill -9 of Redis, back with its data after up to 8 s; the last second may be missing (appendfsync everysec)."""
    _kill(stage, "rolled_back", 8.0)


@row(10, "redis-kill-always", Setup(records=12_000, links=2, servers=lambda: kept_data("always")))
def redis_kill_always(stage: Stage) -> None:
    """kill -9 of Redis, three times, back at once with all of its data (appendfsync always)."""
    for _ in range(3):
        _kill(stage, "", 1.0)


def _kill(stage: Stage, loss: str, most: float) -> None:
    stage.wait(0.5, 3.0)
    server = stage.rig.stack.redis
    with stage.fault("Redis killed"):
        if loss:
            stage.note(loss)
        server.kill()
        stage.wait(0.0, most)
        server.start()
    stage.await_progress("all partitions go on", 60.0, supervised=True)


# --- emptied ----------------------------------------------------------------------------------------------------------


@row(11, "redis-flushall", LOST_THREE_TIMES, smoke=True)
def redis_flushall(stage: Stage) -> None:
    """FLUSHALL, three times."""
    for client in _three_times(stage):
        stage.note("empty")
        client.flushall()


@row(11, "redis-ledger-deleted", LOST_THREE_TIMES)
def redis_ledger_deleted(stage: Stage) -> None:
    """All keys but the queues are deleted, three times: ledger, payloads, stored errors, heartbeats."""
    for client in _three_times(stage):
        stage.note("empty")
        found: Iterable[bytes] = client.scan_iter(count=1000)
        keys = [key for key in found if key.decode() not in QUEUES]
        client.delete(*keys)
        if not keys:
            stage.violations.append("there was nothing to delete: the row shows nothing")


@row(11, "redis-queues-deleted", Setup(records=12_000, links=2, env=EAGER))
def redis_queues_deleted(stage: Stage) -> None:
    """Only the queues are deleted, three times, when messages are in them."""
    for client in _three_times(stage):
        # workers are quick: what lies in the queues now may be gone a moment later
        stage.rig.until(lambda client=client: client.delete(*QUEUES), 60, "messages queued", step=0.0)  # type: ignore[misc]


def _three_times(stage: Stage) -> Iterable[redis.Redis]:
    with redis.Redis.from_url(stage.rig.stack.redis.url) as client:
        for _ in range(3):
            stage.wait(0.5, 2.0)
            with stage.fault("Redis loses keys"):
                yield client
            stage.await_progress("all partitions go on", 60.0, supervised=True)


# --- full -------------------------------------------------------------------------------------------------------------


@row(12, "redis-full", Setup(records=12_000, size=1000, links=2, env=EAGER))
def redis_full(stage: Stage) -> None:
    """Redis has no room (maxmemory, noeviction) for 8 s, three times; workers that end are started again."""
    with redis.Redis.from_url(stage.rig.stack.redis.url) as client:
        for _ in range(3):
            stage.wait(0.5, 2.0)
            with stage.fault("Redis full"):
                used, before = int(client.info("memory")["used_memory"]), _refusals(client, "OOM")
                client.config_set("maxmemory", max(used - 100_000, 1))
                stage.wait(8.0)
                refused = _refusals(client, "OOM") - before
                client.config_set("maxmemory", 0)
            stage.figures["writes refused, the last time"] = refused
            if not refused:
                stage.violations.append("Redis refused nothing: the row shows nothing")
            stage.await_progress("all partitions go on", 60.0, supervised=True)


@row(13, "redis-disk-full", Setup(records=12_000, links=2, env=EAGER, servers=lambda: small_disk("everysec")))
def redis_disk_full(stage: Stage) -> None:
    """The disk of Redis' append-only file is full for 10 s, twice (appendfsync everysec): all writes are refused."""
    server = stage.rig.stack.redis
    assert isinstance(server, RedisOnSmallDisk)
    with redis.Redis.from_url(server.url) as client:
        for _ in range(2):
            stage.wait(0.5, 2.0)
            with stage.fault("Redis' disk full"):
                before = _refusals(client, "MISCONF")
                server.disk.fill()
                stage.wait(10.0)
                refused = _refusals(client, "MISCONF") - before
                server.disk.free()
            stage.figures["writes refused, the last time"] = refused
            if not refused:
                stage.violations.append("Redis refused nothing: the row shows nothing")
            stage.await_progress("all partitions go on", 60.0, supervised=True)


@row(13, "redis-disk-full-always", Setup(records=12_000, links=2, env=EAGER, servers=lambda: small_disk("always")))
def redis_disk_full_always(stage: Stage) -> None:
    """The disk of Redis' append-only file is full, twice (appendfsync always): Redis ends by itself, and is started
    again when there is room."""
    server = stage.rig.stack.redis
    assert isinstance(server, RedisOnSmallDisk)
    for _ in range(2):
        stage.wait(0.5, 2.0)
        with stage.fault("Redis' disk full"):
            server.disk.fill()
            stage.rig.until(lambda: server.pid is None, 60, "Redis ends by itself")
            stage.wait(0.0, 5.0)
            server.disk.free()
            server.start()
        stage.await_progress("all partitions go on", 60.0, supervised=True)


def _refusals(client: redis.Redis, error: str) -> int:
    """How often the server has answered with this error so far."""
    found = client.info("errorstats").get(f"errorstat_{error}", {})
    return int(found.get("count", 0))


# --- fails over -------------------------------------------------------------------------------------------------------


@row(14, "redis-failover", LOST_ONCE, stage=ProxiedStage)
def redis_failover(stage: ProxiedStage) -> None:
    """A replica that has not heard of the last second or two is promoted when its primary is killed."""
    primary, replica = stage.rig.stack.redis, RedisServer()
    stage.keep(replica)
    with Proxy(primary.port) as line, redis.Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", line.port)
        stage.rig.until(lambda: client.info("replication")["master_link_status"] == "up", 60, "the replica is in step")
        stage.wait(0.5, 2.0)
        line.set(SILENT)
        stage.wait(1.0, 2.0)
        with stage.fault("failover"):
            stage.note("rolled_back")
            primary.kill()
            client.replicaof("NO", "ONE")
            stage.move_redis(replica.port)
        stage.await_progress("all partitions go on", 60.0, supervised=True)
