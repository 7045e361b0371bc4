"""Runs beside one server as a process of its own and outlives a parent that was killed: when its standard input ends,
it kills the process group it was last told of and removes the directory. Standard library only.

    reaper.py DIRECTORY     then on standard input, one a line: the group to kill, or 0 for none
"""

import os
import shutil
import signal
import sys
import time

_PATIENCE_S = 5.0


def main() -> None:
    """Read groups until the parent is gone, then clean up after it."""
    group = 0
    for line in sys.stdin:
        group = int(line)
    if group:
        _kill(group)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


def _kill(group: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while time.monotonic() < deadline:
            os.killpg(group, signal.SIGKILL)
            time.sleep(0.02)
    except (ProcessLookupError, PermissionError):  # gone; macOS says so with the second
        return


if __name__ == "__main__":
    main()
