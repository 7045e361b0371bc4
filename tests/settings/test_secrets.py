"""Secrets are never shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.settings import SECRET_KAFKA_OPTIONS, Misconfigured, resolve, shown

GROUP = {"group_id": "orders"}
SECRET = "hunter2"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://user:hunter2@host", "redis://user:***@host"),
        ("rediss://user:hun@ter/2@host/0", "rediss://user:***@host/0"),
        ("redis://host/0?password=hunter2&db=1", "redis://host/0?password=***&db=1"),
        ("redis://host/0?db=1&ssl_password=hunter2", "redis://host/0?db=1&ssl_password=***"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ({"sasl.username": "u", "sasl.password": SECRET}, "{'sasl.username': 'u', 'sasl.password': '***'}"),
        ({"ssl.new.key.password": SECRET}, "{'ssl.new.key.password': '***'}"),
        ({"sasl.oauthbearer.token.endpoint.url": "https://x"}, "{'sasl.oauthbearer.token.endpoint.url': 'https://x'}"),
        (True, "true"),
        (2.50, "2.5"),
        (None, "None"),
    ],
)
def test_values_are_shown_without_passwords(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_secret_that_is_no_url_is_hidden_up_to_the_host() -> None:
    assert shown(":hunter2@localhost:6379", secret=True) == "***@localhost:6379"
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {"BRIDGE_LEDGER_URL": ":hunter2@localhost:6379"})
    assert SECRET not in str(error.value)


@given(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1))
def test_no_password_ever_comes_through(password: str) -> None:
    for written in (password, quote(password, safe="")):
        text = shown(f"redis://user:{written}@host:6379/0")
        assert text == "redis://user:***@host:6379/0"


@pytest.mark.parametrize("name", sorted(SECRET_KAFKA_OPTIONS))
def test_secret_kafka_options_are_hidden_wherever_settings_are_shown(name: str) -> None:
    resolved = resolve({}, {**GROUP, "kafka": {name: SECRET}}, {})
    assert resolved.settings.kafka == {name: SECRET}
    assert SECRET not in repr(resolved.settings) + str(resolved.settings) + repr(resolved) + repr(resolved.rows())
    assert (f"kafka.{name}", "***", "code") in resolved.rows()


def test_the_ledger_s_password_is_hidden_wherever_settings_are_shown() -> None:
    resolved = resolve({}, GROUP, {"BRIDGE_LEDGER_URL": f"redis://:{SECRET}@host/0"})
    assert resolved.settings.ledger_url == f"redis://:{SECRET}@host/0"
    assert SECRET not in repr(resolved) + repr(resolved.rows())
    assert ("ledger_url", "redis://:***@host/0", "environment") in resolved.rows()


def test_an_error_does_not_show_the_secret_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    file.write_text(f"sentinel://:{SECRET}@host\n")
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {"BRIDGE_LEDGER_URL_FILE": str(file)})
    assert "Sentinel" in str(error.value)
    assert SECRET not in str(error.value) + repr(error.value)
