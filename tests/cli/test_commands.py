"""All commands: they are there under both names, explain themselves, and end with the documented exit code."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bridge.cli.errors import Failed, Misused, clear_errors
from bridge.cli.main import COMMANDS, bridge_group
from bridge.errors import ConfigurationError, LanebridgeError
from bridge.settings import cli_options
from tests.cli.conftest import Cli, WriteApp

#: commands that hand their arguments on to a program of Celery
PASSING = ("worker", "flower")


def test_the_group_lists_its_commands_with_a_line_each(cli: Cli) -> None:
    result = cli("--help")
    assert result.exit_code == 0
    listed = result.stdout[result.stdout.index("Commands:") :].splitlines()[1:]
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert all(len(line.split()) > 3 for line in listed)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_with_examples_and_takes_a_log_level(cli: Cli, name: str) -> None:
    result = cli(name, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Usage: lanebridge {name} [OPTIONS]" in result.stdout
    assert "--log-level" in result.stdout
    assert f"lanebridge {name}" in result.stdout.partition("Examples:")[2]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "dev"])
def test_every_command_that_works_on_an_app_takes_its_name(cli: Cli, name: str) -> None:
    assert "-A, --app MODULE" in cli(name, "--help").stdout


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in PASSING])
def test_every_command_of_our_own_takes_a_log_format(cli: Cli, name: str) -> None:
    assert "--log-format [text|json]" in cli(name, "--help").stdout


def test_run_and_doctor_take_every_option_of_a_bridge(cli: Cli) -> None:
    for name in ("run", "doctor"):
        text = cli(name, "--help").stdout
        for flag in cli_options():
            assert flag.declaration.partition("/")[0] in text


def test_the_names_are_the_commands_own() -> None:
    for name, place in COMMANDS.items():
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        assert command.name == name


def test_an_unknown_command_is_a_usage_error(cli: Cli) -> None:
    result = cli("explode")
    assert result.exit_code == 2
    assert "No such command 'explode'" in result.stderr


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("lanebridge, version ")


def test_celery_has_the_same_commands() -> None:
    celery = Path(sys.executable).with_name("celery")
    result = subprocess.run(
        [str(celery), "bridge", "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("CELERY_")},
    )
    assert result.returncode == 0, result.stderr
    assert "Usage: celery bridge [OPTIONS] COMMAND [ARGS]..." in result.stdout
    listed = result.stdout[result.stdout.index("Commands:") :].splitlines()[1:]
    assert [line.split()[0] for line in listed if line.strip()] == list(COMMANDS)


# --- exit codes and errors


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [(ConfigurationError("x"), Misused, 2), (LanebridgeError("x"), Failed, 1)],
)
def test_our_errors_become_one_line_and_an_exit_code(error: Exception, kind: type[Failed], code: int) -> None:
    with pytest.raises(kind) as caught, clear_errors():
        raise error
    assert (caught.value.exit_code, caught.value.format_message()) == (code, "x")


def test_a_defect_is_not_dressed_up_as_an_error_of_the_user() -> None:
    with pytest.raises(KeyError), clear_errors():
        raise KeyError("x")


def test_an_error_never_shows_a_password_or_a_control_character() -> None:
    assert Failed("redis://:hunter2@host\x1b[31m\n- second").format_message() == "redis://:***@host\\x1b[31m\n- second"


def test_the_value_of_an_option_that_is_not_valid_is_a_usage_error(cli: Cli, write_app: WriteApp) -> None:
    result = cli("run", "-A", write_app(), "--start-from", "never")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --start-from='never': start_from must be ")


def test_an_option_of_the_environment_loses_to_the_command_line(
    cli: Cli, write_app: WriteApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_LEDGER_URL", "redis://from-environment:1/0")
    name = write_app()
    assert "redis://127.0.0.1:1/7" in cli("lanes", "-A", name, "--ledger-url", "redis://127.0.0.1:1/7").stderr


def test_a_fault_of_the_declaration_is_a_fatal_error(cli: Cli, write_app: WriteApp) -> None:
    name = write_app("""
        from celery import Celery, signature
        from bridge import Bridge
        app = Celery(__name__, broker="redis://127.0.0.1:1/0", set_as_current=False)
        bridge = Bridge(app, group_id="g")
        bridge.pipeline("orders", chain=signature("nowhere.store"))
    """)
    result = cli("run", "-A", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: Pipeline 'orders': link 1 (nowhere.store) is not registered in the app")


@pytest.mark.parametrize("code", [0, 3, 4])
def test_run_ends_with_the_bridges_exit_code(
    cli: Cli, write_app: WriteApp, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    seen: list[tuple[str, bool]] = []

    def run(plan: object, *, until_idle: bool) -> int:
        seen.append((plan.settings.http, until_idle))  # type: ignore[attr-defined]
        return code

    monkeypatch.setattr("bridge.runtime.run.run", run)
    assert cli("run", "-A", write_app(), "--until-idle", "--http", ":8123").exit_code == code
    assert seen == [(":8123", True)]


def test_run_warns_of_variables_that_mean_nothing(
    cli: Cli, write_app: WriteApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.run.run", lambda plan, *, until_idle: 0)
    monkeypatch.setenv("BRIDGE_LANE_QUEU", "3")
    result = cli("run", "-A", write_app())
    assert "WARNING option    BRIDGE_LANE_QUEU is not an option; did you mean BRIDGE_LANE_QUEUES?" in result.stderr
    assert "BRIDGE_LANE_QUEU" not in cli("run", "-A", write_app(), "--log-level", "error").stderr


def test_a_worker_gets_its_options_from_celery_and_from_us(
    cli: Cli, write_app: WriteApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []
    from bridge.workers.command import worker_command

    @click.pass_context
    def record(context: click.Context, /, arguments: tuple[str, ...]) -> None:
        seen.append((context.find_root().obj.app.main, arguments))

    monkeypatch.setattr(worker_command, "callback", record)
    name = write_app()
    result = cli("worker", "-n", "w@%h", "-A", name, "-c", "2", "--log-level", "INFO", "-Q", "lane-0")
    assert (result.exit_code, result.output) == (0, "")
    assert seen == [(name, ("--loglevel", "INFO", "-n", "w@%h", "-c", "2", "-Q", "lane-0"))]


def test_the_group_is_named_bridge_as_celery_shows_it() -> None:
    assert bridge_group.name == "bridge"
