"""What goes wrong with failures themselves: a declaration that is refused, a value that cannot travel, a record that
cannot be decoded, an on_failed task that fails. Nothing is lost, and somebody is told in one line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.records import HEADERS, VALUE, Row
from tests.faults.rig import Process
from tests.integration.conftest import MakeWorld
from tests.integration.world import World, write_files
from tests.kafka.letters import records_of

APP = "tests.integration.apps.odd_ends"

#: one JSON text per record, but for the bad one
VALUES = [b"0", b"1", b"bad", b"3", b"4"]
BAD = VALUES.index(b"bad")
TOPICS = ("cursor", "json", "two", "fail", "dead-letter", "stop")

#: a batch with two bad ones, and one without
TWO = [b"bad", b"1", b"2", b"3", b"bad", b"5", b"6", b"7", b"8", b"9"]

# --- declarations -----------------------------------------------------------------------------------------------------

SHOP = """
    from celery import Celery
    from bridge import BatchTask, Bridge, RecordTask

    app = Celery("shop")
    bridge = Bridge(app, group_id="shop")

    @app.task(base=BatchTask)
    def store(batch): ...

    @app.task(base=RecordTask)
    def parse(record): ...

    async def fetch(record): ...

    bridge.pipeline("orders", chain=store.s(), {option})
"""

REFUSED = {
    "on_failed is no task": (
        'on_failed="decide"',
        2,
        "on_failed=str is no task. Remedy: name a BatchTask, on_failed=decide.s().",
    ),
    "two answers": (
        'on_failed=store.s(), on_exhausted="skip"',
        2,
        "on_exhausted='skip' and on_failed are both set: the task decides for each record. Remedy: leave one of them "
        "out.",
    ),
    "on_failed is a RecordTask": (
        "on_failed=parse.s()",
        1,
        "on_failed (shop.parse) is a RecordTask. Remedy: @app.task(base=BatchTask); it gets the records that are given "
        "up, with the reasons in batch.failures, and returns what to do with each.",
    ),
    "an unknown word for decode": (
        'decode="avro"',
        2,
        'decode=\'avro\': decode must be "raw", "json" or a function decode(record) -> object. Set it to "json", for '
        "example, or leave it out for the default raw.",
    ),
    "decode awaits": ("decode=fetch", 2, "decode=<function>: tasks do not await. Make it an ordinary function."),
}


@pytest.mark.parametrize(("option", "exit_code", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_a_wrong_declaration_is_told_before_anything_is_connected(
    world: World, tmp_path: Path, option: str, exit_code: int, reason: str
) -> None:
    directory = write_files(tmp_path / "shop", {"shop.py": SHOP.format(option=option)})
    bridge = world.run("bridge", "lanebridge", "-A", "shop", "run", cwd=directory)
    assert bridge.log.read_text().splitlines() == [f"Error: Pipeline 'orders': {reason}"]
    assert bridge.exit_code == exit_code


# --- records ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ends:
    """Topics with bad records, carried as far as possible."""

    world: World
    bridge: Process

    def topic(self, name: str) -> str:
        """Its whole name."""
        return f"{self.world.group}-{name}"

    def offsets(self, task: str, name: str) -> list[int]:
        """The records that a task got, in order."""
        entries = self.world.journal(task=task, topic=self.topic(name))
        return [each for entry in entries for each in entry.get("offsets", [entry.get("offset")])]

    def letter(self, name: str) -> dict[str, str]:
        """The headers of the only dead letter, which is the bad record's."""
        (row,) = self.letters(name)
        assert row[VALUE] == b"bad"
        return {name: (value or b"").decode() for name, value in row[HEADERS]}

    def letters(self, name: str) -> list[Row]:
        """All of them."""
        return records_of(self.world.servers, f"{self.topic(name)}.dlq")

    def lines(self, *parts: str) -> list[str]:
        """What the bridge has said with all these words."""
        return [line for line in self.bridge.log.read_text().splitlines() if all(part in line for part in parts)]


