"""A team's existing app, in Django's layout with results in a database, before and after it gets a bridge: what its own
tasks do does not change, and its plain worker also serves the lanes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import Process
from tests.integration.conftest import MakeWorld
from tests.integration.world import World, await_line, write_files
from tests.waiting import wait_until

BEFORE = {
    "proj/__init__.py": """
        from proj.celery import app as celery_app

        __all__ = ("celery_app",)
        """,
    "proj/settings.py": """
        import os

        SECRET_KEY = "not needed here"
        INSTALLED_APPS = ["shop"]
        USE_TZ = True
        CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
        CELERY_RESULT_BACKEND = "db+sqlite:///results.sqlite"
        CELERY_WORKER_PREFETCH_MULTIPLIER = 1
        CELERY_BROKER_TRANSPORT_OPTIONS = {
            "visibility_timeout": 3,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        }
        """,
    "proj/celery.py": """
        import os

        from celery import Celery

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")

        app = Celery("proj")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.autodiscover_tasks()
        """,
    "shop/__init__.py": "",
    "shop/tasks.py": """
        import time
        from pathlib import Path

        from celery import shared_task


        def write(line):
            with open("journal", "a") as file:
                file.write(f"{line}\\n")


        @shared_task
        def add(a, b):
            return a + b


        @shared_task
        def divide(a, b):
            return a / b


        @shared_task
        def note(priority):
            write(f"note {priority}")


        @shared_task(bind=True)
        def where(self):
            return self.request.delivery_info["routing_key"]


        @shared_task
        def endless():
            write("endless")
            time.sleep(300)


        @shared_task(bind=True, acks_late=True)
        def late(self):
            write(f"late {bool(self.request.delivery_info['redelivered'])}")
            while not Path("gate").exists():
                time.sleep(0.02)
            return "done"
        """,
    "client.py": """
        import json
        import time
        from pathlib import Path

        import proj.celery

        import django

        django.setup()

        from celery.exceptions import TaskRevokedError
        from shop import tasks

        PATIENCE = 60
        app = proj.celery.app
        observed = {"backend": type(app.backend).__name__}


        def journal(word):
            lines = Path("journal").read_text().splitlines() if Path("journal").exists() else []
            return [line.split()[-1] for line in lines if line.startswith(word)]


        def outcome(result):
            try:
                return [repr(result.get(timeout=PATIENCE, interval=0.05)), app.AsyncResult(result.id).state]
            except (ZeroDivisionError, TaskRevokedError) as error:
                return [repr(error), app.AsyncResult(result.id).state]


        def until_written(word):
            deadline = time.monotonic() + PATIENCE
            while not journal(word):
                assert time.monotonic() < deadline, word
                time.sleep(0.02)


        notes = [tasks.note.apply_async((priority,), priority=priority) for priority in (9, 3, 6, 0)]
        Path("published").touch()
        for each in notes:
            each.get(timeout=PATIENCE, interval=0.05)
        observed["by priority"] = journal("note")

        observed["result"] = outcome(tasks.add.delay(2, 3))
        observed["chain"] = outcome((tasks.add.s(2, 3) | tasks.add.s(4)).delay())
        observed["error"] = outcome(tasks.divide.delay(1, 0))
        observed["queue"] = outcome(tasks.where.delay())
        queues = app.control.inspect(timeout=PATIENCE, limit=1).active_queues()
        observed["queues"] = sorted(queue["name"] for queue in next(iter(queues.values())))

        endless = tasks.endless.delay()
        until_written("endless")
        app.control.revoke(endless.id, terminate=True)
        observed["revoked"] = outcome(endless)
        observed["after it"] = outcome(tasks.add.delay(5, 6))

        late = tasks.late.delay()
        until_written("late")
        Path("running").touch()
        observed["late"] = outcome(late)
        observed["redelivered"] = journal("late")
        Path("observed").write_text(json.dumps(observed))
        """,
}

#: what the team adds
BRIDGE = """
from bridge import Bridge
from celery import signature

bridge = Bridge(app, group_id="shop")
bridge.pipeline(
    os.environ["TEST_TOPIC"],
    chain=signature("shop.tasks.parse") | signature("shop.tasks.store"),
    batch_size=10,
    batch_timeout=0.2,
)
"""
LANE_TASKS = """

from bridge import BatchTask, RecordTask


@shared_task(base=RecordTask)
def parse(record):
    return int(record.value)


@shared_task(base=BatchTask)
def store(batch):
    write(f"store {[record.data for record in batch]}")
