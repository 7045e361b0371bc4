"""Rows of the matrix: the network between bridges and Redis, and between workers and Redis.

One bridge or one worker, drawn at random, has the bad network; the other parts go on meanwhile. A bridge that cannot
reach Redis must go on polling Kafka: these rows have a poll limit of 10 s, so one that blocks loses its partitions.
"""

from __future__ import annotations

from dataclasses import replace

from tests.faults.matrix import row
from tests.faults.proxied import ProxiedStage
from tests.faults.proxy import ANSWERS_DROPPED, CUT, SILENT, Mode, Proxy
from tests.faults.seen import told
from tests.faults.stage import Setup

#: a bridge that does not poll for this long is out of the group
POLLS = {"BRIDGE_KAFKA_MAX_POLL_INTERVAL_MS": "10000"}
USUAL = Setup(records=12_000, links=2, env=POLLS)
#: records and their payloads fill the line
NARROW = Setup(records=12_000, size=1000, links=2, env=POLLS)
#: A worker that is silent for longer than `worker_timeout` is declared dead. What its two processes had done by then, a
#: batch of 40 records each, was never acknowledged, so it is not finished and runs again.
DEAD_WORKER = Setup(records=12_000, links=2, env=POLLS, repeats=2 * 40)

SLOW = Mode(latency=2.0)
NARROW_LINE = Mode(rate=50_000)


# --- bridge and Redis -------------------------------------------------------------------------------------------------


@row(15, "bridge-redis-cut", USUAL, stage=ProxiedStage, smoke=True)
def bridge_redis_cut(stage: ProxiedStage) -> None:
    """A bridge's connections to Redis are reset, and new ones too, three times for up to 4 s."""
    for _ in range(3):
        _bad_network(stage, _bridge(stage), CUT, stage.roll.uniform(0.0, 4.0))


@row(15, "bridge-redis-half-open", replace(USUAL, blocks=[f"network: {SILENT}"]), stage=ProxiedStage)
def bridge_redis_half_open(stage: ProxiedStage) -> None:
    """Nothing passes between a bridge and Redis for 20 s, and no connection is closed; late requests arrive after."""
    _bad_network(stage, _bridge(stage), SILENT, 20.0)


@row(15, "bridge-redis-latency", USUAL, stage=ProxiedStage)
def bridge_redis_latency(stage: ProxiedStage) -> None:
    """2 s of latency each way between a bridge and Redis, for 20 s."""
    _bad_network(stage, _bridge(stage), SLOW, 20.0)


@row(15, "bridge-redis-narrow", NARROW, stage=ProxiedStage)
def bridge_redis_narrow(stage: ProxiedStage) -> None:
    """50 kB/s between a bridge and Redis, for 20 s."""
    _bad_network(stage, _bridge(stage), NARROW_LINE, 20.0)


@row(16, "bridge-redis-answers-dropped", USUAL, stage=ProxiedStage)
def bridge_redis_answers_dropped(stage: ProxiedStage) -> None:
    """A bridge's requests reach Redis, the answers are thrown away; twice for 8 s. What was dispatched and not heard of
    is taken up as it is: the same chain, not a second one."""
    for _ in range(2):
        _bad_network(stage, _bridge(stage), ANSWERS_DROPPED, 8.0)


# --- worker and Redis -------------------------------------------------------------------------------------------------


@row(15, "worker-redis-cut", USUAL, stage=ProxiedStage, smoke=True)
def worker_redis_cut(stage: ProxiedStage) -> None:
    """A worker's connections to Redis are reset, and new ones too, three times for up to 4 s."""
    for _ in range(3):
        _bad_network(stage, _worker(stage), CUT, stage.roll.uniform(0.0, 4.0))


@row(15, "worker-redis-half-open", DEAD_WORKER, stage=ProxiedStage)
def worker_redis_half_open(stage: ProxiedStage) -> None:
    """Nothing passes between a worker and Redis for 20 s, and no connection is closed: it is declared dead, comes back,
    and what it sent late changes nothing."""
    _bad_network(stage, _worker(stage), SILENT, 20.0)


@row(15, "worker-redis-latency", USUAL, stage=ProxiedStage)
def worker_redis_latency(stage: ProxiedStage) -> None:
    """2 s of latency each way between a worker and Redis, for 20 s."""
    _bad_network(stage, _worker(stage), SLOW, 20.0)


@row(15, "worker-redis-narrow", NARROW, stage=ProxiedStage)
def worker_redis_narrow(stage: ProxiedStage) -> None:
    """50 kB/s between a worker and Redis, for 20 s."""
    _bad_network(stage, _worker(stage), NARROW_LINE, 20.0)


@row(16, "worker-redis-answers-dropped", USUAL, stage=ProxiedStage)
def worker_redis_answers_dropped(stage: ProxiedStage) -> None:
    """A worker's requests reach Redis, the answers are thrown away; twice for 8 s. A claim, an advance or an
    acknowledgement that was not heard of is sent again and is right: nothing runs twice."""
    for _ in range(2):
        _bad_network(stage, _worker(stage), ANSWERS_DROPPED, 8.0)


# --- what they share --------------------------------------------------------------------------------------------------


def _bridge(stage: ProxiedStage) -> Proxy:
    return stage.redis_way(stage.any_bridge())


def _worker(stage: ProxiedStage) -> Proxy:
    return stage.redis_way(stage.roll.choice(["even", "odd"]))


def _bad_network(stage: ProxiedStage, way: Proxy, mode: Mode, seconds: float) -> None:
    """The way is bad for so long; afterwards all partitions go on, and nobody has left the group."""
    began = stage.play(way, mode, seconds)
    moved = [
        line
        for bridge in stage.bridges.values()
        for line in told(stage, bridge, "revoked", "lost")
        if line["at"] > began
    ]
    if moved:
        stage.violations.append(f"a bridge lost partitions of Kafka because of Redis: {moved[0]}")
