"""Prometheus' promtool, which judges what /metrics serves and the alert rules. No wheel carries it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

#: why it cannot be asked here; empty where it is installed
WHY_NOT = "" if shutil.which("promtool") else "there is no promtool on PATH (Debian: apt-get install prometheus)"


def promtool(*arguments: str | Path, text: bytes = b"") -> str:
    """What it says about `text`, or about files. Raises AssertionError with its words when it is not content."""
    answer = subprocess.run(["promtool", *map(str, arguments)], input=text, capture_output=True, check=False)
    said = (answer.stdout + answer.stderr).decode()
    assert answer.returncode == 0, said
    return said
