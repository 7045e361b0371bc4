"""What the commands of operators have in common: how a target is written, and who asks."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.cli.options import common_options, settings_options
from bridge.instructions import Target

Command = TypeVar("Command", bound=Callable[..., Any])

_TARGET = re.compile(r"([a-zA-Z0-9._-]{1,249})(?:/(\d{1,9})(?:/(\d{1,9}))?)?", re.ASCII)

#: characters of a name, and of a note
NAME_LIMIT, NOTE_LIMIT = 100, 500


def parse_targets(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> tuple[Target, ...]:
    """Callback of an argument of several: whether there are such targets is not known yet. Raises BadParameter."""
    return tuple(map(_parse, texts))


def parse_target(_context: click.Context, _option: click.Parameter, text: str) -> Target:
    """Callback of an argument of one. Raises BadParameter."""
    return _parse(text)


def _parse(text: str) -> Target:
    """`orders`, `orders/3` or `orders/3/0`."""
    if (found := _TARGET.fullmatch(text)) is None:
        raise click.BadParameter(f"{text!r} is not TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/LANE")
    return Target(found[1], *(int(number) for number in found.groups()[1:] if number is not None))


def operator_command(command: Command) -> Command:
    """`--as`, `--json`, and where the group is, for a command with an argument of targets."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    who = click.option(
        "--as",
        "who",
        metavar="NAME",
        callback=_who,
        help="Who asks, for the audit list and for everybody who looks.  [default: USER@HOST]",
    )
    return common_options("warning")(as_json(who(settings_options("group_id", "ledger_url")(command))))


def asking_options(command: Command) -> Command:
    """`--timeout` and `--withdraw`, for a command that bridges answer."""
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(0, 3600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="Wait so long for the answers.",
    )
    withdraw = click.option("--withdraw", is_flag=True, help="Take back what is asked for and not answered yet.")
    return timeout(withdraw(command))


def _who(_context: click.Context, _option: click.Parameter, name: str | None) -> str:
    return text_of(_user() if name is None else name, NAME_LIMIT)


def note_of(_context: click.Context, _option: click.Parameter, note: str) -> str:
    """Callback of `--note`."""
    return text_of(note, NOTE_LIMIT) if note else ""


def text_of(text: str, limit: int) -> str:
    """What others will read, on one line. Raises BadParameter when it is empty or too long."""
    found = " ".join(text.split())
    if not found or len(found) > limit:
        raise click.BadParameter(f"it must have 1 to {limit} characters")
    return found


def _user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name; KeyError before Python 3.13
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:NAME_LIMIT]
