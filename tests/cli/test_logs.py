"""One line per event, nothing secret in it."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest

from bridge.cli.logs import JsonLineFormatter, LineFormatter, one_line
from tests.cli.conftest import GOOD, Cli, WriteApp


def line_of(message: str, *args: object, **extra: object) -> str:
    record = logging.LogRecord("bridge.runtime", logging.WARNING, __file__, 1, message, args, None)
    record.__dict__.update(extra)
    return LineFormatter().format(record)


def test_a_line_has_time_level_action_and_text() -> None:
    found = line_of("test[%d] lane 0: attempt 1 of 5 failed", 1, action="retry")
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
    assert re.fullmatch(rf"{time} WARNING retry     test\[1\] lane 0: attempt 1 of 5 failed", found)


def test_a_line_without_an_action_names_its_logger() -> None:
    assert "WARNING bridge.runtime text" in line_of("text")


def test_an_event_stays_on_one_line_whatever_is_in_it() -> None:
    found = line_of("key %s", "a\nb\r\tc\x1b[31m\x7f")
    assert found.endswith("key a | b c\\x1b[31m\\x7f")


def test_a_traceback_is_on_the_same_line() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        record = logging.LogRecord("bridge", logging.ERROR, __file__, 1, "thread failed", (), sys.exc_info())
    found = LineFormatter().format(record)
    assert "\n" not in found
    assert "thread failed | Traceback (most recent call last): | " in found
    assert found.endswith("ValueError: broken | in two")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp"])
def test_passwords_of_urls_are_masked_whoever_logs_them(scheme: str) -> None:
    found = line_of("cannot reach %s", f"{scheme}://user:hunter2@host:1/0")
    assert found.endswith(f"cannot reach {scheme}://user:***@host:1/0")
    assert one_line(f"{scheme}://:hunter2@host").endswith("://:***@host")


# --- as JSON


def document_of(message: str, *args: object, exc_info: Any = None, **extra: object) -> dict[str, Any]:
    record = logging.LogRecord("bridge.runtime", logging.WARNING, __file__, 1, message, args, exc_info)
    record.created = 1_795_512_601.042
    record.__dict__.update(extra)
    line = JsonLineFormatter().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_an_event_as_json_has_what_a_line_has_and_what_it_is_about() -> None:
    about = {"topic": "test", "partition": 1, "lane": 0}
    assert document_of("test[%d] lane 0: failed", 1, action="retry", **about) == {
        "time": "2026-11-24T09:30:01.042Z",
        "level": "WARNING",
        "action": "retry",
        "message": "test[1] lane 0: failed",
        "logger": "bridge.runtime",
        **about,
    }


def test_an_event_as_json_without_an_action_names_its_logger() -> None:
    assert document_of("text")["action"] == "bridge.runtime"


def test_an_exception_is_a_field_of_its_own() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        found = document_of("thread failed", exc_info=sys.exc_info())
    assert found["message"] == "thread failed"
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("ValueError: broken\nin two")


def test_passwords_are_masked_in_every_field_whatever_it_is() -> None:
    url = "redis://user:hunter2@host:1/0?password=hunter2"
    found = document_of("at %s", url, url=url, urls=[url, b"\xff"])
    assert "hunter2" not in json.dumps(found)
    assert found["url"] == "redis://user:***@host:1/0?password=***"


# --- which of the two

LOGGING = (
    GOOD
    + """
    import logging
    logging.getLogger("bridge.somewhere").warning("while importing", extra={"action": "import"})
"""
)


@pytest.mark.parametrize("by", ["flag", "flag before the level", "environment"])
def test_all_lines_are_json_from_the_import_of_the_app_to_the_error_at_the_end(
    cli: Cli, write_app: WriteApp, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "environment":
        monkeypatch.setenv("BRIDGE_LOG_FORMAT", "json")
    level, flag = ("--log-level", "warning"), ("--log-format", "json")
    arguments = {"flag": (*level, *flag), "flag before the level": (*flag, *level), "environment": ()}[by]
    result = cli("lanes", "-A", write_app(LOGGING), *arguments)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["level"], line["action"]) for line in lines] == [("WARNING", "import"), ("ERROR", "failed")]
    assert lines[1]["message"].startswith("the ledger (ledger_url redis://:***@127.0.0.1:1/0) cannot be read: ")


def test_the_command_line_wins_over_the_environment_and_that_over_code(
    cli: Cli, write_app: WriteApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_app(GOOD.replace('group_id="g"', 'group_id="g", log_format="json"'))
    assert cli("lanes", "-A", name).stderr.startswith('{"time": ')
    monkeypatch.setenv("BRIDGE_LOG_FORMAT", "text")
    assert cli("lanes", "-A", name).stderr.startswith("Error: the ledger ")
    assert cli("lanes", "-A", name, "--log-format", "json").stderr.startswith('{"time": ')


def test_a_format_that_does_not_exist_is_a_usage_error(cli: Cli, write_app: WriteApp) -> None:
    result = cli("lanes", "-A", write_app(), "--log-format", "xml")
    assert (result.exit_code, "'xml' is not one of 'text', 'json'" in result.stderr) == (2, True)
