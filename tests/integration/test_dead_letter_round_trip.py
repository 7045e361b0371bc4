"""Records that are hard to carry, into the dead letter topic by a real bridge and back by `lanebridge dlq replay`, with
the bytes of key, value and headers compared at every station: Kafka, the task, the dead letter topic, Kafka again."""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Producer

from bridge.records import HEADERS, KEY, VALUE, Headers, Row
from tests.faults.rig import Process
from tests.integration.apps.journal import digest
from tests.integration.conftest import MakeWorld
from tests.integration.world import ROOT, World
from tests.kafka.letters import records_of

APP = "tests.integration.apps.round_trip"

#: of the source topics, and of their dead letter topics
PARTITIONS, DEAD_PARTITIONS = 3, 2

#: 1 MB that is no text and cannot be compressed to nothing
LARGE = bytes(range(256)) * 4096

Content = tuple[bytes | None, bytes | None, Headers]

RECORDS: dict[str, Content] = {
    "plain": (b"key", b'{"order": 1}', (("trace", b"abc"),)),
    "null key": (None, b"value", ()),
    "null value": (b"key", None, (("why", b"a tombstone"),)),
    "null key and value": (None, None, ()),
    "empty key and value": (b"", b"", ()),
    "repeated headers": (b"key", b"value", (("tag", b"1"), ("other", b"x"), ("tag", b"2"), ("tag", b"1"))),
    "null header values": (b"key", b"value", (("none", None), ("empty", b""), ("none", None))),
    "header values that are no text": (b"key", b"value", (("binary", b"\xff\xfe\x00\x80"), ("latin", b"\xe4\xf6"))),
    "header names that are not ASCII": (b"key", b"value", (("größe", b"5"), ("", b"no name"))),
    "key and value that are no text": (b"\x00\xff\xc3", b"\xff\xd8\xff\xe0\x00", ()),
    "1 MB": (b"large", LARGE, (("size", b"1 MB"),)),
}

#: fits into a topic with Kafka's default limit, but not with the headers of a dead letter
TOO_LARGE = random.Random(1).randbytes(1_048_000)


@dataclass(slots=True)
class Trip:
    """What was found at each station. `sent` is what the source topics held at first, `back` what came after it."""

    world: World
    outputs: dict[str, str] = field(default_factory=dict)
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    sent: dict[str, list[list[Row]]] = field(default_factory=dict)
    letters: dict[str, list[list[Row]]] = field(default_factory=dict)
    after_dry_run: dict[str, list[int]] = field(default_factory=dict)
    back: dict[str, list[list[Row]]] = field(default_factory=dict)
    last_letters: dict[str, list[list[Row]]] = field(default_factory=dict)

    def topic(self, name: str) -> str:
        """`whole` or `large`."""
        return f"{self.world.group}-{name}"

    def note(self, name: str, process: Process) -> None:
        """What a command wrote, and its exit code."""
        self.outputs[name], self.exit_codes[name] = process.log.read_text(), process.exit_code


#: how many partitions each topic has, and its dead letter topic
SIZES = {"whole": (PARTITIONS, DEAD_PARTITIONS), "large": (1, 1)}


@pytest.fixture(scope="module")
def trip(
    make_world: MakeWorld, make_topic: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trip]:
    """There and back."""
    with make_world(tmp_path_factory.mktemp("round-trip"), "round-trip") as world:
        made = Trip(world)
        repaired = world.directory / "repaired"
        about = {"TEST_TOPIC": world.group, "TEST_REPAIRED": str(repaired), "BRIDGE_BRAKE_LIMIT": "0"}
        for name, (partitions, dead_partitions) in SIZES.items():
            config = {"max.message.bytes": "4000000"} if name == "whole" else {}
            make_topic(made.topic(name), partitions, config)
            make_topic(f"{made.topic(name)}.dlq", dead_partitions, config)
        _produce(world, made.topic("whole"), RECORDS.values())
        _produce(world, made.topic("large"), [(b"0", b"small", ()), (b"1", TOO_LARGE, ()), (b"2", b"small", ())])
        made.sent = _contents(made, "", 0)
        world.worker(APP, "-P", "solo", **about)

        made.note("first run", world.bridge(APP, **about))
        made.letters = _contents(made, ".dlq", 1)

        def dlq(name: str, *arguments: str) -> None:
            made.note(name, world.run("dlq", "lanebridge", "dlq", *arguments, "-A", APP, cwd=ROOT, **about))

        whole = made.topic("whole")
        dlq("list", "list")
        dlq("list as json", "list", "--json")
        dlq("show", "show", f"{whole}.dlq", "0", "0")
        dlq("show by source", "show", "--source", f"{made.topic('large')}/0/1")
        dlq("show nothing", "show", f"{whole}.dlq", "0", "999")
        dlq("dry run", "replay", "--dry-run")
        made.after_dry_run = {name: world.ends(made.topic(name), SIZES[name][0]) for name in SIZES}
        dlq("replay", "replay")
        dlq("replay again", "replay")
        repaired.touch()
        made.note("second run", world.bridge(APP, **about))
        everything = _contents(made, "", 0)
        for name, before in made.sent.items():
            made.back[name] = [rows[len(old) :] for rows, old in zip(everything[name], before, strict=True)]
        made.last_letters = _contents(made, ".dlq", 1)
        yield made


