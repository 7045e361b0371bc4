"""The repository's Procfile under honcho, word for word, in a directory with an app of the test's own."""

import json
import re
import shutil
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bridge.devstack import RedisServer
from bridge.devstack.ports import LOOPBACK, accepts_connections, fresh_port
from bridge.settings import OPTIONS
from tests.faults.rig import Process
from tests.integration.world import ROOT, World, write_files
from tests.waiting import wait_until

PARTITIONS = 4
RECORDS = 80

APP = {
    "tasks/__init__.py": "",
    "tasks/celery.py": """
        import os
        import time
        from pathlib import Path

        from bridge import Batch, BatchTask, Bridge
        from celery import Celery

        app = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"])
        bridge = Bridge(app, group_id="paused")


        @app.task(base=BatchTask)
        def show(batch: Batch) -> None:
            print(f"begun {batch.partition}", flush=True)
            while not Path("gate").exists():
                time.sleep(0.02)
            for record in batch:
                print(f"number {int(record.value)}", flush=True)


        bridge.pipeline(os.environ["TEST_TOPIC"], chain=show.s(), batch_size=5, batch_timeout=0.2)
        """,
}


class Honcho:
    """`honcho start`, on ports of its own."""

    def __init__(self, world: World, project: Path, **env: str) -> None:
        self.http, self.flower = fresh_port(), fresh_port()
        addresses = {
            "BRIDGE_HTTP": f"{LOOPBACK}:{self.http}",
            "FLOWER_PORT": str(self.flower),
            "FLOWER_UNAUTHENTICATED_API": "true",
        }
        self.process: Process = world.start("honcho", "honcho", "start", cwd=project, **addresses, **env)
        self.mark = world.group

    @property
    def output(self) -> str:
        """What honcho and its four have printed."""
        return self.process.log.read_text(errors="replace")

    def await_ready(self) -> None:
        """Until the bridge is assigned its partitions, and Flower knows that both workers live."""
        wait_until(lambda: _get(f"http://{LOOPBACK}:{self.http}/readyz"), 60.0, "the bridge")
        wait_until(self._flower_knows_workers, 60.0, "Flower and both workers")

    def _flower_knows_workers(self) -> bool:
        workers = _get(f"http://{LOOPBACK}:{self.flower}/api/workers?status=true") or {}
        return {name.partition("@")[0] for name, alive in workers.items() if alive} == {"worker0", "worker1"}

    def numbers(self, word: str = "number") -> list[int]:
        """The numbers that the tasks have printed."""
        return [int(found) for found in re.findall(rf"\b{word} (\d+)$", self.output, re.MULTILINE)]

    def stopped(self) -> dict[str, int]:
        """Exit codes by entry, as honcho tells them."""
        return {name: int(code) for name, code in re.findall(r"\| (\w+)\.1 stopped \(rc=(-?\d+)\)", self.output)}

    def expect_nothing_left(self) -> None:
        """No process of this world's environment."""
        wait_until(lambda: not _marked(self.mark), what="the end of all processes")


def _get(url: str) -> Any:
    """The JSON of a 200 answer, else None."""
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return json.load(answer)
    except OSError:
        return None


def _marked(group: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _group_of(process) == group]


def _group_of(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get("BRIDGE_GROUP_ID")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the Procfile and the app."""
    directory = write_files(tmp_path / "project", APP)
    shutil.copy(ROOT / "Procfile", directory)
    return directory


def test_the_bridge_waits_thirty_seconds_for_kafka_and_redis_unless_told_otherwise() -> None:
    (option,) = [option for option in OPTIONS if option.name == "startup_timeout"]
    assert option.default == 30.0


def test_started_before_kafka_and_redis_the_bridge_waits_then_ends_with_1_and_all_others_with_it(
    world: World, project: Path
) -> None:
    kafka, redis = fresh_port(), fresh_port()
    honcho = Honcho(
        world,
        project,
        TEST_TOPIC="numbers",
        BRIDGE_BOOTSTRAP_SERVERS=f"{LOOPBACK}:{kafka}",
        CELERY_BROKER_URL=f"redis://{LOOPBACK}:{redis}/0",
        BRIDGE_STARTUP_TIMEOUT="3",
    )
    assert honcho.process.wait(60.0) == 1
    assert not accepts_connections(kafka)
    assert "waiting for Kafka: Kafka cannot be reached" in honcho.output
    assert "Gave up after startup_timeout=3 s." in honcho.output
    assert set(honcho.stopped()) == {"bridge", "worker0", "worker1", "flower"}
    assert honcho.stopped()["bridge"] == 1
    honcho.expect_nothing_left()


def test_stopped_in_mid_link_the_links_finish_and_the_next_start_goes_on_without_loss_or_repeat(
    world: World, project: Path, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(f"{world.group}-numbers", PARTITIONS)
    world.produce(topic, (b"%d" % number for number in range(RECORDS)), partitions=PARTITIONS)
    late = RedisServer()
    try:
        env = {"TEST_TOPIC": topic, "CELERY_BROKER_URL": late.url}
        first = Honcho(world, project, **env)
        wait_until(lambda: "waiting for the ledger" in first.output, 60.0, "a bridge that waits")
        late.start()
        first.await_ready()
        wait_until(lambda: set(first.numbers("begun")) == set(range(PARTITIONS)), what="a link of each partition")
        assert first.numbers() == []

        first.process.signal(signal.SIGTERM)
        wait_until(lambda: first.output.count("Warm shutdown") == 2, what="workers that shut down")
        assert first.numbers() == []
        (project / "gate").touch()
        assert first.process.wait(60.0) == 143
        first.expect_nothing_left()
        assert sorted(first.numbers()) == list(range(5 * PARTITIONS))  # of each partition the batch that ran

        second = Honcho(world, project, **env)
        wait_until(lambda: world.committed(topic, PARTITIONS) == world.ends(topic, PARTITIONS), 60.0, "all committed")
        second.process.signal(signal.SIGTERM)
        assert second.process.wait(60.0) == 143
        second.expect_nothing_left()
        assert sorted(first.numbers() + second.numbers()) == list(range(RECORDS))
    finally:
        late.close()
