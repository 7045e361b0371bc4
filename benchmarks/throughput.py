"""How fast a backlog is worked off, and what it costs: records per second, and processor time per 1,000 records.

Measured between the tenth and the ninetieth percent of the backlog. Every run also checks that each lane gets its
records in order and without a gap (the task does), and that all of it is committed.

Run: ./run bench throughput
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click
import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.stack import APP, TOPIC, Stack, end

PARTITIONS = 12


@dataclass(frozen=True, slots=True)
class Case:
    """What differs: records of a batch, links of a chain."""

    batch: int
    links: int = 1

    @property
    def name(self) -> str:
        return f"batch {self.batch}, {self.links} link{'' if self.links == 1 else 's'}"


CASES = (Case(100), Case(500), Case(1000), Case(5000), Case(100, 2), Case(1000, 2))
QUICK = (Case(100), Case(1000), Case(100, 2))


@dataclass(frozen=True, slots=True)
class Run:
    """Records per second, and milliseconds of processor time per 1,000 records of each part; memory of the bridge in
    MiB; the share of one core that other processes took meanwhile."""

    rate: float
    bridge_ms: float
    workers_ms: float
    redis_ms: float
    rss_mib: float
    others: float

    @property
    def total_ms(self) -> float:
        return self.bridge_ms + self.workers_ms + self.redis_ms


class Clock:
    """Processor time of the parts, and of the whole machine, in seconds."""

    def __init__(self, parts: dict[str, Sequence[int]]) -> None:
        self._parts = {name: [psutil.Process(pid) for pid in pids] for name, pids in parts.items()}

    def read(self) -> dict[str, float]:
        """User and system time so far, by part; "machine": everything that is not idle."""
        found = {name: sum(_busy(process) for process in processes) for name, processes in self._parts.items()}
        times = psutil.cpu_times()
        return {**found, "machine": sum(times) - times.idle - getattr(times, "iowait", 0.0), "wall": time.monotonic()}


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(stack: Stack, case: Case, records: int, number: int) -> Run:
    """One run in a group of its own. Raises RuntimeError when the records were not handled as promised."""
    env = {
        "MEASURED_BATCH": str(case.batch),
        "MEASURED_LINKS": str(case.links),
        "BRIDGE_GROUP_ID": f"measured-{number}",
    }
    workers = stack.start_workers(**env)
    bridge = stack.start("lanebridge", "-A", APP, "run", **env)
    assert stack.kafka.pid is not None
    assert stack.redis.pid is not None
    parts = {"bridge": [bridge.pid], "workers": [worker.pid for worker in workers], "redis": [stack.redis.pid]}
    clock = Clock({**parts, "kafka": [stack.kafka.pid]})
    first = stack.await_finished(records * 0.1)
    before = clock.read()
    last = stack.await_finished(records * 0.9)
    after, rss = clock.read(), psutil.Process(bridge.pid).memory_info().rss / 2**20
    stack.await_finished(records)
    _check_end(stack, env["BRIDGE_GROUP_ID"], bridge)
    for worker in workers:
        end(worker)
    spent = {name: after[name] - before[name] for name in after}
    per_1000 = {name: spent[name] / (last - first) * 1e6 for name in parts}
    ours = sum(spent[name] for name in (*parts, "kafka"))
    return Run(
        (last - first) / spent["wall"],
        per_1000["bridge"],
        per_1000["workers"],
        per_1000["redis"],
        rss,
        max(0.0, spent["machine"] - ours) / spent["wall"],
    )


def _check_end(stack: Stack, group: str, bridge: subprocess.Popen[bytes]) -> None:
    bridge.terminate()
    if (code := bridge.wait(60)) != 0:
        raise RuntimeError(f"the bridge ended with {code}")
    places = [TopicPartition(TOPIC, number) for number in range(stack.partitions)]
    client = Consumer({"bootstrap.servers": stack.kafka.bootstrap_servers, "group.id": group})
    for place in client.committed(places, 10.0):
        end_of_log = client.get_watermark_offsets(place, 10.0)[1]
        if place.offset != end_of_log:
            raise RuntimeError(f"{place.offset} of {end_of_log} is committed of partition {place.partition}")
    client.close()


def bare_rate(stack: Stack, records: int) -> float:
    """Records per second of a consumer that does nothing with them."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka.bootstrap_servers,
            "group.id": "bare",
            "auto.offset.reset": "earliest",
            "queued.min.messages": 10_000,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([TOPIC])
    seen, began = 0, 0.0
    while seen < records:
        got = len(consumer.consume(1000, 1.0))
        began = began or (time.monotonic() if got else 0.0)
        seen += got
    took = time.monotonic() - began
    consumer.close()
    return seen / took


@click.command("throughput")
@click.option("--records", default=2_000_000, show_default=True, help="The backlog, of 100 bytes each.")
@click.option("--repeats", default=5, show_default=True, help="Runs of each case, taken in turn.")
@click.option("--quick", is_flag=True, help="Three cases, three runs, 500,000 records.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write all runs here, too.")
def throughput(records: int, repeats: int, quick: bool, path: Path | None) -> None:
    """A line for each case: median with least and most."""
    cases, repeats, records = (QUICK, 3, 500_000) if quick else (CASES, repeats, records)
    found: dict[Case, list[Run]] = {case: [] for case in cases}
    with Stack(PARTITIONS) as stack:
        click.echo(f"{records:,} records into {PARTITIONS} partitions ...")
        stack.produce(records)
        bare = [bare_rate(stack, records)]
        for number in range(repeats):
            for place, case in enumerate(cases):
                run = measure(stack, case, records, number * len(cases) + place)
                found[case].append(run)
                click.echo(f"  {case.name}: {run.rate:,.0f} records/s, {run.total_ms:.1f} ms per 1,000")
        bare.append(bare_rate(stack, records))
    click.echo(f"bare consumer: {min(bare):,.0f} to {max(bare):,.0f} records/s")
    for case, runs in found.items():
        click.echo(_line(case, runs, max(bare)))
    if path is not None:
        path.write_text(
            json.dumps({case.name: [asdict(run) for run in runs] for case, runs in found.items()}, indent=1)
        )


def _line(case: Case, runs: Sequence[Run], bare: float) -> str:
    rates, costs = [run.rate for run in runs], [run.total_ms for run in runs]
    parts = [median(getattr(run, f"{name}_ms") for run in runs) for name in ("bridge", "workers", "redis")]
    return (
        f"{case.name:20} {median(rates):>9,.0f} records/s ({min(rates):,.0f} to {max(rates):,.0f}), "
        f"{median(costs):.1f} ms per 1,000 ({min(costs):.1f} to {max(costs):.1f}; bridge {parts[0]:.1f}, workers "
        f"{parts[1]:.1f}, Redis {parts[2]:.1f}), {median(rates) / bare:.2f} of the bare consumer, bridge "
        f"{median(run.rss_mib for run in runs):.0f} MiB, others {median(run.others for run in runs):.2f} cores"
    )
