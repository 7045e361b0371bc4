"""`lanebridge flower`: Flower's own program, with defaults that a user's settings override."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from bridge.devstack.ports import fresh_port
from tests.cli.conftest import Cli, WriteApp
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent

APP = """
from celery import Celery
from bridge import Bridge
app = Celery("flowered", broker={url!r})
app.conf.task_default_queue = "own"
bridge = Bridge(app, group_id="nobody", lane_queues=3)
"""

StartFlower = Callable[..., "Flower"]


class Flower:
    """A running Flower."""

    def __init__(self, command: list[str], folder: Path, port: int, environ: dict[str, str]) -> None:
        self.port = port
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "FLOWER_"))}
        self.log = folder / f"flower-{port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(SCRIPTS / command[0]), *command[1:], f"--port={port}"],
                cwd=folder,
                env={**own, **environ},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, 60.0, "an answer of Flower")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self.page("healthcheck"))
        except OSError:
            return False

    def page(self, path: str) -> str:
        """A page's text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as reply:
            return str(reply.read().decode())

    @property
    def columns(self) -> list[str]:
        """The columns of the Tasks page, in the order shown."""
        return re.findall(r'<th data-column="(\w+)">', self.page("tasks"))

    @property
    def listens_on(self) -> set[str]:
        """The addresses of its port."""
        found = psutil.Process(self.process.pid).net_connections()
        return {each.laddr.ip for each in found if each.laddr and each.laddr.port == self.port and not each.raddr}

    def stop(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[StartFlower]:
    """Starts Flower: `start("lanebridge", "-A", "flowered", "flower")`."""
    (tmp_path / "flowered.py").write_text(APP.format(url=redis_url))
    with ExitStack() as stack:

        def begin(*command: str, **environ: str) -> Flower:
            flower = Flower([*command], tmp_path, fresh_port(), environ)
            stack.callback(flower.stop)
            return flower

        yield begin


def queues(flower: Flower) -> set[str]:
    """The queues of the Broker page."""
    return set(re.findall(r"lane-\d+|\bown\b", flower.page("broker")))


@pytest.mark.parametrize(
    "command", [("lanebridge", "-A", "flowered", "flower"), ("celery", "-A", "flowered", "bridge", "flower")]
)
def test_it_knows_the_lane_queues_and_shows_what_a_task_carries(start: StartFlower, command: tuple[str, ...]) -> None:
    flower = start(*command)
    assert flower.columns == ["name", "args", "uuid", "state", "received", "started", "runtime", "retries", "worker"]
    assert queues(flower) == {"own", "lane-0", "lane-1", "lane-2"}


def test_it_listens_on_loopback_only(start: StartFlower) -> None:
    flower = start("lanebridge", "-A", "flowered", "flower")
    assert flower.listens_on == {"127.0.0.1"}


def test_plain_flower_is_flower_as_ever(start: StartFlower) -> None:
    flower = start("celery", "-A", "flowered", "flower", "--address=127.0.0.1")
    assert ">Broker</a>" in flower.page("workers")
    assert "Lanes" not in flower.page("workers")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        flower.page("lanes")


def test_what_the_user_sets_wins(start: StartFlower) -> None:
    flower = start(
        "lanebridge", "flower", "-A", "flowered", "--address=0.0.0.0", "--log-level", "debug",
        FLOWER_TASKS_COLUMNS="name,state",
    )  # fmt: skip
    assert flower.columns == ["name", "state"]
    assert flower.listens_on == {"0.0.0.0"}


def test_an_app_without_a_bridge_is_refused(cli: Cli, write_app: WriteApp) -> None:
    result = cli("flower", "-A", write_app("from celery import Celery\napp = Celery(__name__, set_as_current=False)"))
    assert result.exit_code == 2
    assert "has no bridge. Remedy: " in result.stderr
