"""The failure table on real parts: what ran how often and in which order, what was committed when, and what became a
dead letter. All cells run at once, in one bridge and one worker; the tests read what was recorded.

Half way the bad records are held: the dead letter topic does not exist yet, and some second attempts wait at a gate.
What is handled and committed then is exact. Meanwhile a watcher looks at the committed offsets all the time.
"""

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from bridge.records import HEADERS, KEY, Row
from tests.integration.conftest import MakeWorld
from tests.integration.failure_cells import CELLS, MAIN, SHAPES, Cell
from tests.integration.failure_model import Call, story_of
from tests.integration.world import ROOT, World
from tests.kafka.letters import records_of
from tests.waiting import wait_until

APP = "tests.integration.apps.failure_table"

#: of the dead letter topic: fewer than the topics have
DEAD_PARTITIONS = 4

#: of the worker: what waits at the gate takes one each
PROCESSES = 2 + sum(cell.is_gated for cell in CELLS)

STORIES = {cell: story_of(cell) for cell in CELLS}

Place = tuple[str, int]
Entries = dict[Place, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Sight:
    """Committed offsets: they were so at some time before `at`."""

    at: float
    offsets: dict[Place, int]


class Watcher(threading.Thread):
    """Looks at what a group has committed, again and again."""

    def __init__(self, servers: str, group: str, places: Iterable[Place]) -> None:
        super().__init__(daemon=True)
        self._client = Consumer({"bootstrap.servers": servers, "group.id": group, "log_level": 0})
        self._places = [TopicPartition(*place) for place in places]
        self._enough = threading.Event()
        self.sights: list[Sight] = []

    def look(self) -> dict[Place, int]:
        """What is committed now."""
        answer = wait_until(self._ask, what="the committed offsets")
        return {(each.topic, each.partition): max(each.offset, 0) for each in answer or ()}

    def _ask(self) -> list[TopicPartition] | None:
        try:
            return self._client.committed(self._places, 30.0)
        except KafkaException:  # a young broker's coordinator may still be on its way
            return None

    def run(self) -> None:
        """Until somebody has seen enough."""
        while not self._enough.wait(0.02):
            offsets = self.look()
            if not self.sights or offsets != self.sights[-1].offsets:
                self.sights.append(Sight(time.monotonic(), offsets))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join(60.0)
        self._client.close()


@dataclass(slots=True)
class Recorded:
    """What has happened: `held` while the bad records were held, `entries` in all."""

    group: str
    exit_code: int | None = None
    held: Entries = field(default_factory=dict)
    held_offsets: dict[Place, int] = field(default_factory=dict)
    entries: Entries = field(default_factory=dict)
    offsets: dict[Place, int] = field(default_factory=dict)
    sights: list[Sight] = field(default_factory=list)
    letters: dict[int, list[Row]] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What the names of all its topics begin with."""
        return self.group

    def place(self, cell: Cell) -> Place:
        """The cell's topic and partition."""
        return f"{self.prefix}-{cell.shape.name}", cell.partition


@pytest.fixture(scope="module")
def recorded(
    make_world: MakeWorld, make_topic: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """All cells, from the first record to the last."""
    with make_world(tmp_path_factory.mktemp("table"), "table") as world:
        found = Recorded(world.group)
        for shape in SHAPES:
            make_topic(f"{found.prefix}-{shape.name}", len(shape.cells))
        _produce(world, found)
        os.mkfifo(gate := world.directory / "gate")
        about = {"TEST_TOPIC": found.prefix, "TEST_GATE": str(gate), "BRIDGE_BRAKE_LIMIT": "0"}
        world.worker(APP, "-P", "prefork", "-c", str(PROCESSES), **about)
        with Watcher(world.servers, world.group, map(found.place, CELLS)) as watcher:
            bridge = world.start("bridge", "lanebridge", "-A", APP, "run", "--until-idle", cwd=ROOT, **about)
            _as_far_as_possible(lambda: _is_held(found, watcher, world))
            found.held, found.held_offsets = _by_place(world), watcher.look()

            dead_letters = make_topic(f"{found.prefix}-dead", DEAD_PARTITIONS)
            opened = os.open(gate, os.O_RDWR)
            _as_far_as_possible(lambda: bridge.exit_code is not None)
            os.close(opened)
            found.exit_code, found.offsets = bridge.exit_code, watcher.look()
        found.entries, found.sights = _by_place(world), watcher.sights
        found.letters = {number: records_of(world.servers, dead_letters, number) for number in range(DEAD_PARTITIONS)}
        yield found


def _as_far_as_possible(condition: Callable[[], bool]) -> None:
    """If it never becomes true, the tests say which cells are wrong."""
    with contextlib.suppress(AssertionError):
        wait_until(condition, 110.0)


def _produce(world: World, found: Recorded) -> None:
    producer = Producer({"bootstrap.servers": world.servers, "linger.ms": 20, "log_level": 0})
    for cell in CELLS:
        for key, value in cell.records:
            producer.produce(found.place(cell)[0], value, key, partition=cell.partition)
        producer.poll(0)
    assert producer.flush(60.0) == 0


def _is_held(found: Recorded, watcher: Watcher, world: World) -> bool:
    if not watcher.sights:
        return False
    offsets = watcher.sights[-1].offsets
    if any(offsets[found.place(cell)] != STORIES[cell].held_at for cell in CELLS):
        return False
    entries = _by_place(world)
    return all(len(entries[found.place(cell)]) == len(_flat(_held(cell))) for cell in CELLS)


def _by_place(world: World) -> Entries:
    found: Entries = defaultdict(list)
    for entry in world.journal():
        found[entry["topic"], entry["partition"]].append(entry)
    return found


def _held(cell: Cell) -> list[list[Call]]:
    """The calls of each lane while the bad record is held: the other lane has gone on to its end."""
    return [STORIES[cell].held, *STORIES[cell].lanes[1:]]


def _flat(lanes: list[list[Call]]) -> list[Call]:
    return [call for lane in lanes for call in lane]


def _calls(cell: Cell, entries: list[dict[str, Any]]) -> list[list[Call]]:
    """What was written down, by lane; each call of a BatchTask has one attempt and one data for all its records."""
    lanes: list[list[Call]] = [[] for _ in range(cell.lanes)]
    for entry in entries:
        (lane,) = {offset % cell.lanes for offset in entry["offsets"]}
        (attempt,) = set(entry["attempts"])
        (data,) = {tuple(each or ()) for each in entry["data"]}
        lanes[lane].append(Call(entry["link"], tuple(entry["offsets"]), attempt, data))
    return lanes


every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)


def test_the_table_is_whole() -> None:
    assert len({(cell.shape, cell.position, cell.way) for shape in MAIN for cell in shape.cells}) == 2 * 3 * 3 * 2 * 3


def test_the_bridge_ends_clean(recorded: Recorded) -> None:
    assert recorded.exit_code == 0


@every_cell
def test_each_record_runs_as_often_and_in_the_order_that_the_rules_say(recorded: Recorded, cell: Cell) -> None:
    assert _calls(cell, recorded.entries[recorded.place(cell)]) == STORIES[cell].lanes


@every_cell
def test_a_bad_record_holds_what_follows_it_in_its_lane_and_nothing_else(recorded: Recorded, cell: Cell) -> None:
    assert _calls(cell, recorded.held[recorded.place(cell)]) == _held(cell)


@every_cell
def test_the_commit_stands_at_the_first_unfinished_record_until_that_is_finished(
    recorded: Recorded, cell: Cell
) -> None:
    assert recorded.held_offsets[recorded.place(cell)] == STORIES[cell].held_at
    assert recorded.offsets[recorded.place(cell)] == len(cell.records)


@every_cell
def test_nothing_is_ever_committed_before_it_is_finished(recorded: Recorded, cell: Cell) -> None:
    place = recorded.place(cell)
    last_runs = {offset: entry["at"] for entry in recorded.entries[place] for offset in entry["offsets"]}
    committed = [0]
    for sight in recorded.sights:
        offset = sight.offsets[place]
        committed.append(offset)
        late = [each for each in range(committed[-2], offset) if last_runs[each] > sight.at]
        assert not late, f"committed {offset} before the last run of {late}"
    assert committed == sorted(committed)


@every_cell
def test_the_dead_letter_topic_has_the_record_that_was_given_up_and_says_why(recorded: Recorded, cell: Cell) -> None:
    topic, partition = recorded.place(cell)
    found = [row for row in recorded.letters[partition % DEAD_PARTITIONS] if _source(row) == (topic, partition)]
    expected = STORIES[cell].letter
    assert len(found) == (expected is not None)
    if expected is None:
        return
    assert found[0][KEY:HEADERS] == cell.records[expected.offset]
    headers = {name: (value or b"").decode() for name, value in found[0][HEADERS]}
    error = "Final" if cell.way == "final" else "Broken"
    task = "each" if cell.shape.is_record_task(cell.shape.at) else "every"
    assert "" < headers["lanebridge.first.failure"] <= headers["lanebridge.last.failure"]
    assert (
        headers.items()
        >= {
            "__dlq.errors.offset": str(expected.offset),
            "__dlq.errors.group": recorded.group,
            "__dlq.errors.delivery.count": str(expected.chains),
            "__dlq.errors.message": f"record {expected.offset} of {topic}",
            "lanebridge.disposition": expected.disposition,
            "lanebridge.exception": error,
            "lanebridge.task": f"{APP}.{task}",
            "lanebridge.link": str(cell.shape.at),
            "lanebridge.index": str(expected.index),
        }.items()
    )


def test_nothing_else_is_in_the_dead_letter_topic(recorded: Recorded) -> None:
    letters = [_source(row) for rows in recorded.letters.values() for row in rows]
    assert sorted(letters) == sorted(recorded.place(cell) for cell in CELLS if STORIES[cell].letter)


def _source(row: Row) -> Place:
    headers = dict(row[HEADERS])
    return (headers["__dlq.errors.topic"] or b"").decode(), int(headers["__dlq.errors.partition"] or b"-1")
