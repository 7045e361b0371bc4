"""Which servers the embedded stack takes."""

import os
import sysconfig
from pathlib import Path

import pytest

from bridge.devstack.redis import find_server


def test_a_server_that_a_package_put_beside_python_is_not_taken_for_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, machine = tmp_path / "own", tmp_path / "machine"
    for directory in (own, machine):
        directory.mkdir()
        server = directory / "redis-server"
        server.write_text("#!/bin/sh\necho 'Redis server v=7.2.4 sha=0'\n")
        server.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(own))
    monkeypatch.setenv("PATH", os.pathsep.join([str(own), str(machine), "/usr/bin", "/bin"]))

    assert find_server() == machine / "redis-server"
