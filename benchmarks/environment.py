"""The environment of other frameworks: made once, and again when its requirements change."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.case import LeftOut
from benchmarks.kept import FOLDER
from benchmarks.stack import ROOT

REQUIREMENTS = ROOT / "benchmarks" / "frameworks" / "requirements.txt"
_PLACE = FOLDER / "frameworks"
#: what is installed there, written last
_DONE = _PLACE / "requirements.txt"


@cache
def python() -> Path:
    """Its Python, with everything installed. Raises LeftOut when that fails."""
    program = _PLACE / "bin" / "python"
    if _DONE.exists() and _DONE.read_text() == REQUIREMENTS.read_text():
        return program
    _call(sys.executable, "-m", "venv", "--clear", str(_PLACE))
    _call(str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS))
    _DONE.write_text(REQUIREMENTS.read_text())
    return program


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise LeftOut(f"other frameworks could not be installed: {lines[-1] if lines else done.returncode}")
