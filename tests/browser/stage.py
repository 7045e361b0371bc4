"""Flower as a user starts it, a browser that looks at it, and bridges that only publish what they would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from base64 import b64encode
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from bridge.devstack.ports import fresh_port
from bridge.ledger.connect import connect
from bridge.ledger.ledger import Ledger
from bridge.ledger.operators import Operators
from bridge.ops.state import State, encode_state
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent

#: seconds for which a state counts: longer than any test, so that a slow machine loses none
LONG_S = 600.0

APP = """
from celery import Celery
from bridge import Bridge, Batch, BatchTask
app = Celery("shown", broker={url!r})
bridge = Bridge(app, group_id={group!r})

@app.task(base=BatchTask, name="orders.store")
def store(batch: Batch) -> None: ...

bridge.pipeline({topics!r}, chain=store.s())
"""


class Group:
    """The bridges of a group, played: they publish what they are given."""

    def __init__(self, url: str, name: str, *topics: str) -> None:
        self.topics = topics or ("orders", "payments")
        self.url, self.name = url, name
        self.client: redis.Redis = connect(url)
        self.ledger = Ledger(self.client, name)
        self.operators = Operators(self.client, name)

    def publish(self, state: State, expiry_s: float = LONG_S) -> None:
        """As the bridge of this state would, once."""
        self.ledger.publish_state(state.bridges[0].id, encode_state(state), expiry_s)


class Flower:
    """A running Flower of an app whose group is `group`: of a small one that `folder` then holds, or of `app`."""

    def __init__(self, group: Group, folder: Path, *options: str, app: str = "", **environ: str) -> None:
        self.port, self.folder = fresh_port(), folder
        if not app:
            (folder / "shown.py").write_text(APP.format(url=group.url, group=group.name, topics=group.topics))
        foreign = ("CELERY_", "FLOWER_", "BRIDGE_")
        own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.log = folder / f"flower-{self.port}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(SCRIPTS / "celery"), "-A", app or "shown", "bridge", "flower", f"--port={self.port}", *options],
                cwd=ROOT if app else folder,
                env={**own, "BRIDGE_BOOTSTRAP_SERVERS": "127.0.0.1:1", **environ},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        prefix = next((option.partition("=")[2] for option in options if "url_prefix" in option), "")
        self.url = f"http://127.0.0.1:{self.port}{f'/{prefix}' if prefix else ''}"
        wait_until(self._answers, 60.0, "an answer of Flower")

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            return self.ask("/healthcheck")[0] == 200
        except OSError:
            return False

    def ask(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, login: str = ""
    ) -> tuple[int, str, dict[str, str]]:
        """Status, text and headers of an answer; `login` is NAME:PASSWORD."""
        given = {**(headers or {}), **({"Authorization": f"Basic {_b64(login)}"} if login else {})}
        request = urllib.request.Request(f"{self.url}{path}", body, given)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.read().decode(), dict(reply.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def act(self, body: bytes, login: str = "", **headers: str) -> tuple[int, str]:
        """What a button sends, as the page sends it unless `headers` say otherwise (an empty one is left out)."""
        own = {"X-Lanebridge-Act": "1", "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in {**own, **named}.items() if value}
        return self.ask("/lanes/api/act", body, given, login)[:2]

    def stop(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(self.log.read_text()[-4000:])


def _b64(text: str) -> str:
    return b64encode(text.encode()).decode()


#: what a Chromium in a container needs, and what keeps it from calling home
CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-dev-shm-usage", "--no-first-run",
]  # fmt: skip


def open_browser(playwright: Any, program: str) -> Any:
    """A headless Chromium."""
    return playwright.chromium.launch(executable_path=program, args=CHROMIUM)
