"""Celery's queues and Redis at their worst: messages lost, doubled or late, workers busy, memory used up, old data."""

from __future__ import annotations

import time
from typing import Any

import redis

from tests.faults.cell import Report, await_lines, judge, open_runs, register, require
from tests.faults.checker import handled
from tests.faults.rig import Rig

QUEUES = [f"lane-{number}" for number in range(16)]


@register("messages-doubled")
def messages_doubled() -> Report:
    """Every message that can be seen in a queue is put there again, now and later: nothing runs twice."""
    with Rig(FAULTS_SLEEP="0.05", FAULTS_LINKS="2") as rig:
        rig.produce(24_000)
        client = redis.Redis.from_url(rig.stack.redis.url)
        rig.bridge()
        rig.until(lambda: sum(client.llen(queue) for queue in QUEUES) >= 12, 60, "12 chains queued")
        copies: dict[str, Any] = {queue: client.lrange(queue, 0, -1) for queue in QUEUES}
        _put_again(client, copies)
        rig.workers(pool="prefork", concurrency=2)
        added = 0
        while not rig.all_committed():
            # as many as lie there now and one from before: more would pile up faster than workers can refuse them
            found: dict[str, Any] = {queue: client.lrange(queue, 0, 9) for queue in QUEUES}
            late = {queue: found[queue][:1] or copies[queue][:1] for queue in QUEUES}
            added += _put_again(client, {queue: m for queue, m in found.items() if len(m) < 10})
            added += _put_again(client, {queue: m for queue, m in copies.items() if len(found[queue]) < 10})
            copies = late
        return judge(rig, rig.expected(("link1", "link2")), messages_put_again=added)


def _put_again(client: redis.Redis, messages: dict[str, Any]) -> int:
    for queue, copies in messages.items():
        if copies:
            client.rpush(queue, *copies)
    return sum(map(len, messages.values()))


@register("messages-lost")
def messages_lost() -> Report:
    """All queues are emptied several times: every link that was lost is published again, 0 repeated."""
    with Rig(FAULTS_SLEEP="0.1", FAULTS_LINKS="2", BRIDGE_CLAIM_TIMEOUT="2") as rig:
        rig.produce(12_000)
        rig.workers()
        rig.bridge()
        client = redis.Redis.from_url(rig.stack.redis.url)
        lost = 0
        for _ in range(5):
            await_lines(rig, 20)
            rig.until(lambda: any(client.llen(queue) for queue in QUEUES), 30, "messages queued", step=0.001)
            lost += sum(client.llen(queue) for queue in QUEUES)
            client.delete(*QUEUES)
        rig.until(rig.all_committed, 120, "everything committed", step=0.5)
        require(lost, "no message was lost")
        return judge(rig, rig.expected(("link1", "link2")), messages_lost=lost)


@register("all-workers-busy")
def all_workers_busy() -> Report:
    """Every link takes four times as long as claim_timeout, lanes wait for workers: links are published again,
    and none runs twice."""
    with Rig(FAULTS_SLEEP="4", FAULTS_BATCH="500", BRIDGE_CLAIM_TIMEOUT="1") as rig:
        rig.produce(12_000)
        rig.worker("only", pool="prefork", concurrency=3)
        bridge = rig.bridge()
        rig.until(rig.all_committed, 120, "everything committed", step=0.5)
        require("stalled" not in bridge.tail(1000), "a lane that waits for a worker counts as stalled")
        return judge(rig, rig.expected())


@register("link-timeout-prefork")
def link_timeout_prefork() -> Report:
    """A record hangs its first run: the link is killed after link_timeout, and the lane goes on with a second attempt
    that never overlaps the first."""
    with Rig(FAULTS_HANG="faults:5:300", FAULTS_LINK_TIMEOUT="3") as rig:
        rig.produce(12_000)
        rig.workers(pool="prefork", concurrency=2)
        bridge = rig.bridge()
        rig.until(lambda: [run for run in open_runs(rig) if 300 in run.offsets], 60, "a hanging link")
        hanging = {run.pid for run in open_runs(rig) if run.partition == 5 and 300 in run.offsets}
        rig.until(rig.all_committed, 60, "everything committed", step=0.5)
        report = judge(rig, rig.expected(killed=hanging))
        if "link_timeout" not in bridge.tail(1000):
            report.violations.append("the bridge does not say why the link was killed")
        return report


