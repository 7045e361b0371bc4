"""Exceptions as text of bounded size, for the ledger and for people. Works for any exception, also for one whose own
`__str__` raises."""

from __future__ import annotations

import traceback
from pathlib import Path

#: characters of a message, of a traceback's end, and of that of one rejected record among many
MESSAGE_LIMIT, TRACEBACK_LIMIT, REJECTION_TRACEBACK_LIMIT = 1000, 4000, 2000

_OUR_FOLDER = str(Path(__file__).parent)


def message_of(error: BaseException) -> str:
    """The exception's text without its type, shortened."""
    text = str(traceback.TracebackException.from_exception(error, limit=0))
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."


def traceback_of(error: BaseException, limit: int = TRACEBACK_LIMIT) -> str:
    """The traceback from the task's own code on, with its causes, shortened to its end."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OUR_FOLDER):
        trace = trace.tb_next
    return shorten_traceback("".join(traceback.format_exception(type(error), error, trace)), limit)


def shorten_traceback(text: str, limit: int = TRACEBACK_LIMIT) -> str:
    """The end of a traceback: where the error is."""
    return text if len(text) <= limit else "..." + text[3 - limit :]
