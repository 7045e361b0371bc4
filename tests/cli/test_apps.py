"""How a command finds its app, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import GOOD, Cli, WriteApp

ROOT = Path(__file__).parents[2]

NO_BRIDGE = """
    from celery import Celery
    app = Celery("bare", set_as_current=False)
"""


def misused(result: Result) -> str:
    """The only line of the error; a usage error without a traceback."""
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


def test_a_module_that_is_not_there(cli: Cli) -> None:
    assert misused(cli("lanes", "-A", "no_such_module")) == (
        f"Error: there is no module 'no_such_module' in {os.getcwd()} or on the Python path. Run the command where "
        "your app is, or name it: -A MODULE (now 'no_such_module')"
    )


def test_a_submodule_that_is_not_there_is_named(cli: Cli, write_app: WriteApp) -> None:
    name = write_app(NO_BRIDGE, package=True)
    assert f"there is no module '{name}.nothing' in " in misused(cli("lanes", "-A", f"{name}.nothing"))


def test_a_module_without_an_app(cli: Cli, write_app: WriteApp) -> None:
    name = write_app("x = 1")
    line = misused(cli("lanes", "-A", name))
    assert line.startswith(f"Error: '{name}' holds no Celery app (")
    assert line.endswith("Name one with -A MODULE:ATTRIBUTE, or call it `app` there")


def test_an_attribute_that_is_no_app(cli: Cli, write_app: WriteApp) -> None:
    name = write_app("x = 1")
    assert misused(cli("lanes", "-A", f"{name}:x")) == (
        f"Error: '{name}:x' is a int, not a Celery app. Name one with -A MODULE:ATTRIBUTE"
    )


@pytest.mark.parametrize("package", [False, True])
def test_a_fault_in_the_apps_module_is_told_with_its_place(cli: Cli, write_app: WriteApp, package: bool) -> None:
    name = write_app("x = 1\ny = x / 0\n", package=package)
    line = misused(cli("lanes", "-A", name))
    assert "failed with ZeroDivisionError: division by zero (" in line
    assert line.endswith(f"{'celery' if package else name}.py, line 2). Repair it there")


def test_what_an_app_gives_us_wrongly_is_told_with_the_place_where_it_does(cli: Cli, write_app: WriteApp) -> None:
    name = write_app("from bridge import Retry\nretry = Retry(give_up_on=KeyError)\n")
    line = misused(cli("lanes", "-A", name))
    assert "Retry(give_up_on=<class 'KeyError'>): must be a tuple of exception classes, (KeyError,)" in line
    assert line.endswith(f"{name}.py, line 2). Repair it there")


def test_a_missing_import_of_the_app_is_not_taken_for_a_missing_app(cli: Cli, write_app: WriteApp) -> None:
    name = write_app("import no_such_library")
    line = misused(cli("lanes", "-A", name))
    assert line.startswith(
        f"Error: importing '{name}' failed with ModuleNotFoundError: No module named 'no_such_library'"
    )


def test_a_missing_import_inside_a_packages_celery_module_is_not_hidden(cli: Cli, write_app: WriteApp) -> None:
    name = write_app("import no_such_library", package=True)
    line = misused(cli("lanes", "-A", name))
    assert line.startswith(f"Error: importing '{name}.celery' failed with ModuleNotFoundError")


def test_an_app_without_a_bridge_says_how_to_declare_one(cli: Cli, write_app: WriteApp) -> None:
    line = misused(cli("lanes", "-A", write_app(NO_BRIDGE)))
    assert line.endswith('has no bridge. Remedy: declare it beside the app, bridge = Bridge(app, group_id="orders").')


def test_what_bridge_refuses_at_import_comes_out_unchanged_each_on_a_line(cli: Cli, write_app: WriteApp) -> None:
    result = cli("lanes", "-A", write_app(GOOD.replace('group_id="g"', 'group_id="g", lane_queues=0, http="x"')))
    assert result.exit_code == 2
    first, *problems = result.stderr.splitlines()
    assert first == "Error: 2 things are wrong:"
    assert [line.partition(":")[0] for line in problems] == ["- Bridge(lane_queues=0)", "- Bridge(http='x')"] or [
        line.partition(":")[0] for line in problems
    ] == ["- Bridge(http='x')", "- Bridge(lane_queues=0)"]


@pytest.mark.parametrize("order", ["before", "after", "twice"])
def test_the_app_may_be_named_before_or_after_the_command(cli: Cli, write_app: WriteApp, order: str) -> None:
    name = write_app()
    arguments = {
        "before": ("-A", name, "lanes"),
        "after": ("lanes", "-A", name),
        "twice": ("-A", "not_this_one", "lanes", "--app", name),
    }[order]
    result = cli(*arguments)
    assert result.exit_code == 1
    assert "the ledger (ledger_url redis://:***@127.0.0.1:1/0) cannot be read" in result.stderr


def test_help_needs_no_app(cli: Cli) -> None:
    assert cli("run", "-A", "no_such_module", "--help").exit_code == 0


@pytest.mark.parametrize("program", ["lanebridge", "celery"])
def test_both_programs_find_an_app_in_the_working_directory(program: str, tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "here.py").write_text(
        "from celery import Celery\nfrom bridge import Bridge\n"
        f"app = Celery('here', broker={redis_url!r})\nbridge = Bridge(app, group_id='nobody')\n"
    )
    scripts = Path(sys.executable).parent
    command = {"lanebridge": ["lanebridge", "-A", "here"], "celery": ["celery", "-A", "here", "bridge"]}[program]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "CELERY_"))}
    result = subprocess.run(
        [str(scripts / command[0]), *command[1:], "lanes", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["lanes"] == []
