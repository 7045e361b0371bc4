"""Who wins: command line, environment, code, default; and where each value comes from."""

from __future__ import annotations

import pytest

from bridge.settings import OPTIONS, BridgeOptions, Misconfigured, Option, Settings, resolve

GROUP = {"group_id": "orders"}

SOURCES: dict[str, tuple[dict[str, object], dict[str, object], dict[str, str], int]] = {
    "command line": ({"lane_queues": "1"}, {"lane_queues": 3}, {"BRIDGE_LANE_QUEUES": "2"}, 1),
    "environment": ({"lane_queues": None}, {"lane_queues": 3}, {"BRIDGE_LANE_QUEUES": "2"}, 2),
    "code": ({}, {"lane_queues": 3}, {}, 3),
    "default": ({}, {}, {}, 16),
}


@pytest.mark.parametrize("origin", SOURCES)
def test_the_command_line_wins_over_the_environment_that_over_code_that_over_the_default(origin: str) -> None:
    command_line, code, environ, expected = SOURCES[origin]
    resolved = resolve(command_line, {**GROUP, **code}, environ)
    assert resolved.settings.lane_queues == expected
    assert resolved.origin["lane_queues"] == origin


def test_every_option_has_the_documented_default() -> None:
    settings = resolve({}, GROUP, {}).settings
    assert {option.name: getattr(settings, option.name) for option in OPTIONS} == {
        "bootstrap_servers": "localhost:9092",
        "group_id": "orders",
        "ledger_url": None,
        "kafka": {},
        "http": "",
        "lane_queues": 16,
        "start_from": "earliest",
        "commit_interval": 0.01,
        "session_timeout": 10.0,
        "heartbeat_interval": 1.0,
        "wait_for_topics": False,
        "startup_timeout": 30.0,
        "shutdown_timeout": 10.0,
        "buffer_bytes": 32 * 1024 * 1024,
        "in_flight_bytes": 64 * 1024 * 1024,
        "claim_timeout": 15.0,
        "worker_timeout": 15.0,
        "worker_heartbeat": 3.0,
        "max_timeouts": 2,
        "max_worker_losses": 3,
        "brake_limit": 600.0,
        "brake_lanes": 3,
        "dead_letter_profile": "kafka",
        "log_format": "text",
    }


def test_table_constructor_and_settings_know_the_same_options() -> None:
    names = [option.name for option in OPTIONS]
    assert list(Settings.__dataclass_fields__) == names
    assert list(BridgeOptions.__annotations__) == names


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_each_default_and_each_example_is_a_value_that_fits(option: Option) -> None:
    example = option.example.strip('"')
    if option.name != "kafka":
        assert option.read(example, "x") is not None
    if not option.is_required and option.default is not None:
        assert option.read(option.default, "x") == option.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bootstrap_servers", "a:9092, b:9092", "a:9092,b:9092"),
        ("bootstrap_servers", "[::1]:9092", "[::1]:9092"),
        ("bootstrap_servers", "SASL_SSL://kafka:9093", "SASL_SSL://kafka:9093"),
        ("http", ":8080", ":8080"),
        ("http", "127.0.0.1:0", "127.0.0.1:0"),
        ("lane_queues", "4096", 4096),
        ("start_from", "latest", "latest"),
        ("commit_interval", "0.25", 0.25),
        ("session_timeout", "45", 45.0),
        ("wait_for_topics", "TRUE", True),
        ("wait_for_topics", "1", True),
        ("wait_for_topics", "off", False),
        ("ledger_url", "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ],
)
def test_texts_become_values_of_the_option_s_type(name: str, text: str, value: object) -> None:
    found = getattr(resolve({}, GROUP, {f"BRIDGE_{name.upper()}": text}).settings, name)
    assert found == value
    assert type(found) is type(value)


def test_code_may_give_values_in_their_own_types() -> None:
    code = {**GROUP, "bootstrap_servers": ["a:1", "b:2"], "session_timeout": 20, "wait_for_topics": True, "http": None}
    settings = resolve({}, code, {}).settings
    assert settings.bootstrap_servers == "a:1,b:2"
    assert settings.session_timeout == 20.0
    assert settings.wait_for_topics is True
    assert settings.http == ""


def test_a_switch_that_is_off_on_the_command_line_wins_too() -> None:
    assert resolve({"wait_for_topics": False}, {**GROUP, "wait_for_topics": True}, {}).settings.wait_for_topics is False


def test_a_wrong_value_that_does_not_win_is_not_looked_at() -> None:
    assert resolve({"lane_queues": "8"}, GROUP, {"BRIDGE_LANE_QUEUES": "abc"}).settings.lane_queues == 8


def test_an_option_without_default_must_be_given_somewhere() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({}, {}, {})
    assert str(error.value) == (
        'group_id is missing: set BRIDGE_GROUP_ID=orders, or write Bridge(app, group_id="orders").'
    )


def test_settings_of_one_bridge_do_not_reach_another() -> None:
    resolve({}, {**GROUP, "kafka": {"client.rack": "a"}}, {})
    assert resolve({}, GROUP, {}).settings.kafka == {}


def test_each_row_names_an_option_its_value_and_its_origin() -> None:
    rows = resolve({"lane_queues": "4"}, GROUP, {"BRIDGE_KAFKA_CLIENT_RACK": "r1"}).rows()
    assert ("lane_queues", "4", "command line") in rows
    assert ("group_id", "orders", "code") in rows
    assert ("ledger_url", "the app's Redis broker", "default") in rows
    assert ("http", "off", "default") in rows
    assert ("kafka.client.rack", "r1", "environment") in rows
    assert ("kafka", "none", "default") in resolve({}, GROUP, {}).rows()
