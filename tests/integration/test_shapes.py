"""The shapes of a chain end to end, in prefork and solo pools: Kafka, a bridge process, a worker, and what Flower is
told of it all by Celery's events."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery

from tests.integration.conftest import MakeWorld
from tests.integration.world import World
from tests.waiting import wait_until

APP = "tests.integration.apps.shapes"
PARTITIONS = 2
RECORDS = 110

#: what each topic holds: the number n in turn to each partition
NUMBERS = {partition: list(range(partition, RECORDS, PARTITIONS)) for partition in range(PARTITIONS)}


@dataclass(frozen=True)
class Story:
    """Three topics, carried to their ends by one worker, and the events of that time."""

    world: World
    exit_code: int | None
    events: list[dict[str, Any]]


@pytest.fixture(scope="module", params=["prefork", "solo"])
def story(
    request: pytest.FixtureRequest,
    make_world: MakeWorld,
    make_topic: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    pool = str(request.param)
    with make_world(tmp_path_factory.mktemp(pool), f"shapes-{pool}") as world:
        for shape in ("record", "batch", "three"):
            topic = make_topic(f"{world.group}-{shape}", PARTITIONS)
            world.produce(topic, (b"%d" % number for number in range(RECORDS)), partitions=PARTITIONS)
        with _events_of(world.redis_url) as events:
            worker = world.worker(APP, "-P", pool, "-c", "2", "-E", TEST_TOPIC=world.group)
            bridge = world.bridge(APP, TEST_TOPIC=world.group)
            worker.stop()
            wait_until(lambda: _of(events, "worker-offline"), what="the last event")
        yield Story(world, bridge.exit_code, events)


@contextmanager
def _events_of(url: str) -> Iterator[list[dict[str, Any]]]:
    """Everything that workers tell, as Flower hears it."""
    seen: list[dict[str, Any]] = []
    app = Celery("watcher", broker=url, set_as_current=False)
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": seen.append})
        thread = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False), daemon=True)
        thread.start()
        yield seen
        receiver.should_stop = True
        thread.join(10.0)


def _of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


def test_the_bridge_ends_clean_with_everything_committed(story: Story) -> None:
    assert story.exit_code == 0
    for shape in ("record", "batch", "three"):
        topic = f"{story.world.group}-{shape}"
        assert story.world.committed(topic, PARTITIONS) == story.world.ends(topic, PARTITIONS) == [55, 55]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_record_task_alone_gets_each_record_once_in_order(story: Story, number: int) -> None:
    entries = story.world.journal(task="note", partition=number)
    assert [int(entry["text"]) for entry in entries] == NUMBERS[number]
    assert [entry["offset"] for entry in entries] == list(range(55))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_batch_task_alone_gets_each_record_once_in_batches_in_order(story: Story, number: int) -> None:
    batches = story.world.journal(task="store", table="plain", partition=number)
    assert [int(text) for batch in batches for text in batch["texts"]] == NUMBERS[number]
    assert [offset for batch in batches for offset in batch["offsets"]] == list(range(55))
    assert max(len(batch["offsets"]) for batch in batches) == 20
    assert {value for batch in batches for value in batch["data"]} == {None}


@pytest.mark.parametrize("number", NUMBERS)
def test_three_links_pass_the_data_on_in_order_each_record_once(story: Story, number: int) -> None:
    world = story.world
    parsed = world.journal(task="parse", partition=number)
    assert [(entry["offset"], entry["data"]) for entry in parsed] == [(offset, None) for offset in range(55)]
    doubled = world.journal(task="double", partition=number)
    assert [entry["offset"] for entry in doubled] == list(range(55))
    assert [entry["data"] for entry in doubled] == NUMBERS[number]
    stored = world.journal(task="store", table="doubled", partition=number)
    assert [offset for batch in stored for offset in batch["offsets"]] == list(range(55))
    data = [value for batch in stored for value in batch["data"]]
    assert data == [{"doubled": 2 * value} for value in NUMBERS[number]]
    assert [int(text) for batch in stored for text in batch["texts"]] == NUMBERS[number]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_link_begins_when_the_link_before_it_is_done_with_the_batch(story: Story, number: int) -> None:
    world = story.world
    for batch in world.journal(task="store", table="doubled", partition=number):
        times = [
            [entry["at"] for entry in world.journal(task=task, partition=number) if entry["offset"] in batch["offsets"]]
            for task in ("parse", "double")
        ]
        assert max(times[0]) < min(times[1]) <= max(times[1]) < batch["at"]


def test_flower_is_told_names_readable_ids_records_and_success_of_every_link(story: Story) -> None:
    links = {event["uuid"]: event for event in _of(story.events, "task-received")}
    assert set(links) == {event["uuid"] for event in _of(story.events, "task-succeeded")}
    names = {"record": ["note"], "batch": ["store"], "three": ["parse", "double", "store"]}
    for shape, tasks in names.items():
        topic = f"{story.world.group}-{shape}"
        for number in NUMBERS:
            chains = _chains(links, story.world.group, topic, number)
            spans = sorted(span for _, span in chains)
            assert [span[0] for span in spans] == [0, *(last + 1 for _, last in spans[:-1])]
            assert spans[-1][1] == 54
            for (_, (first, last)), events in chains.items():
                assert [event["name"] for event in events] == [f"{APP}.{task}" for task in tasks]
                text = f"{topic}[{number}] {first}..{last} ({last - first + 1} records)"
                assert [event["args"] for event in events] == [text] * len(tasks)


def _chains(
    links: dict[str, dict[str, Any]], group: str, topic: str, number: int
) -> dict[tuple[str, tuple[int, int]], list[dict[str, Any]]]:
    """Chain id with first and last offset as the ids say, and its links in order."""
    pattern = re.compile(rf"({re.escape(f'{group}.{topic}-{number}')}\.(\d+)-(\d+)\.\d+-\d+)-(\d)")
    found: dict[tuple[str, tuple[int, int]], list[dict[str, Any]]] = {}
    for uuid in sorted(links):
        if match := pattern.fullmatch(uuid):
            events = found.setdefault((match[1], (int(match[2]), int(match[3]))), [])
            assert int(match[4]) == len(events) + 1
            events.append(links[uuid])
    return found
