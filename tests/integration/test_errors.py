"""What goes wrong, as a person sees it: one line with the remedy and the documented exit code; and records that make
trouble: nothing is lost, and the error names task, record and type."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.devstack import KafkaServer
from bridge.devstack.ports import LOOPBACK, fresh_port
from tests.conftest import SASL_USERS
from tests.faults.rig import Process
from tests.integration.conftest import MakeWorld
from tests.integration.world import World

APP = "tests.integration.apps.troubles"
TOPICS = ("large", "cursor", "raises")


def error_of(process: Process, exit_code: int) -> str:
    """What follows `Error: ` in the last line; there is one such line, no traceback, and this exit code."""
    lines = process.log.read_text().splitlines()
    assert process.exit_code == exit_code, lines
    assert [line.partition(" ")[0] for line in lines].count("Error:") == 1, lines
    assert lines[-1].startswith("Error: ")
    assert not [line for line in lines if "Traceback" in line or line.startswith(" ")], lines
    return lines[-1].removeprefix("Error: ")


# --- at the start -----------------------------------------------------------------------------------------------------


def test_an_unknown_topic(world: World) -> None:
    text = error_of(world.bridge(APP, TEST_TOPIC=world.group), 1)
    names = ", ".join(sorted(f"{world.group}-{name}" for name in TOPICS))
    assert text == (
        f"Kafka has no topic {names}: create it (kafka-topics.sh --bootstrap-server {world.servers} --create "
        f"--topic {world.group}-cursor --partitions N), or set wait_for_topics=true to wait for it."
    )


def test_a_broker_that_cannot_be_reached(world: World) -> None:
    nowhere = f"{LOOPBACK}:{fresh_port()}"
    bridge = world.bridge(APP, BRIDGE_BOOTSTRAP_SERVERS=nowhere, BRIDGE_STARTUP_TIMEOUT="1")
    text = error_of(bridge, 1)
    first = bridge.log.read_text().splitlines()[0]
    assert f"of group {world.group}: topics troubles-large, troubles-cursor, troubles-raises from {nowhere}," in first
    assert text.startswith(f"Kafka cannot be reached: {nowhere}: ")
    assert "Connection refused" in text
    assert text.endswith(
        f"check that Kafka runs and that bootstrap_servers='{nowhere}' (BRIDGE_BOOTSTRAP_SERVERS) and "
        "security.protocol='plaintext' are right. Gave up after startup_timeout=1 s."
    )


def test_a_wrong_sasl_password_is_told_at_once_and_never_shown(world: World, kafka: KafkaServer) -> None:
    login = {
        "BRIDGE_BOOTSTRAP_SERVERS": kafka.sasl_bootstrap_servers,
        "BRIDGE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "BRIDGE_KAFKA_SASL_MECHANISM": "PLAIN",
        "BRIDGE_KAFKA_SASL_USERNAME": "alice",
    }
    wrong = world.bridge(APP, BRIDGE_KAFKA_SASL_PASSWORD="not-the-one", BRIDGE_STARTUP_TIMEOUT="600", **login)
    text = error_of(wrong, 1)
    assert text.startswith("Kafka refuses the login: ")
    assert text.endswith(
        "check sasl.username='alice', sasl.password (BRIDGE_KAFKA_SASL_PASSWORD), sasl.mechanisms='PLAIN' and "
        "security.protocol='SASL_PLAINTEXT'"
    )
    assert "not-the-one" not in wrong.log.read_text()
    right = world.bridge(APP, BRIDGE_KAFKA_SASL_PASSWORD=SASL_USERS["alice"], TEST_TOPIC=world.group, **login)
    assert error_of(right, 1).startswith("Kafka has no topic ")  # it got further


def test_a_redis_that_cannot_be_reached(world: World) -> None:
    url = f"redis://:secret-word@{LOOPBACK}:{fresh_port()}/0"
    bridge = world.bridge(APP, CELERY_BROKER_URL=url, BRIDGE_STARTUP_TIMEOUT="1")
    text = error_of(bridge, 1)
    assert text.startswith("The ledger (ledger_url) cannot be reached: ")
    assert text.endswith("Start Redis or set BRIDGE_LEDGER_URL. Gave up after startup_timeout=1 s.")
    assert "secret-word" not in bridge.log.read_text()


def test_a_task_that_is_not_registered(world: World) -> None:
    text = error_of(world.bridge(APP, TEST_TOPIC="numbers", TEST_LINK=f"{APP}.mesure"), 1)
    assert text == (
        f"Pipeline 'numbers-large': link 1 ({APP}.mesure) is not registered in the app; did you mean {APP}.measure? "
        "Remedy: have its module imported where the app is made, Celery(..., include=[...]) or "
        "app.autodiscover_tasks()."
    )


@pytest.mark.parametrize(
    ("options", "env", "label"),
    [
        (("--lane-queues", "many"), {}, "--lane-queues='many'"),
        ((), {"BRIDGE_LANE_QUEUES": "many"}, "BRIDGE_LANE_QUEUES='many'"),
    ],
    ids=["command-line", "environment"],
)
def test_a_bad_value_of_an_option(world: World, options: tuple[str, ...], env: dict[str, str], label: str) -> None:
    text = error_of(world.bridge(APP, *options, **env), 2)
    assert text == (
        f"{label}: lane_queues must be an integer from 1 to 4096 (queues). "
        "Set it to 32, for example, or leave it out for the default 16."
    )


# --- records that make trouble ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def troubled(
    make_world: MakeWorld, make_topic: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Process]]:
    """Three topics with a troublesome record each, carried as far as possible."""
    with make_world(Path(tmp_path_factory.mktemp("troubles")), "troubles") as world:
        for name in TOPICS:
            make_topic(f"{world.group}-{name}", 1, {"max.message.bytes": "4000000"})
            values = [b"%d" % number for number in range(20)]
            if name == "large":
                values[10] = b"x" * 2_000_000
            world.produce(f"{world.group}-{name}", values, **{"message.max.bytes": 4_000_000})
        world.worker(APP, "-P", "solo", TEST_TOPIC=world.group)
        yield world, world.bridge(APP, TEST_TOPIC=world.group)


def _stored(world: World, name: str) -> list[int]:
    return [offset for entry in world.journal(topic=f"{world.group}-{name}") for offset in entry["offsets"]]


def test_a_record_of_two_megabytes_goes_through_like_any_other(troubled: tuple[World, Process]) -> None:
    world, _ = troubled
    topic = f"{world.group}-large"
    assert _stored(world, "large") == list(range(20))
    sizes = [size for entry in world.journal(topic=topic) for size in entry["sizes"]]
    assert sizes[10] == 2_000_000
    assert [value for entry in world.journal(topic=topic) for value in entry["data"]] == sizes
    assert world.committed(topic) == [20]


def test_a_return_value_that_cannot_travel_stops_its_lane_at_once_and_is_named(
    troubled: tuple[World, Process],
) -> None:
    world, bridge = troubled
    assert _stored(world, "cursor") == list(range(12))
    assert world.committed(f"{world.group}-cursor") == [12]
    (line,) = [line for line in bridge.log.read_text().splitlines() if "Cursor" in line]
    assert " ERROR " in line
    for part in (f"{world.group}-cursor[0]", "offset 12", f"{APP}.look_up", "Cursor"):
        assert part in line


def test_a_task_that_raises_is_tried_again_then_stops_its_lane_as_on_exhausted_says(
    troubled: tuple[World, Process],
) -> None:
    world, bridge = troubled
    assert [entry["attempt"] for entry in world.journal(task="check", offset=7)] == [1, 2]
    assert [entry["offset"] for entry in world.journal(task="check", attempt=1)] == list(range(8))
    assert _stored(world, "raises") == list(range(7))
    assert world.committed(f"{world.group}-raises") == [7]
    lines = [line for line in bridge.log.read_text().splitlines() if "ZeroDivisionError" in line]
    assert " ERROR " in lines[-1]
    for part in (f"{world.group}-raises[0]", "offset 7", f"{APP}.check", "ZeroDivisionError: seven is not for us"):
        assert part in lines[-1]


def test_the_bridge_ends_with_3_when_only_stopped_lanes_are_left(troubled: tuple[World, Process]) -> None:
    assert troubled[1].exit_code == 3
