"""How long it takes from a cause to the bridge's action, measured on real processes; nothing here is asserted.

Each situation has a topic, bridge and workers of its own; one record in each partition brings it about once. Every
option that is not named is at its default.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import redis

from tests.faults.cell import Report, open_runs, register
from tests.faults.given_up import BadRig
from tests.faults.history import Run
from tests.faults.letters import Letters
from tests.faults.queue_cells import QUEUES
from tests.faults.rig import Process

LANES = 6

Measure = Callable[[BadRig], list[float]]


@contextmanager
def _situation(rig: BadRig, name: str, about: dict[str, object], workers: int = 2, **env: Any) -> Iterator[Process]:
    """A topic with one such record in each partition, a bridge, and workers that all consume every lane queue."""
    rig.topic = name
    rig.create_topic(name, rig.partitions)
    rig.write_records(rig.partitions, {(partition, 0): about for partition in range(rig.partitions)})
    started = [rig.worker(f"{name}-{n}", pool="prefork", concurrency=LANES, **env) for n in range(workers)]
    bridge = rig.bridge(name=f"bridge-{name}", **env)
    try:
        yield bridge
    finally:
        for process in (bridge, *started):
            process.kill_group()


def _runs(rig: BadRig) -> list[list[Run]]:
    """The runs of each partition of the situation."""
    runs = [run for run in rig.runs() if run.topic == rig.topic]
    return [[run for run in runs if run.partition == partition] for partition in range(rig.partitions)]


def _pairs(rig: BadRig, timeout: float = 90) -> list[tuple[Run, Run]]:
    """The first two runs of each partition, once there are so many."""
    rig.until(lambda: all(len(runs) > 1 for runs in _runs(rig)), timeout, f"{rig.topic}: every lane is tried again")
    return [(runs[0], runs[1]) for runs in _runs(rig)]


def _under_way(rig: BadRig) -> list[Run]:
    """One run of each partition, all of which have begun."""

    def here() -> list[Run]:
        return [run for run in open_runs(rig) if run.topic == rig.topic]

    rig.until(lambda: len(here()) == rig.partitions, 60, f"{rig.topic}: every lane runs")
    return here()


def _raises(rig: BadRig) -> list[float]:
    with _situation(rig, "raises", {"do": "raise", "times": 1}, FAULTS_DELAY="1"):
        return [again.begin - (first.failed_at or 0) - 1 for first, again in _pairs(rig)]


def _soft_limit(rig: BadRig) -> list[float]:
    with _situation(rig, "soft-limit", {"do": "hang", "times": 1}, FAULTS_SOFT="2"):
        return [again.begin - first.begin - 2 for first, again in _pairs(rig)]


def _hard_limit(rig: BadRig) -> list[float]:
    with _situation(rig, "hard-limit", {"do": "hang", "times": 1}, FAULTS_HARD="2"):
        return [again.begin - first.begin - 2 for first, again in _pairs(rig)]


def _link_timeout(rig: BadRig) -> list[float]:
    with _situation(rig, "link-timeout", {"do": "hang", "times": 1}, FAULTS_LINK_TIMEOUT="3"):
        return [again.begin - first.begin - 3 for first, again in _pairs(rig)]


def _killed_child(rig: BadRig) -> list[float]:
    with _situation(rig, "killed-child", {"do": "hang", "times": 1}):
        killed: dict[int, float] = {}
        for run in _under_way(rig):
            os.kill(run.pid, signal.SIGKILL)
            killed[run.partition] = time.monotonic()
            time.sleep(1.3)
        return [again.begin - killed[again.partition] for _, again in _pairs(rig)]


def _killed_worker(rig: BadRig) -> list[float]:
    with _situation(rig, "killed-worker", {"do": "hang", "times": 1}):
        killed: dict[int, float] = {}
        runs = _under_way(rig)
        for worker in [process for process in rig.processes if process.name.startswith("killed-worker")]:
            held = [run.partition for run in runs if run.worker.startswith(f"{worker.name}@")]
            worker.kill_group()
            killed |= dict.fromkeys(held, time.monotonic())
            rig.worker(f"killed-worker-after-{worker.name[-1]}", pool="prefork", concurrency=LANES)
            time.sleep(2)
        found = [again.begin - killed[again.partition] for _, again in _pairs(rig)]
        for process in [process for process in rig.processes if process.name.startswith("killed-worker-after")]:
            process.kill_group()
        return found


def _unknown_task(rig: BadRig) -> list[float]:
    """From the line of the worker that does not know the task to the bridge's line that says so."""
    with _situation(rig, "unknown-task", {}, workers=0, FAULTS_LINKS="2") as bridge:
        old = rig.worker("unknown-task-0", pool="prefork", concurrency=LANES, FAULTS_CODE="old")
        rig.until(lambda: bridge.log.read_text().count(" stalled ") >= LANES, 60, "every lane says that it stalled")
        old.kill_group()
        refused = _times(
            old, r'^\[(\S+ \S+): \S+ Received unregistered.*?"faults/unknown-task/(\d+)"', "%Y-%m-%d %H:%M:%S,%f"
        )
        said = _times(bridge, r"^(\S+ \S+) [^\n]* stalled [^\n]*unknown-task\[(\d+)\]", "%Y-%m-%d %H:%M:%S.%f")
        return [said[lane] - refused[lane] for lane in said if lane in refused]


