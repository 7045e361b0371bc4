"""A long run with a steady load and random faults: what a bridge and Redis hold must not grow.

FAULTS_SOAK_MINUTES: 15 when not given. FAULTS_SOAK_SERIES: a file for what was sampled, of which docs/soak.py draws a
picture. The bridge `steady` is frozen at times, but never ended: what it holds is what leaks would add up in.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import psutil
import redis

from tests.faults.cell import CELLS, Report
from tests.faults.queue_cells import QUEUES
from tests.faults.rig import Process
from tests.faults.stage import Setup, Stage

MINUTES = float(os.environ.get("FAULTS_SOAK_MINUTES", "15"))
SERIES = os.environ.get("FAULTS_SOAK_SERIES", "")

#: records that are produced together, about once a second, and the mean of the pauses between two faults in seconds
RATE, EVERY = 200, 12.0

SETUP = Setup(
    bridges=0,
    records=2_400,
    links=2,
    env={"BRIDGE_SESSION_TIMEOUT": "6", "BRIDGE_CLAIM_TIMEOUT": "5"},
    begins_when=0,
    idle=300.0,
)


class Soak:
    """The load, the faults and the samples of one long run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._redis = redis.Redis.from_url(stage.rig.stack.redis.url, socket_timeout=30)
        self._over = threading.Event()
        self._began = time.monotonic()
        self._produced = SETUP.records
        self.faults: list[tuple[float, str]] = []
        #: seconds, bytes of the steady bridge, its file descriptors, Redis' keys, Redis' bytes
        self.samples: list[tuple[float, int, int, int, int]] = []
        self._steady = stage.start_bridge("steady")
        stage.start_bridge("other")
        self._kinds: dict[str, Callable[[], None]] = {
            "bridge killed": self._kill_bridge,
            "bridge stopped": self._stop_bridge,
            "bridge frozen": lambda: self._freeze(stage.bridges[stage.any_bridge()]),
            "worker killed": self._kill_worker,
            "pool process killed": self._kill_pool_process,
            "Redis frozen": lambda: self._suspend(stage.rig.stack.redis.suspend, stage.rig.stack.redis.resume),
            "Kafka frozen": lambda: self._suspend(stage.rig.stack.kafka.suspend, stage.rig.stack.kafka.resume),
            "messages lost": self._lose_messages,
        }

    def run(self, seconds: float) -> None:
        """For so long."""
        with ThreadPoolExecutor(2) as pool:
            beside = [pool.submit(self._produce), pool.submit(self._sample)]
            try:
                while time.monotonic() < self._began + seconds:
                    self._stage.wait(min(EVERY, 0.5), 2 * EVERY)
                    self._stage.rig.supervise(self._stage.workers)
                    self._strike()
            finally:
                self._over.set()
        for each in beside:
            each.result()  # one that has failed has ended the load, or the samples

    def _strike(self) -> None:
        kind = self._stage.roll.choice(sorted(self._kinds))
        self.faults.append((round(time.monotonic() - self._began, 1), kind))
        with self._stage.fault(kind):
            self._kinds[kind]()
        if "other" not in self._stage.bridges:
            self._stage.start_bridge("other")

    def _kill_bridge(self) -> None:
        self._stage.kill("other")

    def _stop_bridge(self) -> None:
        self._stage.terminate("other")

    def _kill_worker(self) -> None:
        self._stage.kill_process(self._stage.roll.choice(self._stage.workers))

    def _kill_pool_process(self) -> None:
        children = self._stage.roll.choice(self._stage.workers).children()
        if children:
            pid = self._stage.roll.choice(children)
            self._stage.killed.add(pid)
            self._stage.note("killed", who="a pool process", pids=[pid])
            os.kill(pid, signal.SIGKILL)

    def _lose_messages(self) -> None:
        self._redis.delete(*QUEUES)

    def _freeze(self, process: Process) -> None:
        process.signal(signal.SIGSTOP)
        self._stage.wait(1.0, 10.0)
        process.signal(signal.SIGCONT)

    def _suspend(self, suspend: Callable[[], None], resume: Callable[[], None]) -> None:
        suspend()
        self._stage.wait(1.0, 5.0)
        resume()

    def _produce(self) -> None:
        while not self._over.wait(1.0):
            self._stage.rig.produce(RATE, start=self._produced)
            self._produced += RATE

    def _sample(self) -> None:
        while not self._over.wait(2.0):
            seen = psutil.Process(self._steady.pid)
            memory, files = seen.memory_info().rss, seen.num_fds()
            try:
                keys, used = self._redis.dbsize(), self._redis.info("memory")["used_memory"]
            except redis.RedisError:
                continue  # it is frozen
            self.samples.append((round(time.monotonic() - self._began, 1), memory, files, int(keys), int(used)))

    # --- what came of it ---------------------------------------------------------------------------------------------

    def judge(self) -> list[str]:
        """What has grown from the second fifth of the run to the last one: the medians of each."""
        found = []
        fifth = len(self.samples) // 5
        early, late = self.samples[fifth : 2 * fifth], self.samples[-fifth:]
        for column, what, slack in ((1, "memory", 32 * 2**20), (2, "file descriptors", 10), (3, "Redis keys", 100)):
            before, after = (median(sample[column] for sample in part) for part in (early, late))
            self._stage.figures[f"{what}, early and late"] = f"{before:,.0f}, {after:,.0f}"
            if after > before + slack:
                found.append(f"R10 {what} grew from {before:,.0f} to {after:,.0f}")
        self._stage.figures["faults"] = len(self.faults)
        self._stage.figures["records produced"] = self._produced
        return found

    def write(self, path: Path) -> None:
        """Everything that a picture needs."""
        about = {"minutes": MINUTES, "samples": self.samples, "faults": self.faults}
        path.write_text(json.dumps(about, separators=(",", ":")) + "\n", encoding="utf-8")


def soak(seed: int) -> Report:
    """15 minutes of random faults every 12 s or so: nothing lost, nothing repeated, nothing grows."""
    with Stage(SETUP, seed) as stage:
        stage.begin()
        run = Soak(stage)
        run.run(MINUTES * 60)
        stage.violations += run.judge()
        if SERIES:
            run.write(Path(SERIES))
        return stage.finish()


CELLS["soak"] = soak
