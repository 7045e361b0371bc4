"""A disk of a few megabytes that can be filled and emptied while a server writes to it, without any privilege.

It is a tmpfs in a mount namespace of its own, which a process that does nothing keeps alive.
"""

from __future__ import annotations

import errno
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bridge.devstack.redis import RedisServer
from tests.faults.rig import Failed

#: it ends with its standard input, so also when this process is killed
_HOLD = 'mount -t tmpfs -o size="$2"m none "$1" && echo mounted && exec cat'


class SmallDisk:
    """`path` is where those see it that were started with `command`; we reach it through their namespace."""

    def __init__(self, megabytes: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="lanebridge-disk-")
        self.path = Path(self._directory.name)
        hold = ["unshare", "-Urm", "sh", "-c", _HOLD, "sh", str(self.path), str(megabytes)]
        self._holder = subprocess.Popen(
            hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._holder.stdout is not None
        said = self._holder.stdout.readline().strip()
        if said != "mounted":
            self.close()
            raise Failed(f"this machine lets nobody mount a small disk in a namespace: {said}")

    def command(self, command: list[str]) -> list[str]:
        """The same command, where the disk is seen."""
        return ["nsenter", "-t", str(self._holder.pid), "-U", "-m", "--preserve-credentials", *command]

    def fill(self) -> None:
        """No byte is left."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (2**20, 2**12):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """What `fill` took is free again."""
        self._ballast.unlink()

    def close(self) -> None:
        """The disk is gone when those that use it are."""
        self._holder.kill()
        self._holder.communicate()
        self._directory.cleanup()

    @property
    def _ballast(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/root{self.path}/ballast")


class RedisOnSmallDisk(RedisServer):
    """A Redis that writes its append-only file to such a disk; it keeps its data."""

    def __init__(self, *, megabytes: int, options: Mapping[str, str]) -> None:
        self.disk = SmallDisk(megabytes)
        super().__init__(keep_data=True, options={"dir": str(self.disk.path), **options})

    def close(self) -> None:
        """As RedisServer."""
        super().close()
        self.disk.close()

    def _command(self) -> list[str]:
        return self.disk.command(super()._command())
