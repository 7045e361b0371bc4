"""What docker-compose.yml runs of our own, started outside a container word for word, until its own health check is
green. As Compose publishes ports and names hosts, so does this test: each address has a counterpart on loopback."""

import re
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridge.devstack.ports import LOOPBACK, fresh_port
from tests.integration.world import ROOT, World
from tests.waiting import wait_until

OWN_SERVICES = ("bridge", "worker0", "worker1", "flower")

#: the ports that the services listen on
PORTS = (8080, 5555)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as Compose sees them, merges applied."""
    document: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return document["services"]


class Outside:
    """Where the addresses of the containers' network are on this machine."""

    def __init__(self, world: World) -> None:
        ports = {port: fresh_port() for port in PORTS}
        self._places = {
            "kafka:9092": world.servers,
            "redis://valkey:6379/0": world.redis_url,
            **{f"{host}:{port}": f"{LOOPBACK}:{own}" for port, own in ports.items() for host in ("0.0.0.0", LOOPBACK)},
        }
        #: Flower's port stands in no command: its default
        self.flower_port = str(ports[5555])

    def place(self, text: str) -> str:
        """The text with each address in its place."""
        for inside, outside in self._places.items():
            text = text.replace(inside, outside)
        return text

    def environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """The service's environment."""
        mapped = {name: self.place(value) for name, value in service["environment"].items()}
        return {**mapped, "FLOWER_PORT": self.flower_port}

    def health_check(self, service: Mapping[str, Any]) -> list[str]:
        """The service's health check; Compose writes a dollar sign twice."""
        kind, *words = service["healthcheck"]["test"]
        words = [self.place(word.replace("$$", "$")) for word in words]
        return ["sh", "-c", words[0]] if kind == "CMD-SHELL" else words


def test_every_own_service_starts_and_its_health_check_gets_green_also_while_the_bridge_waits_for_its_topic(
    world: World, services: dict[str, Any]
) -> None:
    outside = Outside(world)
    own = {name: services[name] for name in OWN_SERVICES}
    environments = {name: outside.environment(service) for name, service in own.items()}
    assert not [value for each in environments.values() for value in each.values() if re.search(r"kafka|valkey", value)]
    checks = {name: outside.health_check(service) for name, service in own.items()}

    started = {
        name: world.start(name, *service["command"], cwd=ROOT, **environments[name]) for name, service in own.items()
    }

    for name, check in checks.items():

        def green(name: str = name, check: list[str] = check) -> bool:
            assert started[name].exit_code is None, started[name].tail()
            return _is_green(check, world, environments[name])

        wait_until(green, timeout=60.0, what=f"the health check of {name}")
    assert {name: process.exit_code for name, process in started.items()} == dict.fromkeys(OWN_SERVICES)


def _is_green(check: list[str], world: World, environment: Mapping[str, str]) -> bool:
    answer = subprocess.run(check, cwd=ROOT, env={**world.environment, **environment}, capture_output=True, check=False)
    return answer.returncode == 0
