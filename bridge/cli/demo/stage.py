"""What the demo starts, and how it knows that all is ready: asked over HTTP, as a supervisor would."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridge.cli.demo.children import WORKERS, Children
from bridge.devstack import DevStack
from bridge.devstack.ports import LOOPBACK, fresh_port
from bridge.errors import LanebridgeError

#: variables that speak of a user's own servers: nothing of the demo may reach them
_FOREIGN = ("BRIDGE_", "CELERY_", "FLOWER_")

_READY_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.1


class NotReady(LanebridgeError):
    """Something of the demo did not become ready in time."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is."""

    environment: dict[str, str]
    flower: str
    bridge: str


def forget_other_servers() -> None:
    """Remove what the environment says of a user's own Kafka, Redis, bridge and Flower."""
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[name]


class Stage:
    """Servers and processes for as long as a `with` block. Stopped in the opposite order of need: the bridge, then
    Flower and the workers, then the servers."""

    def __init__(self, app_name: str, lane_queues: int, directory: Path) -> None:
        self._app_name = app_name
        self._lane_queues = lane_queues
        self._cleanup = ExitStack()
        self._flower_port, self._bridge_port = fresh_port(), fresh_port()
        self.worker_logs: dict[str, Path] = {}
        self.children = Children(directory)
        self.stack: DevStack

    @property
    def addresses(self) -> Addresses:
        """For people."""
        flower, bridge = (f"http://{LOOPBACK}:{port}" for port in (self._flower_port, self._bridge_port))
        return Addresses(self.stack.environment(), flower, bridge)

    def open_servers(self) -> None:
        """Start Kafka and Redis, and point this process and its children at them."""
        self.stack = self._cleanup.enter_context(DevStack())
        self._cleanup.callback(self.children.close)
        os.environ.update(self.stack.environment())
        os.environ.update(PYTHONUNBUFFERED="1", BRIDGE_HTTP=f"{LOOPBACK}:{self._bridge_port}")
        os.environ["FLOWER_UNAUTHENTICATED_API"] = "true"  # on loopback, on a port of this run, for the demo's tasks

    def open_processes(self) -> None:
        """Start workers, Flower and the bridge, and wait until each says that it is ready.

        Flower must know both workers before the first task runs: it remembers only what it has seen.
        """
        app = ("-A", self._app_name)
        for number, name in enumerate(WORKERS):
            queues = ",".join(f"lane-{lane}" for lane in range(number, self._lane_queues, len(WORKERS)))
            options = ("-n", f"{name}@%h", "-Q", queues, "-c", "2", "-E", "-l", "INFO")
            self.worker_logs[name] = self.children.start(name, "celery", (*app, "bridge", "worker", *options))
        self.children.start("flower", "celery", (*app, "bridge", "flower", f"--port={self._flower_port}"))
        self.children.start("bridge", "bridge.cli", (*app, "run"))
        self._await("Flower and both workers", self._flower_knows_workers)
        self._await("the bridge", lambda: _get(self._bridge_port, "/readyz") is not None)

    def check(self) -> None:
        """Raises LanebridgeError when a server or process has ended."""
        self.children.check()
        if gone := self.stack.stopped_servers():
            raise NotReady(f"{' and '.join(gone)} ended by itself")

    def close(self) -> None:
        """Stop everything. May be called twice."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _flower_knows_workers(self) -> bool:
        workers = _get(self._flower_port, "/api/workers?status=true") or {}
        alive = {name.partition("@")[0] for name, is_alive in workers.items() if is_alive}
        return alive >= set(WORKERS)

    def _await(self, what: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise NotReady(f"{what} did not become ready within {_READY_TIMEOUT_S:g} s")
            time.sleep(_LOOK_EVERY_S)


def _get(port: int, path: str) -> Any:
    """The JSON of a 200 answer, else None."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