@register("fails-twice")
def fails_twice() -> Report:
    """Batches that fail once in each of two links, amid other work: each lane in order, 0 lost, and no record
    that has got through both links is handed to one again."""
    with Rig(FAULTS_FLAKY="150", FAULTS_LINKS="2") as rig:
        rig.produce(12_000)
        rig.workers(pool="prefork", concurrency=2)
        rig.bridge()
        rig.until(rig.all_committed, 120, "everything committed", step=0.5)
        failures = sum(run.error == "flaky" for run in rig.runs())
        require(failures >= 100, f"only {failures} failures")
        # an attempt begins at the first link: its records were handled there, but not finished
        report = judge(rig, rig.expected(("link1", "link2"), repeats=12_000), failures=failures)
        again = [record for record, times in handled(rig.runs(), "link2").items() if times > 1]
        report.violations += [f"P4 {record} got through the last link twice" for record in again[:3]]
        return report


@register("redis-nearly-full")
def redis_nearly_full() -> Report:
    """Redis without room (maxmemory, noeviction) for 10 s, three times: nothing lost, 0 repeated. Workers that end are
    started again, as a supervisor does."""
    with Rig(FAULTS_SLEEP="0.05", FAULTS_LINKS="2", BRIDGE_CLAIM_TIMEOUT="3") as rig:
        rig.produce(60_000, size=1000)
        workers = rig.workers(pool="prefork", concurrency=2)
        rig.bridge()
        client = redis.Redis.from_url(rig.stack.redis.url)
        for _ in range(3):
            await_lines(rig, 60)
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", max(used - 100_000, 1))
            time.sleep(8)
            client.config_set("maxmemory", 0)
        rig.until(lambda: rig.supervise(workers) and rig.all_committed(), 180, "everything committed", step=0.5)
        return judge(rig, rig.expected(("link1", "link2")))


@register("redis-rolled-back")
def redis_rolled_back() -> Report:
    """Redis is killed and comes back as it was seconds before: nothing lost, order kept; only records of chains that
    the old data shows in flight run again."""
    with Rig(FAULTS_SLEEP="0.05", FAULTS_LINKS="2") as rig:
        rig.produce(60_000)
        workers = rig.workers()
        rig.bridge()
        await_lines(rig, 200)
        client = redis.Redis.from_url(rig.stack.redis.url)
        client.save()
        saved = {run.chain for run in open_runs(rig)}
        await_lines(rig, 200)
        rig.stack.redis.kill()
        rig.stack.redis.start()
        rig.until(lambda: rig.supervise(workers) and rig.all_committed(), 180, "everything committed", step=0.5)
        # one chain of each lane as the old data shows it, and in the first link one that was under way at the kill
        expected = rig.expected(("link1", "link2"), repeats=2 * 12 * 100, overlaps=12)
        report = judge(rig, expected, chains_running_at_the_save=len(saved))
        again = [offset for offset, times in handled(rig.runs(), "link2").items() if times > 1]
        if len(again) > 12 * 100:
            report.violations.append(f"P4 {len(again)} finished records ran again, more than a chain of each lane")
        return report


@register("message-doubled-in-long-link")
def message_doubled_in_long_link() -> Report:
    """Links of 14 s; while they run, their messages come again to the same workers, which refuse the copies: what runs
    is not taken for lost."""
    with Rig(partitions=2, FAULTS_SLEEP="14") as rig:
        rig.produce(400)
        client = redis.Redis.from_url(rig.stack.redis.url)
        rig.bridge()
        rig.until(lambda: sum(client.llen(queue) for queue in QUEUES) >= 2, 60, "2 chains queued")
        copies: dict[str, Any] = {queue: client.lrange(queue, 0, -1) for queue in QUEUES}
        rig.worker("only", pool="prefork", concurrency=4)
        rig.until(lambda: len(open_runs(rig)) == 2, 60, "both links run")
        _put_again(client, copies)
        rig.until(rig.all_committed, 90, "everything committed", step=0.5)
        return judge(rig, rig.expected())