def _produce(world: World, topic: str, records: Iterable[Content]) -> None:
    producer = Producer({"bootstrap.servers": world.servers, "message.max.bytes": 4_000_000, "log_level": 0})
    partitions = SIZES[topic.rpartition("-")[2]][0]
    for number, (key, value, headers) in enumerate(records):
        producer.produce(topic, value, key, partition=number % partitions, headers=list(headers))
    assert producer.flush(30.0) == 0


def _contents(trip: Trip, suffix: str, size: int) -> dict[str, list[list[Row]]]:
    """What each topic of this kind holds, by partition."""
    return {
        name: [records_of(trip.world.servers, f"{trip.topic(name)}{suffix}", number) for number in range(sizes[size])]
        for name, sizes in SIZES.items()
    }


def _letter_of(trip: Trip, name: str, partition: int, offset: int) -> Row:
    """The only dead letter of a record."""
    where = {"partition": b"%d" % partition, "offset": b"%d" % offset}
    found = [
        row
        for row in trip.letters[name][partition % SIZES[name][1]]
        if all(dict(row[HEADERS])[f"__dlq.errors.{part}"] == value for part, value in where.items())
    ]
    assert len(found) == 1
    return found[0]


every_record = pytest.mark.parametrize("number", range(len(RECORDS)), ids=list(RECORDS))


