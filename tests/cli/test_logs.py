"""One line per event, nothing secret in it."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from bridge.cli.logs import LineFormatter, one_line


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
