"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bridge.cli import logs
from bridge.cli.apps import DEFAULT_APP, choose_app
from bridge.settings import Flag, cli_options

Command = TypeVar("Command", bound=Callable[..., Any])


def common_options(default_level: str) -> Callable[[Command], Command]:
    """`-A/--app` and `--log-level`, for a command that logs from `default_level` on."""

    def decorate(command: Command) -> Command:
        return app_option(level_option(default_level)(command))

    return decorate


def app_option(command: Command) -> Command:
    """`-A/--app`, before or after the command's name, as Celery's."""
    return click.option(
        "-A",
        "--app",
        metavar="MODULE",
        expose_value=False,
        callback=choose_app,
        help=f"Where the Celery app is, as with celery -A.  [default: {DEFAULT_APP}]",
    )(command)


def level_option(default: str) -> Callable[[Command], Command]:
    """`--log-level`: sets up logging before the command runs."""
    return click.option(
        "--log-level",
        type=click.Choice(logs.LEVELS, case_sensitive=False),
        default=default,
        show_default=True,
        expose_value=False,
        is_eager=True,
        callback=_set_up_logs,
        help="Log this and what is worse, to standard error.",
    )


def settings_options(*only: str) -> Callable[[Command], Command]:
    """A flag for each option of the settings table, or for those named; values come as keyword arguments."""

    def decorate(command: Command) -> Command:
        for flag in reversed(cli_options()):
            if not only or flag.option in only:
                command = _option(flag)(command)
        return command

    return decorate


def _option(flag: Flag) -> Callable[[Command], Command]:
    names = (flag.declaration, flag.option)
    if flag.is_switch:
        return click.option(*names, default=None, help=flag.help)
    return click.option(*names, metavar=flag.metavar, multiple=flag.repeated, help=flag.help)


def _set_up_logs(context: click.Context, _option: click.Parameter, level: str) -> None:
    if not context.resilient_parsing:
        logs.set_up(level.lower())
