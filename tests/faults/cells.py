"""The first cells: each starts its own world, does one thing to it, and returns what to print; it raises Failed, or
returns violations, when a promise does not hold. The modules beside this one hold cells of one idea each."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Sequence

import redis

from tests.faults import history
from tests.faults.cell import Report, await_lines, judge, mib, open_runs, rate, register, require, run_to_end
from tests.faults.rig import EVEN, ODD, Rig


def _million(rig: Rig, records: int) -> Report:
    rig.produce(records, keys=5_000)
    rig.workers()
    bridge = run_to_end(rig, 900)
    report = judge(rig, rig.expected(), peak_rss_mib=mib(bridge.peak_rss))
    report.figures["records per second"] = rate(rig.runs(), records)
    if bridge.peak_rss > 200 * 2**20:
        report.violations.append(f"P8 the bridge took {mib(bridge.peak_rss)} MiB, more than 200")
    return report


@register("million")
def million() -> Report:
    """1,000,000 records of 100 bytes, 12 partitions, one link, two workers, until idle."""
    with Rig() as rig:
        return _million(rig, 1_000_000)


@register("million-by-key")
def million_by_key() -> Report:
    """The same with `order_by="key"`, 8 lanes, 5,000 keys; lanes of one partition run side by side."""
    with Rig(FAULTS_ORDER="key", FAULTS_LANES="8") as rig:
        report = _million(rig, 1_000_000)
        runs = rig.runs()
        report.figures["most chains of one partition at once"] = _most_at_once(runs)
        report.violations += _keys_in_two_lanes(runs, rig.partitions, 5_000)
        require(_most_at_once(runs) > 1, "chains of one partition never ran side by side")
        return report


def _most_at_once(runs: Sequence[history.Run]) -> int:
    most = 0
    edges: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
    for run in runs:
        if run.end is not None:
            edges[run.topic, run.partition] += [(run.begin, 1), (run.end, -1)]
    for changes in edges.values():
        now = 0
        for _, change in sorted(changes):
            now += change
            most = max(most, now)
    return most


def _keys_in_two_lanes(runs: Sequence[history.Run], partitions: int, keys: int) -> list[str]:
    """Record `number` lies in partition number % partitions at offset number // partitions."""
    lanes: dict[tuple[int, int], int] = {}
    for run in runs:
        for offset in run.offsets:
            key = (run.partition, offset % keys)
            if lanes.setdefault(key, run.lane) != run.lane:
                return [f"P2 key {key[1]} of partition {run.partition} in lanes {lanes[key]} and {run.lane}"]
    return []


@register("pinned")
def pinned() -> Report:
    """12 partitions, three links, two workers with disjoint queues; once more after a restart of the bridge."""
    with Rig(FAULTS_LINKS="3") as rig:
        rig.workers()
        rig.produce(12_000)
        run_to_end(rig, 120)
        rig.produce(12_000, start=12_000)
        run_to_end(rig, 120)
        report = judge(rig, rig.expected(("link1", "link2", "link3")))
        report.violations += _unpinned(rig.runs())
        return report


def _unpinned(runs: Sequence[history.Run]) -> list[str]:
    queues: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    for run in runs:
        queues[run.stream].add(run.queue)
    found = [f"lane {lane} used the queues {sorted(q)}" for lane, q in queues.items() if len(q) > 1]
    own = {"even": set(EVEN.split(",")), "odd": set(ODD.split(","))}
    found += [f"{run.worker} ran {run.queue}" for run in runs if run.queue not in own[run.worker.split("@")[0]]]
    idle = set(own) - {run.worker.split("@")[0] for run in runs}
    return found + [f"worker {name} had no work" for name in sorted(idle)]


def _interrupted(number: signal.Signals) -> Report:
    """The bridge gets a signal in the middle of 200,000 records with slow tasks and is started again."""
    with Rig(FAULTS_SLEEP="0.02") as rig:
        rig.produce(200_000)
        rig.workers()
        bridge = rig.bridge()
        rig.until(lambda: rig.lines() > 800, 120, "work under way")
        bridge.signal(number)
        code = bridge.wait(20)
        require(number is signal.SIGKILL or code == 0, f"exit {code} after SIGTERM")
        run_to_end(rig, 300)
        return judge(rig, rig.expected())


