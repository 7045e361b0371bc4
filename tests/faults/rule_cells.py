"""The rule that deals records to lanes changes between two starts, with chains in flight at each stop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.faults import history
from tests.faults.cell import Report, await_lines, judge, open_runs, register, require, run_to_end
from tests.faults.rig import Rig

KEYS = 40
RULES = (("partition", "8"), ("key", "4"), ("key", "8"), ("partition", "8"), ("key", "3"))


@register("lane-rule-changed")
def lane_rule_changed() -> Report:
    """partition, key:4, key:8, partition, key:3, by SIGTERM and kill -9 in turn: each key in order, 0 repeated."""
    with Rig(partitions=6, FAULTS_SLEEP="0.05", FAULTS_BATCH="20", FAULTS_LINKS="2") as rig:
        rig.produce(12_000, keys=KEYS)
        rig.workers(pool="prefork", concurrency=2)
        for number, (order, lanes) in enumerate(RULES[:-1]):
            bridge = rig.bridge(
                name=f"bridge-{number}", FAULTS_ORDER=order, FAULTS_LANES=lanes, BRIDGE_KAFKA_GROUP_INSTANCE_ID="only"
            )
            await_lines(rig, 150)
            require(open_runs(rig), "nothing was in flight at the stop")
            bridge.kill_group() if number % 2 else bridge.stop()
        order, lanes = RULES[-1]
        run_to_end(rig, 180, FAULTS_ORDER=order, FAULTS_LANES=lanes, BRIDGE_KAFKA_GROUP_INSTANCE_ID="only")
        report = judge(rig, rig.expected(("link1", "link2")), lanes_used=len({run.stream for run in rig.runs()}))
        report.violations += keys_out_of_order(rig.runs(), KEYS)
        return report


def keys_out_of_order(runs: Sequence[history.Run], keys: int) -> list[str]:
    """A key's records run one after the other in offset order, whatever lane they are in; with `Rig.produce` the record
    at an offset has the key `offset % keys`."""
    last: dict[tuple[str, int, int, str], tuple[int, float]] = defaultdict(lambda: (-1, 0.0))
    for run in sorted((run for run in runs if run.end is not None), key=lambda run: run.begin):
        for offset in run.offsets:
            key = (run.topic, run.partition, offset % keys, run.link)
            before, ended = last[key]
            if before >= offset or (ended > run.begin and before not in run.offsets):
                return [f"P2 key {offset % keys} of {run.topic}[{run.partition}], {run.link}: {offset} after {before}"]
            last[key] = (offset, run.end or run.begin)
    return []
