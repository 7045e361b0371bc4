"""The browser that tests look through: Debian's `chromium`, or whatever Chromium or Chrome is on PATH."""

from __future__ import annotations

import os
import shutil

#: names of the program, the first that is there is taken
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

PROGRAM = next(filter(None, map(shutil.which, _NAMES)), "")

#: why tests in a browser are left out; empty where they run
WHY_NOT = "" if PROGRAM else "there is no Chromium on PATH (Debian: apt-get install --no-install-recommends chromium)"

#: CI leaves nothing out
MUST_BE_THERE = bool(os.environ.get("CI"))
