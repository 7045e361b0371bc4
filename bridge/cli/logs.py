"""What the commands log: one line per event on standard error, as text for people or as JSON for machines.

Rules: a line never breaks (line ends and control characters in keys, values or errors are escaped), and never holds
the password of a URL, whoever logged it.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from bridge.settings.shown import without_passwords

LEVELS = ("debug", "info", "warning", "error")

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {9: " ", 10: " | ", 13: ""}


def set_up(level: str, log_format: str) -> None:
    """Log the bridge's own lines from `level` on, other libraries' warnings and errors; at debug all of them."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[log_format]())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if level == "debug" else logging.WARNING)
    logging.getLogger("bridge").setLevel(level.upper())


def change_format(log_format: str) -> None:
    """From now on in this format, where `set_up` has set up logging."""
    for handler in _own_handlers():
        handler.setFormatter(FORMATTERS[log_format]())


def is_json() -> bool:
    """Whether machines read the log."""
    return any(isinstance(handler.formatter, JsonLineFormatter) for handler in _own_handlers())


def _own_handlers() -> list[logging.Handler]:
    return [each for each in logging.getLogger().handlers if isinstance(each.formatter, tuple(FORMATTERS.values()))]


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


class JsonLineFormatter(JsonFormatter):
    """`{"time": "2026-11-24T08:30:01.042Z", "level": "WARNING", "action": "retry", "message": ..., "logger": ...}`, and
    what the event is about: topic, partition, lane, chain, attempt; exception is a traceback."""

    def __init__(self) -> None:
        names = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception"}
        super().__init__(("asctime", "levelname", "action", "message", "name"), rename_fields=names)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """ISO 8601, in UTC."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return when.replace("+00:00", "Z")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Plain values only, and no passwords in them."""
        log_data["action"] = log_data["action"] or log_data["logger"]
        return {name: _plain(value) for name, value in log_data.items()}


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": LineFormatter, "json": JsonLineFormatter}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else without_passwords(str(value))


def one_line(text: str) -> str:
    """`text` without line ends and control characters; passwords in URLs are masked."""
    return without_passwords(text).translate(_ESCAPES)
