"""Which Celery app a command works on: `-A` of Lanebridge or of Celery, found as Celery finds it.

The app is imported when a command first asks for it, so that `--help` and `dev` need none. What goes wrong in the
import is said in one line with the place in the user's code; `--log-level debug` shows the whole traceback.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import traceback
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from celery import Celery
from celery.app.utils import find_app
from celery.bin.base import CLIContext

from bridge.cli.errors import Misused
from bridge.errors import LanebridgeError

logger = logging.getLogger(__name__)

DEFAULT_APP = "tasks"

#: what an app's module calls of ours may raise; the place to repair is where it is called
_OUR_FILES = Path(__file__).parents[1]


class LaneContext(CLIContext):  # type: ignore[misc]
    """What Celery's own commands expect in `ctx.obj`, with the app found when it is needed."""

    def __init__(self) -> None:
        self.name = DEFAULT_APP
        self.no_color = False
        self.quiet = False
        self.workdir = None

    @cached_property
    def app(self) -> Celery:
        """The app that `-A` names."""
        return load_app(self.name)


def app_of(context: click.Context) -> Celery:
    """The app of this command. Raises Misused when it cannot be imported."""
    app: Celery = context.find_root().obj.app
    return app


def choose_app(context: click.Context, _option: click.Parameter, name: str | None) -> None:
    """Callback of `-A`."""
    if name is None or context.resilient_parsing:
        return
    root = context.find_root()
    if root.obj is None:
        root.obj = LaneContext()
    if isinstance(root.obj, LaneContext):
        root.obj.name = name
    else:
        root.obj.app = load_app(name)


def add_working_directory() -> None:
    """Modules of the working directory can be imported, as with `celery`."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)


def load_app(name: str) -> Celery:
    """The Celery app called `name` (`module`, `package` with a `celery` module, `module:attribute`).

    Raises Misused with the remedy; Lanebridge's own errors (what Bridge refuses) come out unchanged.
    """
    try:
        found: Any = find_app(name)
    except LanebridgeError:
        raise
    except AttributeError as error:
        _surface_hidden_error(name)
        raise Misused(
            f"{name!r} holds no Celery app ({error}). Name one with -A MODULE:ATTRIBUTE, or call it `app` there"
        ) from None
    except ModuleNotFoundError as error:
        if error.name is not None and f"{_module(name)}.".startswith(f"{error.name}."):
            raise Misused(
                f"there is no module {error.name!r} in {os.getcwd()} or on the Python path. Run the command where your "
                f"app is, or name it: -A MODULE (now {name!r})"
            ) from None
        raise _import_failed(name, error) from None
    except Exception as error:  # noqa: BLE001 - the edge of user code: an app's module may raise anything
        raise _import_failed(name, error) from None
    if not isinstance(found, Celery):
        raise Misused(f"{name!r} is a {type(found).__name__}, not a Celery app. Name one with -A MODULE:ATTRIBUTE")
    return found


def _module(name: str) -> str:
    return name.partition(":")[0]


def _surface_hidden_error(name: str) -> None:
    """Celery hides an ImportError inside `<package>.celery`, where the app most likely is."""
    module = f"{_module(name)}.celery"
    try:
        if ":" in name or importlib.util.find_spec(module) is None:
            return
    except ModuleNotFoundError:
        return  # not a package: there is nothing hidden
    try:
        importlib.import_module(module)
    except LanebridgeError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of user code: an app's module may raise anything
        raise _import_failed(module, error) from None


def _import_failed(name: str, error: Exception) -> Misused:
    logger.debug("importing %s failed", name, exc_info=error, extra={"action": "import"})
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_file() and not file.is_relative_to(_OUR_FILES):  # no file: what dataclasses generate
            where = f"{file}, line {frame.lineno}"
    return Misused(f"importing {name!r} failed with {type(error).__name__}: {error} ({where}). Repair it there")
