"""What the commands log: one line per event with time, level, action and text, on standard error.

Rules: a line never breaks (line ends and control characters in keys, values or errors are escaped), and never holds
the password of a URL, whoever logged it.
"""

from __future__ import annotations

import logging
import time

from bridge.settings.shown import without_passwords

LEVELS = ("debug", "info", "warning", "error")

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {9: " ", 10: " | ", 13: ""}


def set_up(level: str) -> None:
    """Log the bridge's own lines from `level` on, other libraries' warnings and errors; at debug all of them."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if level == "debug" else logging.WARNING)
    logging.getLogger("bridge").setLevel(level.upper())


class LineFormatter(logging.Formatter):
    """`2026-11-24 09:30:01.042 WARNING retry    test[1] lane 0: attempt 1 of 5 failed ...`"""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in it."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        action = str(getattr(record, "action", None) or record.name)
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"{when}.{record.msecs:03.0f} {record.levelname:<7} {action:<9} {one_line(text)}"


def one_line(text: str) -> str:
    """`text` without line ends and control characters; passwords in URLs are masked."""
    return without_passwords(text).translate(_ESCAPES)
