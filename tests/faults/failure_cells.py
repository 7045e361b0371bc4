"""Bad records amid good ones: each is found and given up, nothing else is, and nothing is committed before its time."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.faults.cell import Report, register, require, run_to_end
from tests.faults.given_up import BadRig, EarlyWatch, judge_given_up, wall_clock, watched_to_end
from tests.faults.history import Run

BATCH, ATTEMPTS, TIMEOUTS, LOSSES = 50, 2, 1, 2
#: how many records do what
POISON = {"unnamed": 15, "raise": 5, "exit": 5, "hang": 3, "undecodable": 2}
#: how many attempts at the whole batch come before it is split
TRIES = {"unnamed": ATTEMPTS, "raise": ATTEMPTS, "exit": LOSSES, "hang": TIMEOUTS, "undecodable": 0}


def _scatter(kinds: Mapping[str, int], partitions: int, offsets: int) -> dict[tuple[int, int], dict[str, object]]:
    """Bad records at places that are always the same; the first ones are at the edges of batches and partitions."""
    draw = random.Random(4)
    whats = [what for what, count in kinds.items() for _ in range(count)]
    draw.shuffle(whats)
    fixed = [(0, 0), (1, BATCH - 1), (1, BATCH), (2, 10), (2, 11), (3, offsets - 1)]
    everywhere = [(p, o) for p in range(partitions) for o in range(offsets) if (p, o) not in fixed]
    places = fixed + draw.sample(everywhere, len(whats) - len(fixed))
    return {place: {"do": what} for place, what in zip(places, whats, strict=True)}


@register("poison")
def poison() -> Report:
    """10,000 records, 30 of them bad: 15 fail their batch without being named, 5 are named, 5 kill their process, 3
    hang past the hard time limit, 2 cannot be decoded. All others are handled in order by two links, the 30 are in the
    dead letter topic; offsets are compared with what is finished all the time."""
    with BadRig(
        FAULTS_LINKS="2",
        FAULTS_BATCH=str(BATCH),
        FAULTS_ATTEMPTS=str(ATTEMPTS),
        FAULTS_DELAY="0.1",
        FAULTS_HARD="8",  # Celery notices within 5 s that a process is gone, unless its time is up before that
        BRIDGE_MAX_TIMEOUTS=str(TIMEOUTS),
        BRIDGE_MAX_WORKER_LOSSES=str(LOSSES),
        BRIDGE_BRAKE_LIMIT="5",
    ) as rig:
        rig.create_dead_letters()
        bad = _scatter(POISON, rig.partitions, 10_000 // rig.partitions)
        rig.write_records(10_000, bad)
        rig.workers(pool="prefork", concurrency=3)
        watch = EarlyWatch(rig, "link2")
        watched_to_end(rig, watch, 240)
        report = judge_given_up(rig, ("link1", "link2"), offsets_compared_while_running=watch.looks)
        report.violations += watch.violations
        report.figures["chains of batches with bad records"] = _extra_chains(rig.runs(), bad, report)
        return report


def _extra_chains(runs: Sequence[Run], bad: Mapping[tuple[int, int], Mapping[str, object]], report: Report) -> str:
    """How many chains the batches with bad records took: for each of those at most 2 * ceil(log2(n)) + 2, beside the
    attempts at the whole batch."""
    counts = []
    batches: dict[tuple[int, int], list[str]] = defaultdict(list)
    for (partition, offset), about in bad.items():
        batches[partition, offset // BATCH].append(str(about["do"]))
    for (partition, number), whats in batches.items():
        here = range(number * BATCH, (number + 1) * BATCH)
        chains = {run.chain for run in runs if run.partition == partition and run.offsets and run.offsets[0] in here}
        size = len({offset for run in runs if run.chain in chains for offset in run.offsets})
        limit = 1 + sum(TRIES[what] + 2 * math.ceil(math.log2(size)) + 2 for what in whats)
        counts.append(len(chains))
        if len(chains) > limit:
            place = f"faults[{partition}] {here.start}..{here.stop - 1}"
            report.violations.append(f"{place} ({', '.join(whats)}) took {len(chains)} chains, at most {limit}")
    return f"{min(counts)} to {max(counts)} each"


@register("bad-heads")
def bad_heads() -> Report:
    """The first record of every partition is bad: the outage brake holds them back for brake_limit, then they are given
    up and all others are handled."""
    with BadRig(FAULTS_BATCH="50", BRIDGE_BRAKE_LIMIT="5") as rig:
        rig.create_dead_letters()
        rig.write_records(6_000, {(partition, 0): {"do": "raise"} for partition in range(rig.partitions)})
        rig.workers()
        bridge = run_to_end(rig, 90)
        report = judge_given_up(rig)
        held = min(letter.at_ms for letter in rig.letters.read()) / 1000 - _first_failure(rig)
        report.figures["seconds from the first failure to the first dead letter"] = round(held, 1)
        if "outage brake:" not in bridge.log.read_text():
            report.violations.append("the bridge does not say that the brake holds")
        return report


def _first_failure(rig: BadRig) -> float:
    """Wall clock, as letters have it."""
    return wall_clock(min(run.failed_at for run in rig.runs() if run.failed_at is not None))


@register("bad-head-one-partition")
def bad_head_one_partition() -> Report:
    """One partition, its first record is bad: given up without a brake."""
    with BadRig(partitions=1, FAULTS_BATCH="50") as rig:
        rig.create_dead_letters()
        rig.write_records(500, {(0, 0): {"do": "raise"}})
        rig.workers()
        bridge = run_to_end(rig, 60)
        report = judge_given_up(rig)
        if "brake" in bridge.log.read_text():
            report.violations.append("the brake held one lane back")
        return report


@register("rolling-deploy")
def rolling_deploy() -> Report:
    """The chain has got a second link. One of two workers does not know its task until it is restarted 10 s later:
    nothing counts as failed, nothing is given up, all is handled in order."""
    with BadRig(FAULTS_LINKS="2", FAULTS_BATCH="20", FAULTS_SLEEP="0.05") as rig:
        rig.create_dead_letters()
        rig.write_records(12_000, {})
        rig.worker("new", pool="prefork", concurrency=2)
        old = rig.worker("old", pool="prefork", concurrency=2, FAULTS_CODE="old")
        bridge = rig.bridge("--until-idle")
        rig.until(lambda: "stalled" in bridge.log.read_text(), 60, "a lane whose link nobody ran")
        began = len(rig.runs())
        time.sleep(10)
        during = len(rig.runs()) - began
        old.stop()
        rig.worker("restarted", pool="prefork", concurrency=2)
        rig.until(lambda: bridge.exit_code is not None, 180, "the bridge until idle")
        require(bridge.exit_code == 0, f"exit {bridge.exit_code}:\n{bridge.tail()}")
        # a chain that met the old worker at its second link goes again from its first one
        refused = old.log.read_text(errors="replace").count("unregistered task")
        report = judge_given_up(
            rig, ("link1", "link2"), repeats=12_000, links_refused=refused, batches_meanwhile=during
        )
        runs = rig.runs()
        report.violations += [f"{run.chain} counts as attempt {run.attempt}" for run in runs if run.attempt > 1][:3]
        report.violations += _twice(runs, "link2")
        require(refused, "the old worker was never asked")
        return report


def _twice(runs: Sequence[Run], link: str) -> list[str]:
    seen: set[tuple[int, int]] = set()
    for run in runs:
        for offset in run.offsets if run.link == link else ():
            if (run.partition, offset) in seen:
                return [f"P4 faults[{run.partition}] {offset} ran twice in {link}"]
            seen.add((run.partition, offset))
    return []
