"""Rows of the matrix: the wall clock of one process jumps, two hours forward and back; its monotonic time goes on.

libfaketime, preloaded, reads the shift once a second from a file. The package has it for Linux on x86-64: elsewhere
these rows fail and say so.
"""

from __future__ import annotations

import importlib.util
import json
import math
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import redis

from bridge.devstack.redis import RedisServer
from tests.faults.matrix import row
from tests.faults.rig import Failed, Process
from tests.faults.servers import Servers
from tests.faults.stage import Setup, Stage

#: seconds after which `/healthz` says that the loop does not turn, and a little more
STALE = 24.0


def clock(file: Path) -> Mapping[str, str]:
    """The environment of a process whose wall clock is shifted by what this file says. Raises Failed."""
    found = importlib.util.find_spec("libfaketime")
    library = Path(found.origin if found and found.origin else "/nowhere").parent
    library = library / "vendor/libfaketime/src/libfaketime.so.1"
    if not library.exists():
        raise Failed("no clock can be shifted: libfaketime is not installed on this platform")
    file.write_text("+0\n")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


class RedisWithClock(RedisServer):
    """A server whose wall clock is shifted by what `clock_file` says."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = tempfile.TemporaryDirectory(prefix="lanebridge-clock-")
        self.clock_file = Path(self._clock.name) / "clock"

    def close(self) -> None:
        """As RedisServer."""
        super().close()
        self._clock.cleanup()

    def _command(self) -> list[str]:
        return ["env", *(f"{name}={value}" for name, value in clock(self.clock_file).items()), *super()._command()]


class ClockStage(Stage):
    """Bridges and workers have clocks that can be shifted."""

    def clock_file(self, name: str) -> Path:
        """What shifts the clock of this bridge or worker."""
        return self.rig.directory / f"{name}.clock"

    def start_bridge(self, name: str, *arguments: str, **env: str) -> Process:
        """As on any stage, with a clock."""
        return super().start_bridge(name, *arguments, **clock(self.clock_file(name)), **env)

    def start_worker(self, name: str, queues: str = "", **env: str) -> Process:
        """As on any stage, with a clock."""
        return super().start_worker(name, queues, **clock(self.clock_file(name)), **env)


@row(29, "clock-worker", Setup(records=20_000, links=2), stage=ClockStage)
def clock_worker(stage: ClockStage) -> None:
    """A worker's wall clock jumps two hours forward, then two hours back."""
    number = stage.roll.randrange(len(stage.workers))
    file = stage.clock_file(stage.workers[number].name)
    _jump(stage, file, lambda: _shift_written(stage, stage.workers[number]))


def _shift_written(stage: Stage, worker: Process) -> float:
    """The seconds by which the clock of a worker's pool is off, as its newest line tells; nan when there is none."""
    lines = [
        line
        for pid in worker.children()
        if (path := stage.rig.history / f"{pid}.jsonl").exists()
        for line in map(json.loads, path.read_text().rpartition("\n")[0].splitlines()[-1:])
    ]
    if not lines:
        return math.nan
    newest = max(lines, key=lambda line: float(line["at"]))
    return float(newest["wall"] - newest["at"]) - (time.time() - time.monotonic())


@row(29, "clock-bridge", Setup(records=12_000, links=2), stage=ClockStage)
def clock_bridge(stage: ClockStage) -> None:
    """A bridge's wall clock jumps two hours forward, then back. librdkafka may wait for two hours then: `/healthz` says
    that the loop stands still, and the bridge is started again, as a supervisor does."""
    name = stage.any_bridge()
    for shift, hours in (("+2h", 2), ("+0", 0)):
        stage.wait(1.0, 4.0)
        with stage.fault(f"clock {shift}"):
            stage.clock_file(name).write_text(f"{shift}\n")
        _await_jump(stage, hours, lambda: _shift_answered(stage.port_of(name)))
        stage.await_progress("all partitions go on", 60.0)
    stage.wait(STALE)
    stage.figures["stood still"] = stands = not _is_healthy(stage.port_of(name))
    if stands:
        stage.kill(name)
        stage.start_bridge(name)


def _shift_answered(port: int) -> float:
    """The seconds by which a bridge's clock is off, as the date of its answers tells."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
            return True
    except urllib.error.HTTPError:
        return False


#: when all heartbeats expire at once, workers are declared dead beside the four links that they run
REDIS = Setup(records=12_000, links=2, servers=lambda: Servers(redis=RedisWithClock()), overlaps=4)


@row(29, "clock-redis", REDIS)
def clock_redis(stage: Stage) -> None:
    """Redis' wall clock jumps two hours forward, then two hours back."""
    server = stage.rig.stack.redis
    assert isinstance(server, RedisWithClock)
    with redis.Redis.from_url(server.url) as client:
        _jump(stage, server.clock_file, lambda: int(client.time()[0]) - time.time())


def _jump(stage: Stage, file: Path, shift_seen: Callable[[], float]) -> None:
    """`shift_seen`: the seconds by which the process is off."""
    for shift, hours in (("+2h", 2), ("+0", 0), ("-2h", -2), ("+0", 0)):
        stage.wait(1.0, 4.0)
        with stage.fault(f"clock {shift}"):
            file.write_text(f"{shift}\n")
        _await_jump(stage, hours, shift_seen)
        stage.await_progress("all partitions go on", 60.0, supervised=True)


def _await_jump(stage: Stage, hours: int, shift_seen: Callable[[], float]) -> None:
    """Raises Failed when the clock does not jump: then the row shows nothing."""
    stage.rig.until(lambda: abs(shift_seen() - hours * 3600) < 60, 30, f"the clock is off by {hours} hours")
