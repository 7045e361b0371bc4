"""Records that are given up, with a real bridge and worker: dead letters, the on_failed task, and the topics that an
expression must not bring back."""

import re
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.integration.conftest import MakeWorld
from tests.integration.world import World, await_line
from tests.kafka.letters import records_of
from tests.waiting import wait_until

APP = "tests.integration.apps.given_up"

MakeTopic = Callable[..., str]

VALUES = [b"1", b"2", b"nonsense", b"100", b"3", b"trash", b"4"]


@pytest.fixture(scope="module")
def world(make_world: MakeWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With a worker that serves all topics of the module."""
    with make_world(tmp_path_factory.mktemp("given-up"), "given-up") as made:
        made.worker(APP, "-P", "solo", TEST_TOPIC=f"^{made.group}", TEST_VERDICT="skip")
        yield made


@pytest.fixture
def topic(world: World, make_topic: MakeTopic) -> str:
    """With seven records, three of them bad."""
    name = make_topic(f"{world.group}-{uuid.uuid4().hex[:8]}")
    world.produce(name, VALUES)
    return name


def test_bad_records_are_dead_lettered_and_all_others_are_handled(
    world: World, make_topic: MakeTopic, topic: str
) -> None:
    dead_letters = make_topic(f"{topic}.dlq")

    bridge = world.bridge(APP, TEST_TOPIC=topic)

    assert bridge.exit_code == 0
    assert world.committed(topic) == [len(VALUES)]
    letters = records_of(world.servers, dead_letters)
    assert [letter[3] for letter in letters] == [b"nonsense", b"100", b"trash"]
    found = [dict(letter[4]) for letter in letters]
    assert [each["lanebridge.disposition"] for each in found] == [b"exhausted", b"rejected", b"exhausted"]
    assert [each["__dlq.errors.offset"] for each in found] == [b"2", b"3", b"5"]
    assert [each["__dlq.errors.group"] for each in found] == [world.group.encode()] * 3
    attempts = [entry["offset"] for entry in world.journal(task="parse", topic=topic)]
    assert [attempts.count(offset) for offset in (0, 2, 6)] == [1, 2, 1]


def test_the_on_failed_task_decides(world: World, topic: str) -> None:
    bridge = world.bridge(APP, TEST_TOPIC=topic, TEST_VERDICT="skip")

    assert bridge.exit_code == 0
    assert world.committed(topic) == [len(VALUES)]
    assert [entry["offsets"] for entry in world.journal(task="decide")] == [[2], [3], [5]]
    assert re.search(rf"WARNING .*Kafka has no topic {topic}\.dlq ", bridge.log.read_text())


def test_a_lane_waits_for_a_dead_letter_topic_that_is_missing(world: World, make_topic: MakeTopic, topic: str) -> None:
    bridge = world.start("bridge", "lanebridge", "-A", APP, "run", "--until-idle", TEST_TOPIC=topic)
    await_line(bridge, f"Kafka has no topic {topic}.dlq; create it: ")
    wait_until(lambda: world.committed(topic) == [2], what="the commit up to the bad record")

    dead_letters = make_topic(f"{topic}.dlq")

    assert wait_until(lambda: bridge.exit_code is not None, 60.0, "the end of the bridge")
    assert bridge.exit_code == 0
    assert world.committed(topic) == [len(VALUES)]
    assert [letter[3] for letter in records_of(world.servers, dead_letters)] == [b"nonsense", b"100", b"trash"]


def test_dead_letters_do_not_come_back_by_an_expression(world: World, make_topic: MakeTopic, topic: str) -> None:
    dead_letters = make_topic(f"{topic}.dlq")
    world.produce(dead_letters, [b"5", b"6"])

    bridge = world.bridge(APP, TEST_TOPIC=f"^{topic}")

    assert bridge.exit_code == 0
    assert world.committed(topic) == [len(VALUES)]
    assert world.committed(dead_letters) == [-1]
    assert world.journal(task="parse", topic=dead_letters) == []
    assert len(records_of(world.servers, dead_letters)) == 5