@register("bridge-sigterm")
def bridge_sigterm() -> Report:
    """SIGTERM in the middle, start again: 0 lost, 0 repeated."""
    return _interrupted(signal.SIGTERM)


@register("bridge-sigkill")
def bridge_sigkill() -> Report:
    """SIGKILL in the middle, start again: 0 lost, 0 repeated."""
    return _interrupted(signal.SIGKILL)


@register("two-bridges")
def two_bridges() -> Report:
    """Two bridges; one is killed, a third joins: 0 lost, 0 repeated."""
    with Rig(FAULTS_SLEEP="0.02") as rig:
        rig.produce(200_000)
        rig.workers()
        first = rig.bridge(name="first")
        rig.bridge(name="second")
        await_lines(rig, 600)
        first.kill_group()
        await_lines(rig, 400)
        rig.bridge(name="third")
        rig.until(rig.all_committed, 300, "everything committed")
        return judge(rig, rig.expected())


@register("redis-flushall")
def redis_flushall() -> Report:
    """FLUSHALL in the middle: nothing lost, order kept, no committed record again."""
    with Rig(FAULTS_SLEEP="0.02", FAULTS_LINKS="2") as rig:
        rig.produce(60_000)
        rig.workers()
        rig.bridge()
        rig.until(lambda: rig.lines() > 400, 120, "work under way")
        committed = _empty_redis(rig)
        rig.until(rig.all_committed, 300, "everything committed")
        return _judge_after_flush(rig, committed)


@register("redis-flushall-in-link")
def redis_flushall_in_link() -> Report:
    """FLUSHALL while every worker is inside a 3 s link of two: no second link of an old chain starts."""
    with Rig(FAULTS_SLEEP="3", FAULTS_LINKS="2", FAULTS_BATCH="1000") as rig:
        rig.produce(24_000)
        rig.workers(pool="prefork", concurrency=4)
        rig.bridge()
        rig.until(lambda: len(open_runs(rig)) >= 8, 120, "all workers inside a link")
        inside = {run.chain for run in open_runs(rig) if run.link == "link1"}
        committed = _empty_redis(rig)
        rig.until(rig.all_committed, 300, "everything committed")
        report = _judge_after_flush(rig, committed, overlaps=24)
        began = {run.chain for run in rig.runs() if run.link == "link2"}
        report.violations += [f"second link of the old chain {chain} started" for chain in sorted(inside & began)]
        return report


def _empty_redis(rig: Rig) -> tuple[float, dict[tuple[str, int], int]]:
    committed = rig.committed()
    redis.Redis.from_url(rig.stack.redis.url).flushall()
    return time.monotonic(), committed


def _judge_after_flush(rig: Rig, flushed: tuple[float, dict[tuple[str, int], int]], *, overlaps: int = 12) -> Report:
    at, committed = flushed
    runs = rig.runs()
    again = [
        f"committed record {run.topic}[{run.partition}] {offset} was run again"
        for run in runs
        if run.begin > at + 0.5
        for offset in run.offsets
        if offset < committed[run.topic, run.partition]
    ]
    expected = rig.expected(("link1", "link2"), repeats=12 * 1000, overlaps=overlaps)
    report = judge(rig, expected)
    report.violations += again[:3]
    return report


@register("redis-silent")
def redis_silent() -> Report:
    """Redis does not answer for 20 s (SIGSTOP, data kept): the bridge stays in its group, 0 repeated."""
    with Rig(FAULTS_SLEEP="0.02") as rig:
        rig.produce(100_000)
        rig.workers()
        bridge = rig.bridge()
        rig.until(lambda: rig.lines() > 400, 120, "work under way")
        rig.stack.redis.suspend()
        time.sleep(20)
        rig.stack.redis.resume()
        rig.until(rig.all_committed, 300, "everything committed")
        report = judge(rig, rig.expected())
        if bridge.tail(10_000).count("starts at") > rig.partitions:
            report.violations.append("the bridge was assigned its partitions again")
        return report


