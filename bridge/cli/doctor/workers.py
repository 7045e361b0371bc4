"""The workers, by what their heartbeats say: somebody listens on every queue that is needed, and knows the tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import redis

from bridge.cli.doctor.findings import Finding, few, note, ok, problem, warning
from bridge.entries import Heartbeat
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.records import TopicPartition, lane_queue
from bridge.runtime.plan import Plan

#: the pools in which links run
POOLS = frozenset({"prefork", "solo", "threads"})

#: queue -> the tasks that its workers must know
Needs = dict[str, set[str]]


def look_at_workers(plan: Plan, partitions: Mapping[str, list[TopicPartition]] | None) -> list[Finding]:
    """`partitions` of each pipeline, None when Kafka did not say: then every lane queue counts as needed."""
    try:
        with connect(plan.ledger_url) as client:
            beats = Ledger(client, plan.settings.group_id).heartbeats()
    except redis.RedisError:
        return [note("unknown: the ledger, where workers report, cannot be read")]
    return judge_workers(beats, needs_of(plan, partitions))


def needs_of(plan: Plan, partitions: Mapping[str, list[TopicPartition]] | None) -> Needs:
    """Which queues the lanes of the pipelines use, and for which tasks."""
    count = plan.settings.lane_queues
    needs: Needs = {}
    for pipeline in plan.pipelines:
        if partitions is None:
            queues = {f"lane-{number}" for number in range(count)}
        else:
            tps = partitions.get(pipeline.rules.name, [])
            queues = {
                lane_queue(tp.topic, tp.partition, lane, count) for tp in tps for lane in range(pipeline.rules.lanes)
            }
        for link in (*pipeline.links, *filter(None, (pipeline.on_failed,))):
            own = link.options.get("queue")
            for queue in {str(own)} if own else queues:
                needs.setdefault(queue, set()).add(link.task)
    return needs


def judge_workers(beats: Iterable[Heartbeat], needs: Needs) -> list[Finding]:
    """Who is missing."""
    alive = sorted(beats, key=lambda beat: beat.hostname)
    if not alive:
        return [problem("no worker is alive", "start one: lanebridge worker")]
    found = [ok(f"{beat.hostname} ({beat.pool}, {beat.concurrency}): {_queues(beat)}") for beat in alive]
    found += _silent_queues(alive, needs)
    found += _missing_tasks(alive, needs)
    for beat in alive:
        if beat.pool not in POOLS:
            remedy = "start it with -P prefork, solo or threads"
            found.append(warning(f"{beat.hostname} has the pool {beat.pool}, in which links were not tested", remedy))
    return found


def _queues(beat: Heartbeat) -> str:
    lanes = sorted((queue for queue in beat.queues if queue.startswith("lane-")), key=lambda name: (len(name), name))
    return few(lanes, limit=20) if lanes else "no lane queue"


def _silent_queues(alive: list[Heartbeat], needs: Needs) -> list[Finding]:
    heard = {queue for beat in alive for queue in beat.queues}
    silent = sorted(needs.keys() - heard, key=lambda name: (len(name), name))
    if not silent:
        return [ok(f"every queue that lanes use has a worker ({len(needs)} queues)")] if needs else []
    remedy = f"start a worker: lanebridge worker -Q {','.join(silent)}"
    return [problem(f"no worker consumes {few(silent, limit=16)}: their lanes stand still", remedy)]


def _missing_tasks(alive: list[Heartbeat], needs: Needs) -> list[Finding]:
    found: list[Finding] = []
    for beat in alive:
        wanted: set[str] = set().union(*(needs.get(queue, set()) for queue in beat.queues))
        if missing := sorted(wanted - set(beat.tasks)):
            remedy = "restart it with the code that the bridge has, or see that it imports the module of that task"
            found.append(problem(f"{beat.hostname} does not know the task {few(missing)}", remedy))
    return found