"""

LANES = [f"lane-{number}" for number in range(16)]


@dataclass(frozen=True)
class Team:
    """What the team's client has observed; and how its lanes went, if it has a bridge."""

    observed: Mapping[str, Any]
    exit_code: int | None = None
    committed: Sequence[int] = ()
    batches: Sequence[Sequence[int]] = ()


@pytest.fixture(scope="module")
def teams(
    make_world: MakeWorld, make_topic: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Team]]:
    """The same app without and with a bridge, side by side."""
    with ExitStack() as stack:
        worlds = {}
        for variant in ("before", "after"):
            world = stack.enter_context(make_world(tmp_path_factory.mktemp(variant), f"team-{variant}"))
            make_topic(f"{world.group}-orders", 2)
            world.produce(f"{world.group}-orders", (b"%d" % number for number in range(40)), partitions=2)
            worlds[variant] = world
        with ThreadPoolExecutor(2) as pool:
            found = pool.map(_live, worlds.values(), (variant == "after" for variant in worlds))
            yield dict(zip(worlds, found, strict=True))


def _live(world: World, has_bridge: bool) -> Team:
    project = write_files(world.directory / "project", BEFORE)
    if has_bridge:
        for name, addition in (("proj/celery.py", BRIDGE), ("shop/tasks.py", LANE_TASKS)):
            (project / name).write_text((project / name).read_text() + addition)
    env = {"TEST_TOPIC": f"{world.group}-orders"}
    client = world.start("client", "python", "client.py", cwd=project, **env)
    _await_file(project / "published", client)
    command = ("celery", "-A", "proj", "worker", "-c", "1", "-l", "INFO", "--without-mingle", "--without-gossip")
    worker = world.start("worker", *command, cwd=project, **env)
    _await_file(project / "running", client)
    worker.kill_group()
    (project / "gate").touch()
    successor = world.start("worker", *command, cwd=project, **env)
    assert client.wait(60.0) == 0, client.tail()
    observed = json.loads((project / "observed").read_text())
    if not has_bridge:
        return Team(observed)
    await_line(successor, "serves lanes")
    bridge = world.run("bridge", "lanebridge", "-A", "proj", "run", "--until-idle", cwd=project, **env)
    lines = [line for line in (project / "journal").read_text().splitlines() if line.startswith("store ")]
    batches = [json.loads(line.removeprefix("store ")) for line in lines]
    return Team(observed, bridge.exit_code, world.committed(f"{world.group}-orders", 2), batches)


def _await_file(path: Path, client: Process) -> None:
    """Until the client has written this file."""

    def written() -> bool:
        assert client.exit_code is None, client.tail()
        return path.exists()

    wait_until(written, 90.0, f"the file {path.name}")


def test_without_a_bridge_the_app_does_what_celery_promises(teams: dict[str, Team]) -> None:
    assert teams["before"].observed == {
        "backend": "DatabaseBackend",
        "by priority": ["0", "3", "6", "9"],
        "result": ["5", "SUCCESS"],
        "chain": ["9", "SUCCESS"],
        "error": ["ZeroDivisionError('division by zero')", "FAILURE"],
        "queue": ["'celery'", "SUCCESS"],
        "queues": ["celery"],
        "revoked": ["TaskRevokedError('terminated')", "REVOKED"],
        "after it": ["11", "SUCCESS"],
        "late": ["'done'", "SUCCESS"],
        "redelivered": ["False", "True"],
    }


@pytest.mark.parametrize(
    "what",
    ["backend", "by priority", "result", "chain", "error", "queue", "revoked", "after it", "late", "redelivered"],
)
def test_with_a_bridge_its_own_tasks_do_the_same(teams: dict[str, Team], what: str) -> None:
    assert teams["after"].observed[what] == teams["before"].observed[what]


def test_with_a_bridge_its_worker_consumes_the_lanes_beside_its_own_queue(teams: dict[str, Team]) -> None:
    assert teams["after"].observed["queues"] == sorted(["celery", *LANES])


def test_its_plain_worker_serves_the_lanes_of_shared_tasks_that_celery_discovered(teams: dict[str, Team]) -> None:
    team = teams["after"]
    assert team.exit_code == 0
    assert team.committed == [20, 20]
    numbers = [number for batch in team.batches for number in batch]
    assert [number for number in numbers if number % 2 == 0] == list(range(0, 40, 2))
    assert [number for number in numbers if number % 2 == 1] == list(range(1, 40, 2))
