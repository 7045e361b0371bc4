"""What tasks raise to say which record failed, and what the worker raises for Celery to see.

Rules: `RecordFailed` is public. The others never leave a worker: they exist because Celery acts on the type of what a
task raises.
"""

from __future__ import annotations

import threading

import click
from celery.exceptions import Ignore

from bridge.errors import ConfigurationError, LanebridgeError
from bridge.records import Record


class RecordFailed(Exception):
    """Raise it in a BatchTask to say which record failed: the records before it succeeded, it and the ones after it
    are tried again. `reason` is text or an exception; the pipeline's `give_up_on` and `retry_on` look at the exception
    that is the reason, and at RecordFailed itself when it is text."""

    def __init__(self, record: Record, reason: object = "") -> None:
        super().__init__(f"{type(reason).__name__}: {reason}" if isinstance(reason, BaseException) else str(reason))
        self.record = record
        self.reason = reason


class RetryAsked(Exception):
    """`self.retry()` in a lane task: a failure, with the wait (in seconds) that the task asks for."""

    def __init__(self, error: BaseException | None, delay: float | None) -> None:
        super().__init__("the task asked for a retry" + ("" if delay is None else f" in {delay:g} s"))
        self.error = error
        self.delay = delay


class LinkFailed(LanebridgeError):
    """The link failed; stands for an exception that Celery would not show as a failure."""


class NoDecision(LanebridgeError):
    """An `on_failed` task did not say what is to be done with each of its records."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f'{what}. Remedy: return "dead_letter", "skip" or "stop": one word for all records, a sequence with one '
            f"for each in the batch's order, or a mapping of their offsets to words."
        )


class ClaimRefused(Ignore):
    """This delivery of the link may not run, or may not go on: somebody else has it, or it is history."""


class LedgerSilent(LanebridgeError):
    """The ledger did not answer for so long that the link's work is given up."""


class WorkerRefused(ConfigurationError, click.ClickException):
    """The worker does not start: a setting breaks what lanes promise."""


def ends_the_process(error: BaseException) -> bool:
    """Whether what user code raised is on its way to end this process, and no failure of a record. In a thread of a
    pool nothing ends of it; Celery would only never hear of the link again, as of `asyncio.CancelledError`."""
    is_exit = isinstance(error, (SystemExit, KeyboardInterrupt))
    return is_exit and threading.current_thread() is threading.main_thread()
