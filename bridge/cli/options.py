"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from bridge.cli import logs
from bridge.cli.apps import DEFAULT_APP, choose_app
from bridge.settings import Flag, cli_options

Command = TypeVar("Command", bound=Callable[..., Any])

(_LOG_FORMAT,) = (flag for flag in cli_options() if flag.option == "log_format")


def common_options(default_level: str) -> Callable[[Command], Command]:
    """`-A/--app`, `--log-level` and `--log-format`, for a command that logs from `default_level` on."""

    def decorate(command: Command) -> Command:
        return app_option(log_options(default_level)(command))

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


def log_options(default_level: str) -> Callable[[Command], Command]:
    """`--log-level` and `--log-format`: they set up logging before the command runs, and before the app is imported."""

    def decorate(command: Command) -> Command:
        log_format = click.option(
            _LOG_FORMAT.declaration,
            type=click.Choice(tuple(logs.FORMATTERS)),
            default="text",
            envvar="BRIDGE_LOG_FORMAT",
            expose_value=False,
            is_eager=True,
            callback=_set_up_logs,
            help=_LOG_FORMAT.help,
        )
        level = click.option(
            "--log-level",
            type=click.Choice(logs.LEVELS, case_sensitive=False),
            default=default_level,
            show_default=True,
            expose_value=False,
            is_eager=True,
            callback=_set_up_logs,
            help="Log this and what is worse, to standard error.",
        )
        return level(log_format(command))

    return decorate


def given_log_format(context: click.Context) -> str | None:
    """What the command line says of the option `log_format`; None: nothing."""
    found: str | None = context.meta.get(f"{__name__}.given")
    return found


def settings_options(*only: str) -> Callable[[Command], Command]:
    """A flag for each option of the settings table, or for those named; values come as keyword arguments. `log_format`
    is one of `log_options`."""

    def decorate(command: Command) -> Command:
        for flag in reversed(cli_options()):
            if flag != _LOG_FORMAT and (not only or flag.option in only):
                command = _option(flag)(command)
        return command

    return decorate


def _option(flag: Flag) -> Callable[[Command], Command]:
    names = (flag.declaration, flag.option)
    if flag.is_switch:
        return click.option(*names, default=None, help=flag.help)
    return click.option(*names, metavar=flag.metavar, multiple=flag.repeated, help=flag.help)


def _set_up_logs(context: click.Context, option: click.Parameter, value: str) -> None:
    """Called for each of the two options, in the order in which they are given."""
    if context.resilient_parsing:
        return
    context.meta[f"{__name__}.{option.name}"] = value.lower()
    if option.name == "log_format" and context.get_parameter_source("log_format") is ParameterSource.COMMANDLINE:
        context.meta[f"{__name__}.given"] = value
    level, log_format = (context.meta.get(f"{__name__}.{name}") for name in ("log_level", "log_format"))
    logs.set_up(level or "warning", log_format or "text")
