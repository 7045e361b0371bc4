"""Variables: secrets in files, empty ones, and those that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import Misconfigured, resolve

GROUP = {"group_id": "orders"}


def _file(directory: Path, text: str) -> str:
    path = directory / "secret"
    path.write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("content", "value"),
    [("g1\n", "g1"), ("g1", "g1"), ("g1\r\n", "g1"), ("pass word\n\n", "pass word\n")],
)
def test_a_file_is_read_without_the_line_end_at_its_end(tmp_path: Path, content: str, value: str) -> None:
    environ = {"BRIDGE_KAFKA_SASL_PASSWORD_FILE": _file(tmp_path, content)}
    resolved = resolve({}, GROUP, environ)
    assert resolved.settings.kafka == {"sasl.password": value}
    assert resolved.origin["kafka.sasl.password"] == "environment"


def test_any_option_may_come_from_a_file(tmp_path: Path) -> None:
    resolved = resolve({}, {}, {"BRIDGE_GROUP_ID_FILE": _file(tmp_path, "from-file\n")})
    assert resolved.settings.group_id == "from-file"
    assert resolved.origin["group_id"] == "environment"


def test_a_value_and_a_file_for_it_are_one_too_many(tmp_path: Path) -> None:
    file = _file(tmp_path, "b")
    environ = {
        "BRIDGE_GROUP_ID": "a",
        "BRIDGE_GROUP_ID_FILE": file,
        "BRIDGE_KAFKA_SASL_PASSWORD": "a",
        "BRIDGE_KAFKA_SASL_PASSWORD_FILE": file,
    }
    with pytest.raises(Misconfigured) as error:
        resolve({}, {}, environ)
    assert error.value.problems == (
        "BRIDGE_GROUP_ID and BRIDGE_GROUP_ID_FILE are both set. Keep one of them.",
        "BRIDGE_KAFKA_SASL_PASSWORD and BRIDGE_KAFKA_SASL_PASSWORD_FILE are both set. Keep one of them.",
    )


def test_a_file_that_is_not_there_is_named_with_the_reason() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {"BRIDGE_LEDGER_URL_FILE": "/nowhere/ledger"})
    assert str(error.value) == (
        "BRIDGE_LEDGER_URL_FILE='/nowhere/ledger': the file cannot be read (No such file or directory). "
        "Mount the secret there, or set BRIDGE_LEDGER_URL instead."
    )


def test_a_file_that_holds_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\xfehunter2")
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {"BRIDGE_LEDGER_URL_FILE": str(path)})
    assert "the file cannot be read (it is not UTF-8 text)" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_an_empty_variable_is_an_unset_one() -> None:
    environ = {"BRIDGE_LANE_QUEUES": "", "BRIDGE_GROUP_ID_FILE": "", "BRIDGE_KAFKA_CLIENT_RACK": ""}
    resolved = resolve({}, GROUP, environ)
    assert resolved.origin["lane_queues"] == "default"
    assert resolved.settings.kafka == {}


def test_an_empty_http_address_switches_http_off() -> None:
    resolved = resolve({}, {**GROUP, "http": "127.0.0.1:8080"}, {"BRIDGE_HTTP": ""})
    assert resolved.settings.http == ""
    assert resolved.origin["http"] == "environment"


def test_unknown_variables_are_warnings_with_what_was_meant() -> None:
    environ = {
        "BRIDGE_LANE_QUEUE": "4",
        "BRIDGE_LEDGER_FILE": "x",
        "BRIDGE_SERVICE_HOST": "10.0.0.1",
        "BRIDGE_KAFKA": "x",
        "LANE_QUEUES": "4",
    }
    assert resolve({}, GROUP, environ).warnings == (
        "BRIDGE_KAFKA is not an option: BRIDGE_KAFKA_SASL_USERNAME sets sasl.username, and so on.",
        "BRIDGE_LANE_QUEUE is not an option; did you mean BRIDGE_LANE_QUEUES?",
        "BRIDGE_LEDGER_FILE is not an option; did you mean BRIDGE_LEDGER_URL_FILE?",
        "BRIDGE_SERVICE_HOST is not an option.",
    )


def test_known_variables_are_no_warnings(tmp_path: Path) -> None:
    environ = {"BRIDGE_GROUP_ID_FILE": _file(tmp_path, "g"), "BRIDGE_HTTP": "", "BRIDGE_KAFKA_ANYTHING_AT_ALL": "1"}
    assert resolve({}, {}, environ).warnings == ()
