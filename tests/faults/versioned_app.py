"""The app of the cells in the release that FAULTS_RELEASE names: "next", or today's when it is unset."""

from __future__ import annotations

import os

from tests.faults import next_version
from tests.faults.app import app, bridge

__all__ = ["app", "bridge"]

if os.environ.get("FAULTS_RELEASE") == "next":
    next_version.apply()