@pytest.fixture(scope="module")
def ends(
    make_world: MakeWorld, make_topic: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ends]:
    """With what became of the records."""
    with make_world(tmp_path_factory.mktemp("odd-ends"), "odd-ends") as world:
        for name in TOPICS:
            make_topic(f"{world.group}-{name}.dlq")
            world.produce(make_topic(f"{world.group}-{name}"), TWO if name == "two" else VALUES)
        about = {"TEST_TOPIC": world.group, "BRIDGE_BRAKE_LIMIT": "0"}
        world.worker(APP, "-P", "solo", **about)
        yield Ends(world, world.bridge(APP, **about))


def test_a_return_value_that_cannot_travel_is_dead_lettered_without_a_retry(ends: Ends) -> None:
    assert ends.offsets("look_up", "cursor") == [0, 1, 2, 3, 4]
    assert ends.offsets("store", "cursor") == [0, 1, 3, 4]
    letter = ends.letter("cursor")
    assert letter["lanebridge.disposition"] == "exhausted"
    assert letter["__dlq.errors.delivery.count"] == "1"
    assert letter["lanebridge.task"] == f"{APP}.look_up"
    for text in (letter["__dlq.errors.message"], *ends.lines("dead_letter", ends.topic("cursor"))):
        assert f"{APP}.look_up" in text
        assert "Cursor" in text
    assert ends.world.committed(ends.topic("cursor")) == [5]


def test_a_record_that_cannot_be_decoded_reaches_no_task_and_the_rest_goes_on(ends: Ends) -> None:
    assert ends.offsets("store", "json") == [0, 1, 3, 4]
    letter = ends.letter("json")
    assert letter["lanebridge.disposition"] == "undecodable"
    assert letter["lanebridge.exception"] == "JSONDecodeError"
    assert letter["__dlq.errors.delivery.count"] == "1"
    assert ends.world.committed(ends.topic("json")) == [5]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fail", "LookupError: nobody to ask"),
        ("dead-letter", "NoDecision: it returned 'dead-letter' for a record"),
    ],
)
def test_when_the_on_failed_task_fails_the_record_is_dead_lettered_and_the_bridge_says_why(
    ends: Ends, name: str, error: str
) -> None:
    assert ends.offsets("decide", name) == [BAD]
    assert ends.offsets("check", name) == [0, 1, 2, 2, 2, 3, 4]
    letter = ends.letter(name)
    assert letter["__dlq.errors.message"] == f"record {BAD} is bad"
    assert letter["lanebridge.task"] == f"{APP}.check"
    (line,) = ends.lines(" ERROR ", ends.topic(name), f"on_failed {APP}.decide")
    assert error in line
    assert ends.world.committed(ends.topic(name)) == [5]


def test_stop_stops_the_lane_before_the_record_and_the_bridge_ends_with_3(ends: Ends) -> None:
    assert ends.offsets("decide", "stop") == [BAD]
    assert ends.offsets("check", "stop") == [0, 1, 2, 2, 2]
    assert ends.world.committed(ends.topic("stop")) == [BAD]
    assert ends.letters("stop") == []
    assert ends.lines(" ERROR ", "stopped", f"{ends.topic('stop')}[0]", f"ValueError: record {BAD} is bad")
    assert ends.bridge.exit_code == 3


def test_two_bad_records_of_a_batch_are_found_one_after_the_other(ends: Ends) -> None:
    batches = [entry["offsets"] for entry in ends.world.journal(task="check_all")]
    assert batches == [
        *[[0, 1, 2, 3, 4]] * 3,
        *[[0, 1, 2], [0, 1], [0]],
        *[[1, 2, 3, 4], [1, 2], [3], [4]],
        [5, 6, 7, 8, 9],
    ]
    letters = [{name: (value or b"").decode() for name, value in row[HEADERS]} for row in ends.letters("two")]
    assert [each["__dlq.errors.offset"] for each in letters] == ["0", "4"]
    # the failed chains of the batch until then: it does not say with which record it fails
    assert [each["__dlq.errors.delivery.count"] for each in letters] == ["6", "8"]
    assert ends.world.committed(ends.topic("two")) == [10]