def _of(rows: list[list[Row]], number: int) -> Row:
    """The record with this number, as dealt to the partitions in turn."""
    return rows[number % PARTITIONS][number // PARTITIONS]


# --- the way there and back -------------------------------------------------------------------------------------------


@every_record
def test_the_dead_letter_has_the_bytes_of_the_record_and_after_its_headers_ours(trip: Trip, number: int) -> None:
    key, value, headers = list(RECORDS.values())[number]
    assert _of(trip.sent["whole"], number)[KEY:] == (key, value, headers)
    letter = _letter_of(trip, "whole", number % PARTITIONS, number // PARTITIONS)
    assert letter[KEY] == key
    assert letter[VALUE] == value
    assert letter[HEADERS][: len(headers)] == headers
    added = letter[HEADERS][len(headers) :]
    assert {name.partition(".")[0] for name, _ in added} == {"__dlq", "lanebridge"}
    assert len(dict(added)) == len(added)


@every_record
def test_the_replayed_record_has_the_same_bytes_and_a_counter(trip: Trip, number: int) -> None:
    key, value, headers = list(RECORDS.values())[number]
    back = _of(trip.back["whole"], number)
    assert back[KEY:] == (key, value, (*headers, ("lanebridge.replays", b"1")))


@every_record
def test_the_task_succeeds_with_the_replayed_record_and_gets_the_same_bytes(trip: Trip, number: int) -> None:
    key, value, headers = list(RECORDS.values())[number]
    place = {"topic": trip.topic("whole"), "partition": number % PARTITIONS}
    offset = _of(trip.back["whole"], number)[0]
    (entry,) = trip.world.journal(**place, offset=offset)
    assert (entry["key"], entry["value"]) == (digest(key), digest(value))
    assert entry["headers"] == [[name, digest(each)] for name, each in (*headers, ("lanebridge.replays", b"1"))]


def test_every_record_was_given_up_once_and_came_back_once_in_order(trip: Trip) -> None:
    assert [len(rows) for rows in trip.sent["whole"]] == [len(rows) for rows in trip.back["whole"]] == [4, 4, 3]
    assert [len(rows) for rows in trip.letters["whole"]] == [7, 4]
    assert len(trip.world.journal(topic=trip.topic("whole"))) == len(RECORDS)
    assert trip.last_letters == trip.letters
    assert trip.world.committed(trip.topic("whole"), PARTITIONS) == [8, 8, 6]


def test_bridges_and_commands_end_with_their_exit_codes(trip: Trip) -> None:
    assert {name for name, code in trip.exit_codes.items() if code != 0} == {"show nothing"}
    assert trip.exit_codes["show nothing"] == 1


# --- what the commands say --------------------------------------------------------------------------------------------


def test_dlq_list_counts_them(trip: Trip) -> None:
    first, *lines = trip.outputs["list"].splitlines()
    assert first.startswith("14 dead letters in ")
    rows = {words[0]: words[1:7] for words in map(str.split, lines) if words}
    assert rows[f"{trip.topic('whole')}.dlq"] == [trip.topic("whole"), "exhausted", "ConnectionError", "11", "0", "0"]
    assert rows[f"{trip.topic('large')}.dlq"] == [trip.topic("large"), "exhausted", "ConnectionError", "3", "0", "1"]


def test_dlq_list_as_json_says_the_same(trip: Trip) -> None:
    found: list[dict[str, Any]] = json.loads(trip.outputs["list as json"])["dead_letters"]
    counts = {each["source_topic"]: (each["count"], each["replayed"], each["stubs"]) for each in found}
    assert counts == {trip.topic("whole"): (11, 0, 0), trip.topic("large"): (3, 0, 1)}
    assert {each["disposition"] for each in found} == {"exhausted"}


def test_dlq_show_prints_where_it_comes_from_why_and_what_it_is(trip: Trip) -> None:
    output = trip.outputs["show"]
    letter = trip.letters["whole"][0][0]
    source = dict(letter[HEADERS])["__dlq.errors.partition"] or b""
    assert f"{trip.topic('whole')}.dlq[0] offset 0, written " in output
    reason = "exhausted, ConnectionError: no database for 0"
    assert f"was {trip.topic('whole')}[{source.decode()}] offset 0: {reason}" in output
    assert "lanebridge.task" in output
    assert f"{APP}.read" in output


def test_dlq_show_finds_a_stub_by_its_source_and_says_what_it_lacks(trip: Trip) -> None:
    output = trip.outputs["show by source"]
    assert f"was {trip.topic('large')}[0] offset 1: exhausted" in output
    assert "A STUB: the record was too large for this topic. Not here: value (1048000 bytes)" in output
    assert "Value: null" in output


def test_dlq_show_of_what_is_not_there_is_one_line(trip: Trip) -> None:
    (line,) = trip.outputs["show nothing"].splitlines()
    assert line.startswith("Error: ")
    assert f"{trip.topic('whole')}.dlq" in line


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(trip: Trip) -> None:
    assert trip.outputs["dry run"].splitlines()[0] == "13 dead letters would be replayed:"
    assert trip.after_dry_run == {"whole": [4, 4, 3], "large": [3]}


def test_replay_says_what_went_where_and_refuses_the_stub(trip: Trip) -> None:
    first, *lines = trip.outputs["replay"].splitlines()
    assert first == "13 dead letters replayed:"
    counts = {line.split()[-1]: int(line.split()[0]) for line in lines if "  to " in line}
    whole, large = trip.topic("whole"), trip.topic("large")
    assert counts == {
        f"{whole}[0]": 4,
        f"{whole}[1]": 4,
        f"{whole}[2]": 3,
        f"{large}[0]": 2,
    }
    assert lines[-1] == "1 refused: a stub, the record itself is not in the dead letter"


def test_a_second_replay_writes_nothing(trip: Trip) -> None:
    assert trip.outputs["replay again"].splitlines()[0] == "0 dead letters replayed."


# --- a record that is too large for the dead letter topic -------------------------------------------------------------


def test_the_stub_of_a_record_that_is_too_large_has_all_but_the_value_and_says_so(trip: Trip) -> None:
    stub = _letter_of(trip, "large", 0, 1)
    assert stub[KEY:HEADERS] == (b"1", None)
    about = dict(stub[HEADERS])
    assert about["lanebridge.omitted"] == b"value (1048000 bytes)"
    assert about["lanebridge.disposition"] == b"exhausted"
    assert "is written as a stub, without value (1048000 bytes)" in trip.outputs["first run"]


def test_its_neighbours_are_whole_and_come_back_without_it(trip: Trip) -> None:
    assert [row[VALUE] for row in trip.letters["large"][0]] == [b"small", None, b"small"]
    assert [row[KEY] for row in trip.back["large"][0]] == [b"0", b"2"]
    assert trip.world.committed(trip.topic("large")) == [5]
