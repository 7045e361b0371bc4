"""docker-compose.yml and Procfile, read as files: valid, complete, and in agreement."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
OWN_SERVICES = ("bridge", "worker0", "worker1", "flower")
LANE_QUEUES = {f"lane-{index}" for index in range(16)}
SHUTDOWN_TIMEOUT_S = 10


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as Compose sees them, merges applied."""
    document: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return document["services"]


@pytest.fixture(scope="module")
def procfile() -> dict[str, str]:
    """The command of each entry."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(re.split(r":\s+", line, maxsplit=1) for line in lines)


def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    answer = subprocess.run([*check, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


def test_it_brings_kafka_valkey_the_bridge_two_workers_and_flower(services: dict[str, Any]) -> None:
    assert set(services) == {"kafka", "valkey", *OWN_SERVICES}
    assert services["kafka"]["image"].startswith("apache/kafka:4.3")
    assert services["valkey"]["image"].startswith("valkey/valkey:")
    assert {services[name]["image"] for name in OWN_SERVICES} == {"lanebridge"}


def test_every_service_has_a_health_check_and_starts_again(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name


def test_every_service_gets_more_time_to_stop_than_the_bridge_takes(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert int(service["stop_grace_period"].removesuffix("s")) > SHUTDOWN_TIMEOUT_S, name
    assert int(services["worker0"]["stop_grace_period"].removesuffix("s")) > 300


def test_every_published_port_is_on_loopback(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_does_not_run_as_root() -> None:
    instructions = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in instructions if line.startswith("USER ")]
    assert users[-1] not in ("root", "0")


def test_the_procfile_has_the_same_four_and_each_replaces_its_shell(procfile: dict[str, str]) -> None:
    assert tuple(procfile) == OWN_SERVICES
    assert all(command.startswith("exec ") for command in procfile.values())


def test_the_two_workers_share_all_lane_queues_and_none_twice(
    services: dict[str, Any], procfile: dict[str, str]
) -> None:
    for commands in (
        {name: services[name]["command"] for name in OWN_SERVICES},
        {name: shlex.split(command) for name, command in procfile.items()},
    ):
        first, second = _queues(commands["worker0"]), _queues(commands["worker1"])
        assert set(first) | set(second) == LANE_QUEUES
        assert len(first) + len(second) == len(LANE_QUEUES)
        assert "worker0@%h" in commands["worker0"]
        assert "worker1@%h" in commands["worker1"]


def test_compose_and_procfile_start_workers_alike(services: dict[str, Any], procfile: dict[str, str]) -> None:
    for name in ("worker0", "worker1"):
        assert shlex.split(procfile[name]) == ["exec", *services[name]["command"]]


def _queues(command: list[str]) -> list[str]:
    return command[command.index("-Q") + 1].split(",")
