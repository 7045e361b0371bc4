"""Raw librdkafka options: how they are named, merged, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import OWNED_KAFKA_OPTIONS, Misconfigured, check_code, resolve

GROUP = {"group_id": "orders"}


@pytest.mark.parametrize(
    ("variable", "option"),
    [
        ("BRIDGE_KAFKA_SASL_USERNAME", "sasl.username"),
        ("BRIDGE_KAFKA_GROUP_INSTANCE_ID", "group.instance.id"),
        ("BRIDGE_KAFKA_GROUP_PROTOCOL", "group.protocol"),
        ("BRIDGE_KAFKA_LOG_LEVEL", "log_level"),
        ("BRIDGE_KAFKA_SASL_OAUTHBEARER_ASSERTION_FILE", "sasl.oauthbearer.assertion.file"),
    ],
)
def test_underscores_of_a_variable_are_dots(variable: str, option: str) -> None:
    assert resolve({}, GROUP, {variable: "1"}).settings.kafka == {option: "1"}


def test_an_option_that_ends_in_file_may_itself_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "path"
    file.write_text("/run/assertion\n")
    environ = {"BRIDGE_KAFKA_SASL_OAUTHBEARER_ASSERTION_FILE_FILE": str(file)}
    assert resolve({}, GROUP, environ).settings.kafka == {"sasl.oauthbearer.assertion.file": "/run/assertion"}


def test_each_option_has_its_own_precedence() -> None:
    resolved = resolve(
        {"kafka": ("client.rack=flag", "debug=cgrp,topic")},
        {**GROUP, "kafka": {"client.rack": "code", "client.id": "code", "fetch.min.bytes": 1}},
        {"BRIDGE_KAFKA_CLIENT_RACK": "environment", "BRIDGE_KAFKA_CLIENT_ID": "environment"},
    )
    assert resolved.settings.kafka == {
        "client.rack": "flag",
        "client.id": "environment",
        "fetch.min.bytes": 1,
        "debug": "cgrp,topic",
    }
    assert {name: origin for name, origin in resolved.origin.items() if name.startswith("kafka.")} == {
        "kafka.client.rack": "command line",
        "kafka.client.id": "environment",
        "kafka.fetch.min.bytes": "code",
        "kafka.debug": "command line",
    }


@pytest.mark.parametrize(("name", "reason"), OWNED_KAFKA_OPTIONS.items())
def test_what_belongs_to_the_bridge_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(Misconfigured) as error:
        check_code({"kafka": {name: "hunter2"}})
    assert str(error.value) == f"Bridge(kafka={{'{name}': ...}}): {name} belongs to the bridge. Remove it: {reason}."


def test_a_refused_option_is_named_as_it_was_given() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({"kafka": ("group.id=x",)}, GROUP, {"BRIDGE_KAFKA_SESSION_TIMEOUT_MS": "1"})
    assert error.value.problems == (
        "BRIDGE_KAFKA_SESSION_TIMEOUT_MS: session.timeout.ms belongs to the bridge. "
        "Remove it: set session_timeout (seconds).",
        "--kafka group.id: group.id belongs to the bridge. Remove it: set group_id.",
    )


def test_a_value_that_was_forgotten_is_named() -> None:
    with pytest.raises(Misconfigured) as error:
        check_code({"kafka": {"sasl.password": None}})
    assert str(error.value) == (
        "Bridge(kafka={'sasl.password': ...}): sasl.password has no value (None). Give it one, or leave it out."
    )


@pytest.mark.parametrize("value", ["security.protocol=SSL", ["a=b"], {1: "x"}, {"": "x"}])
def test_something_that_is_no_mapping_is_refused(value: object) -> None:
    with pytest.raises(Misconfigured, match=r"kafka must be a mapping of librdkafka's option names to values\."):
        check_code({"kafka": value})


def test_a_flag_without_a_value_is_refused_without_showing_it() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({"kafka": ("client.rack=a", "hunter2")}, GROUP, {})
    assert str(error.value) == (
        "--kafka: each value must be NAME=VALUE. Write it as security.protocol=SASL_SSL, for example."
    )


def test_a_callback_for_tokens_passes() -> None:
    def oauth(config: str) -> tuple[str, float]:
        return config, 0.0

    assert resolve({}, {**GROUP, "kafka": {"oauth_cb": oauth}}, {}).settings.kafka == {"oauth_cb": oauth}
