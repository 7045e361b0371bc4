"""Exceptions as text of bounded size, for the ledger and for people.

Works for any exception: one whose own `__str__` raises, one that cannot be looked at, one whose text has no UTF-8.
"""

from __future__ import annotations

import traceback
from pathlib import Path

#: characters of a message, of a traceback's end, and of that of one rejected record among many
MESSAGE_LIMIT, TRACEBACK_LIMIT, REJECTION_TRACEBACK_LIMIT = 1000, 4000, 2000

_OUR_FOLDER = str(Path(__file__).parent)


def message_of(error: BaseException) -> str:
    """The exception's text without its type, shortened."""
    try:
        text = plain(str(traceback.TracebackException.from_exception(error, limit=0)))
    except Exception:  # noqa: BLE001 - the exception's own code, `__getattr__` perhaps
        text = "<exception str() failed>"
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."


def traceback_of(error: BaseException, limit: int = TRACEBACK_LIMIT) -> str:
    """The traceback from the task's own code on, with its causes, shortened to its end."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OUR_FOLDER):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except Exception:  # noqa: BLE001 - the exception's own code, `__getattr__` perhaps
        lines = [*traceback.format_tb(trace), f"{type(error).__name__}: <exception str() failed>\n"]
    return shorten_traceback(plain("".join(lines)), limit)


def plain(text: str) -> str:
    """The text as a `str` that can be stored: half a surrogate pair has no UTF-8, it is written as an escape."""
    return str.encode(text, errors="backslashreplace").decode()


def shorten_traceback(text: str, limit: int = TRACEBACK_LIMIT) -> str:
    """The end of a traceback: where the error is."""
    return text if len(text) <= limit else "..." + text[3 - limit :]