def _times(process: Process, pattern: str, form: str) -> dict[int, float]:
    """When a process first wrote such a line for each partition; the pattern finds date and time, and the partition."""
    found: dict[int, float] = {}
    for line in re.finditer(pattern, process.log.read_text(errors="replace"), re.MULTILINE | re.DOTALL):
        found.setdefault(int(line[2]), datetime.strptime(line[1], form).timestamp())
    return found


def _lost_message(rig: BadRig) -> list[float]:
    """From the first publication to the second one, nobody having taken it."""
    with _situation(rig, "lost-message", {}, workers=0):
        client = redis.Redis.from_url(rig.stack.redis.url)
        published, again = _first_seen(rig, client), _first_seen(rig, client)
        return [again[queue] - published[queue] for queue in published]


def _first_seen(rig: BadRig, client: redis.Redis) -> dict[str, float]:
    """When a message was first seen in each queue; the queues are empty afterwards."""
    seen: dict[str, float] = {}

    def look() -> bool:
        for queue in QUEUES:
            if queue not in seen and client.llen(queue):
                seen[queue] = time.monotonic()
        return len(seen) == LANES

    rig.until(look, 60, "a message in every lane's queue", step=0.005)
    client.delete(*QUEUES)
    return seen


def _dead_letter_topic(rig: BadRig) -> list[float]:
    """From the topic's creation to each dead letter's timestamp; three times, each with a bridge of its own."""
    found = []
    for number in range(3):
        name = f"dead-letter-topic-{number}"
        with _situation(rig, name, {"do": "raise"}, FAULTS_ATTEMPTS="1", BRIDGE_BRAKE_LIMIT="0"):
            rig.until(lambda: rig.waiting(".dlq", "stalled") == LANES, 60, "every lane waits for the topic", step=0.3)
            time.sleep(2 + 0.7 * number)
            rig.create_topic(f"{name}.dlq", rig.partitions)
            there = time.time()
            letters = Letters(rig.stack.kafka.bootstrap_servers, f"{name}.dlq")
            rig.until(lambda: len(letters.read()) == LANES, 60, "every dead letter is written")  # noqa: B023
            found += [letter.at_ms / 1000 - there for letter in letters.read()]
            letters.close()
    return found


SITUATIONS: dict[str, tuple[Measure, str]] = {
    "a task raises": (_raises, "the next attempt runs, less the delay"),
    "soft time limit": (_soft_limit, "the next attempt runs"),
    "hard time limit": (_hard_limit, "the next attempt runs"),
    "a pool process is killed": (_killed_child, "the next attempt runs"),
    "a worker is killed, worker_timeout 15 s": (_killed_worker, "the next attempt runs"),
    "link_timeout is over": (_link_timeout, "the next attempt runs"),
    "a worker does not know the task": (_unknown_task, "the lane says so"),
    "a message is lost, claim_timeout 15 s": (_lost_message, "it is published again"),
    "the dead letter topic is there again": (_dead_letter_topic, "the dead letter is written"),
}


@register("deadlines")
def deadlines() -> Report:
    """The time from a cause to what is done about it: median, shortest and longest of several, in seconds."""
    report = Report()
    with BadRig(partitions=LANES) as rig:
        for cause, (measure, action) in SITUATIONS.items():
            report.figures[f"{cause:<40}"] = f"{action:<40} {_summary(measure(rig))}"
    return report


def _summary(seconds: Sequence[float]) -> str:
    median = statistics.median(seconds)
    return f"{median:6.2f} ({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} times)"