@register("redis-restart-empty")
def redis_restart_empty() -> Report:
    """Redis killed and back empty after 20 s: as FLUSHALL. Workers are started again, as a supervisor does."""
    with Rig(FAULTS_SLEEP="0.02", FAULTS_LINKS="2") as rig:
        rig.produce(60_000)
        workers = rig.workers()
        rig.bridge()
        rig.until(lambda: rig.lines() > 400, 120, "work under way")
        committed = rig.committed()
        rig.stack.redis.kill()
        time.sleep(20)
        rig.stack.redis.start()
        at = time.monotonic()
        rig.until(lambda: rig.supervise(workers) and rig.all_committed(), 300, "everything committed", 0.5)
        return _judge_after_flush(rig, (at, committed), overlaps=24)


def _kill_workers(pool: str, concurrency: int) -> Report:
    """kill -9 of a worker inside a link, three times: no finished record again, the lanes go on."""
    with Rig(FAULTS_SLEEP=str(0.04 * concurrency), FAULTS_BATCH="25") as rig:
        rig.produce(100_000)
        workers = rig.workers(pool=pool, concurrency=concurrency)
        rig.bridge()
        pauses: list[float] = []
        dead: set[int] = set()
        for number in range(3):
            await_lines(rig, 300)
            victim = workers[number % 2]
            name, queues = ("even", EVEN) if number % 2 == 0 else ("odd", ODD)
            dead |= {victim.pid, *victim.children()}
            victim.kill_group()
            killed = time.monotonic()
            workers[number % 2] = rig.worker(f"{name}-{number}", queues, pool=pool, concurrency=concurrency)
            pauses.append(_pause_of(rig, killed, queues))
        rig.until(rig.all_committed, 300, "everything committed")
        return judge(rig, rig.expected(killed=dead), seconds_until_all_lanes_went_on=pauses)


def _pause_of(rig: Rig, killed: float, queues: str) -> float:
    """Seconds until every lane of these queues had gone on."""
    own = set(queues.split(","))
    rig.until(lambda: _all_go_on(rig, killed, own), 60, "the lanes go on", 0.2)
    return round(time.monotonic() - killed, 1)


def _all_go_on(rig: Rig, killed: float, queues: set[str]) -> bool:
    runs = [run for run in rig.runs() if run.queue in queues]
    moved = {run.stream for run in runs if run.end is not None and run.end > killed}
    require(moved or time.monotonic() < killed + 40, "no lane had work left: the cell is too short")
    return {run.stream for run in runs} == moved


@register("worker-kill-solo")
def worker_kill_solo() -> Report:
    """Solo workers."""
    return _kill_workers("solo", 1)


@register("worker-kill-prefork")
def worker_kill_prefork() -> Report:
    """Prefork workers, the whole group."""
    return _kill_workers("prefork", 2)


@register("pool-child-kill")
def pool_child_kill() -> Report:
    """kill -9 of one pool child inside a link: found by Celery's own error, no finished record again."""
    with Rig(FAULTS_SLEEP="0.05") as rig:
        rig.produce(60_000)
        rig.workers(pool="prefork", concurrency=2)
        rig.bridge()
        rig.until(lambda: rig.lines() > 200, 120, "work under way")
        victim = open_runs(rig)[-1]
        os.kill(victim.pid, signal.SIGKILL)
        killed = time.monotonic()
        rig.until(
            lambda: any(r.stream == victim.stream and r.end is not None and r.end > killed for r in rig.runs()),
            30,
            "the lane goes on",
        )
        pause = round(time.monotonic() - killed, 1)
        rig.until(rig.all_committed, 300, "everything committed")
        return judge(rig, rig.expected(killed={victim.pid}), seconds_until_the_lane_went_on=pause)


@register("always-failing")
def always_failing() -> Report:
    """A record that always fails: nothing at or above it is committed, its lane stops, the others end, exit 3."""
    with Rig(FAULTS_FAIL="faults:5:300") as rig:
        rig.produce(12_000)
        rig.workers()
        bridge = run_to_end(rig, 120, exit_code=3)
        report = judge(rig, rig.expected(stopped={("faults", 5): 300}))
        if "poison" not in bridge.tail(200):
            report.violations.append("the bridge does not say why the lane stopped")
        return report


@register("two-groups")
def two_groups() -> Report:
    """Two groups on one topic and one Redis, every batch of one fails: the other notices nothing."""
    with Rig(FAULTS_FAIL_GROUP="faults-other") as rig:
        rig.produce(12_000)
        rig.workers()
        rig.bridge(FAULTS_GROUP="faults-other", name="failing")
        run_to_end(rig, 120)
        return judge(rig, rig.expected())
