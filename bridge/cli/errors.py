"""How commands fail: one clear line on standard error, no traceback, and the documented exit code.

0 clean, 1 fatal error, 2 usage (also an option's value), 3 ended with a stopped lane, 4 ended with a paused one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from bridge.cli.logs import is_json, one_line
from bridge.errors import ConfigurationError, LanebridgeError

logger = logging.getLogger(__name__)

FATAL, USAGE = 1, 2


class Failed(click.ClickException):
    """A command that cannot go on."""

    exit_code = FATAL

    def show(self, file: IO[Any] | None = None) -> None:
        """In the log's own form where machines read it."""
        if is_json() and not sys.stderr.isatty():
            logger.error("%s", self.message.strip(), extra={"action": "failed"})
        else:
            super().show(file)

    def format_message(self) -> str:
        """Each thing that is wrong on a line of its own; mostly there is one."""
        return "\n".join(map(one_line, self.message.strip().splitlines()))


class Misused(Failed):
    """A command that was given what cannot be right: an option, a name."""

    exit_code = USAGE


@contextmanager
def clear_errors() -> Iterator[None]:
    """Lanebridge's own errors become one line and an exit code; any other exception is a defect and stays."""
    try:
        yield
    except ConfigurationError as error:
        raise Misused(str(error)) from error
    except LanebridgeError as error:
        raise Failed(str(error)) from error
