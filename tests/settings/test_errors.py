"""Error texts, word for word: the option as it was given, its value, the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import ConfigurationError, LanebridgeError
from bridge.settings import Misconfigured, check_code, resolve

GROUP = {"group_id": "orders"}

TEXTS = {
    ("BRIDGE_LANE_QUEUES", "abc"): "BRIDGE_LANE_QUEUES='abc': lane_queues must be an integer from 1 to 4096 (queues). "
    "Set it to 32, for example, or leave it out for the default 16.",
    ("BRIDGE_LANE_QUEUES", "0"): "BRIDGE_LANE_QUEUES='0': lane_queues must be an integer from 1 to 4096 (queues). "
    "Set it to 32, for example, or leave it out for the default 16.",
    ("BRIDGE_LANE_QUEUES", "2.5"): "BRIDGE_LANE_QUEUES='2.5': lane_queues must be an integer from 1 to 4096 (queues). "
    "Set it to 32, for example, or leave it out for the default 16.",
    ("BRIDGE_SESSION_TIMEOUT", "10s"): "BRIDGE_SESSION_TIMEOUT='10s': session_timeout must be a number from 1 to 3600 "
    "(seconds). Set it to 30, for example, or leave it out for the default 10.",
    ("BRIDGE_COMMIT_INTERVAL", "nan"): "BRIDGE_COMMIT_INTERVAL='nan': commit_interval must be a number from 0 to 3600 "
    "(seconds). Set it to 5, for example, or leave it out for the default 0.01.",
    ("BRIDGE_WAIT_FOR_TOPICS", "perhaps"): "BRIDGE_WAIT_FOR_TOPICS='perhaps': wait_for_topics must be true or false. "
    "Set it to true, for example, or leave it out for the default false.",
    ("BRIDGE_START_FROM", "Latest"): 'BRIDGE_START_FROM=\'Latest\': start_from must be "earliest", "latest" or '
    '"error". Set it to "latest", for example, or leave it out for the default earliest.',
    ("BRIDGE_BOOTSTRAP_SERVERS", "kafka 9092"): "BRIDGE_BOOTSTRAP_SERVERS='kafka 9092': bootstrap_servers must be "
    "host:port, or several of them separated by commas. Set it to kafka-1:9092,kafka-2:9092, for example, or leave it "
    "out for the default localhost:9092.",
    ("BRIDGE_HTTP", "localhost"): "BRIDGE_HTTP='localhost': http must be host:port, or empty for no HTTP. "
    "Set it to 127.0.0.1:8080, for example, or leave it out for the default (off).",
    ("BRIDGE_GROUP_ID", " orders"): "BRIDGE_GROUP_ID=' orders': group_id must be a text that is not empty. "
    "Set it to orders, for example.",
    ("BRIDGE_MAX_TIMEOUTS", "-1"): "BRIDGE_MAX_TIMEOUTS='-1': max_timeouts must be an integer from 1 to 1000 (times). "
    "Set it to 3, for example, or leave it out for the default 2.",
    ("BRIDGE_BRAKE_LIMIT", "ten"): "BRIDGE_BRAKE_LIMIT='ten': brake_limit must be a number from 0 to 86400 (seconds). "
    "Set it to 1800, for example, or leave it out for the default 600.",
    ("BRIDGE_BRAKE_LANES", "0"): "BRIDGE_BRAKE_LANES='0': brake_lanes must be an integer from 1 to 100000 (lanes). "
    "Set it to 1, for example, or leave it out for the default 3.",
    ("BRIDGE_DEAD_LETTER_PROFILE", "connect"): "BRIDGE_DEAD_LETTER_PROFILE='connect': dead_letter_profile must be "
    '"kafka" or "spring". Set it to "spring", for example, or leave it out for the default kafka.',
    ("BRIDGE_BUFFER_BYTES", "48MB"): "BRIDGE_BUFFER_BYTES='48MB': buffer_bytes must be an integer from 1048576 to "
    "1099511627776 (bytes). Set it to 134217728, for example, or leave it out for the default 33554432.",
}


@pytest.mark.parametrize(("variable", "value"), TEXTS)
def test_an_error_names_the_variable_its_value_and_the_remedy(variable: str, value: str) -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {variable: value})
    assert str(error.value) == TEXTS[variable, value]


def test_an_error_names_the_flag_as_it_was_given() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({"max_worker_losses": "many"}, GROUP, {})
    assert str(error.value) == (
        "--max-worker-losses='many': max_worker_losses must be an integer from 1 to 1000 (times). "
        "Set it to 5, for example, or leave it out for the default 3."
    )


def test_an_error_names_the_argument_as_it_was_given() -> None:
    with pytest.raises(Misconfigured) as error:
        check_code({"claim_timeout": True})
    assert str(error.value) == (
        "Bridge(claim_timeout=True): claim_timeout must be a number from 0.1 to 3600 (seconds). "
        "Set it to 30, for example, or leave it out for the default 15."
    )


def test_an_argument_that_is_no_option_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(Misconfigured) as error:
        check_code({"lane_queue": 4, "colour": "red"})
    assert error.value.problems == (
        "Bridge(lane_queue=...): there is no option lane_queue; did you mean lane_queues?",
        "Bridge(colour=...): there is no option colour.",
    )


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({"http": "x"}, {"lane_queues": 0}, {"BRIDGE_SESSION_TIMEOUT": "soon"})
    assert len(error.value.problems) == 4
    first, *rest = str(error.value).splitlines()
    assert first == "4 things are wrong:"
    assert rest == [f"- {problem}" for problem in error.value.problems]


def test_options_that_fit_alone_must_also_fit_together() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({}, {**GROUP, "heartbeat_interval": 10}, {"BRIDGE_WORKER_TIMEOUT": "2"})
    assert error.value.problems == (
        "session_timeout=10 must be longer than heartbeat_interval=10 (seconds): Kafka would give the partitions away "
        "between two signs of life. Set session_timeout to three times heartbeat_interval or more.",
        "worker_timeout=2 must be longer than worker_heartbeat=3 (seconds): every worker would count as dead between "
        "two heartbeats. Set worker_timeout to three times worker_heartbeat or more.",
    )


def test_the_error_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError) as error:
        resolve({}, {}, {})
    assert isinstance(error.value, LanebridgeError)


def test_a_value_of_a_strange_type_is_shown_by_its_type() -> None:
    with pytest.raises(Misconfigured, match=r"Bridge\(lane_queues=<list>\): lane_queues must be an integer"):
        check_code({"lane_queues": ["a secret"]})


def test_a_long_value_is_cut() -> None:
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {"BRIDGE_LANE_QUEUES": "9" * 1000})
    assert "9" * 190 in str(error.value)
    assert len(str(error.value)) < 400


def test_a_wrong_value_in_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "queues"
    file.write_text("many\n")
    with pytest.raises(Misconfigured) as error:
        resolve({}, GROUP, {"BRIDGE_LANE_QUEUES_FILE": str(file)})
    assert str(error.value) == (
        f"BRIDGE_LANE_QUEUES_FILE='{file}', which holds 'many': lane_queues must be an integer from 1 to 4096 "
        "(queues). Set it to 32, for example, or leave it out for the default 16."
    )
