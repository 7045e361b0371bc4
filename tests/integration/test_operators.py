"""Operators and three real bridges: what the command line asks for reaches the one that has the lane, outlives it, is
written down, and loses or repeats nothing."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from redis import Redis

from bridge.ledger.ledger import Ledger
from bridge.ops.state import Lane, State, decode_state, merge
from tests.faults.rig import Process
from tests.integration.world import ROOT, World
from tests.waiting import wait_until

APP = "tests.integration.apps.operated"
PARTITIONS = 6


class Office:
    """Three bridges and a worker on a topic of six partitions."""

    def __init__(self, world: World, topic: str) -> None:
        self.world = world
        self.topic = topic
        self.repaired = world.directory / "repaired"
        self._env = {"TEST_TOPIC": topic, "TEST_REPAIRED": str(self.repaired), "BRIDGE_SESSION_TIMEOUT": "6"}
        self._client = Redis.from_url(world.redis_url)
        self._ledger = Ledger(self._client, world.group)
        world.worker(APP, "-P", "solo", **self._env)
        run = ("lanebridge", "-A", APP, "run")
        logs = {"BRIDGE_LOG_FORMAT": "json"}
        self.bridges = [world.start("bridge", *run, cwd=ROOT, **self._env, **logs) for _ in range(3)]
        wait_until(lambda: len(set(self.owners().values())) == 3 and len(self.owners()) == PARTITIONS, 60.0, "sharing")

    def close(self) -> None:
        self._client.close()

    # --- what is shown -----------------------------------------------------------------------------------------------

    def state(self) -> State:
        return merge([decode_state(blob) for blob in self._ledger.states().values()])

    def lane(self, partition: int) -> Lane | None:
        """The only lane of the partition; None while no bridge has it."""
        return next((lane for lane in self.state().lanes if lane.partition == partition), None)

    def owners(self) -> dict[int, str]:
        """Which bridge has which partition, of those that are ready."""
        return {each.partition: each.owner for each in self.state().partitions if each.stage == "active"}

    def wait_for(self, partition: int, **about: object) -> Lane:
        """Until the partition's lane is so."""

        def look() -> Lane | None:
            lane = self.lane(partition)
            return lane if lane and all(getattr(lane, name) == value for name, value in about.items()) else None

        found = wait_until(look, 60.0, f"partition {partition} with {about}")
        assert found is not None
        return found

    def handled(self, partition: int | None = None) -> Counter[tuple[int, int]]:
        """How often each record was done."""
        about = {"done": True} if partition is None else {"done": True, "partition": partition}
        return Counter((entry["partition"], entry["offset"]) for entry in self.world.journal(**about))

    # --- what is done ------------------------------------------------------------------------------------------------

    def produce(self, *values: str, partition: int | None = None) -> None:
        """The values to this partition, or to each."""
        producer = Producer({"bootstrap.servers": self.world.servers, "log_level": 0})
        for place in range(PARTITIONS) if partition is None else [partition]:
            for value in values:
                producer.produce(self.topic, value, partition=place)
        assert producer.flush(30.0) == 0

    def command(self, *arguments: str, code: int = 0) -> str:
        """What a command prints."""
        process = self.world.run(arguments[0], "lanebridge", "-A", APP, *arguments, cwd=ROOT, **self._env)
        assert process.exit_code == code, process.tail()
        return process.log.read_text()

    def bridge_of(self, partition: int) -> Process:
        """The process that has the partition; a bridge's id holds its pid."""
        pid = int(self.owners()[partition].split("-")[-2])
        return next(bridge for bridge in self.bridges if bridge.pid == pid)

    def logged(self, action: str) -> list[dict[str, Any]]:
        """What the bridges have logged; every line must be a document."""
        lines = [json.loads(line) for bridge in self.bridges for line in bridge.log.read_text().splitlines()]
        return [line for line in lines if line["action"] == action]

    def audit(self) -> list[tuple[str, str, str, int, str]]:
        lines = json.loads(self.command("audit", "--json"))["audit"]
        return [(each["who"], each["action"], each["target"], each["offset"], each["result"]) for each in lines]

    def wait_until_committed(self) -> None:
        """Until the group has committed everything."""
        ends = self.world.ends(self.topic, PARTITIONS)
        wait_until(lambda: self.world.committed(self.topic, PARTITIONS) == ends, 60.0, "all is committed")


@pytest.fixture
def office(world: World, make_topic: Callable[..., str]) -> Iterator[Office]:
    opened = Office(world, make_topic(f"{world.group}-t", PARTITIONS))
    yield opened
    opened.close()


def test_a_pause_reaches_the_owner_outlives_it_and_ends_when_it_is_resumed(office: Office) -> None:
    target = f"{office.topic}/2"
    said = office.command("pause", target, "--as", "anna", "--note", "upgrade")
    assert f"{target} is paused" in said
    assert (office.wait_for(2, state="paused").paused or "").startswith(f"{target} is paused by anna since ")

    office.produce("good", "good", "good")
    office.wait_for(2, state="paused", buffered=3)
    others = {(partition, offset) for partition in range(PARTITIONS) if partition != 2 for offset in range(3)}
    wait_until(lambda: set(office.handled()) == others, 60.0, "the other partitions")

    first = office.owners()[2]
    office.bridge_of(2).kill_group()
    wait_until(lambda: office.owners().get(2, first) != first, 60.0, "a new owner")
    office.wait_for(2, state="paused", buffered=3)
    office.produce("good")
    wait_until(lambda: len(office.handled()) == len(others) + 5, 60.0, "the records behind")
    office.wait_for(2, state="paused", buffered=4)
    assert not office.handled(2)

    office.command("resume", target, "--as", "ben")
    office.wait_until_committed()
    assert office.handled() == Counter((partition, offset) for partition in range(PARTITIONS) for offset in range(4))
    assert office.audit() == [("anna", "pause", target, -1, ""), ("ben", "resume", target, -1, "")]


def test_retry_and_skip_reach_the_owners_and_each_is_answered_once(office: Office) -> None:
    office.produce("good", "broken", "good", partition=0)
    office.produce("good", "bad", "good", partition=3)
    for partition in (0, 3):
        office.wait_for(partition, state="retrying", at_stake=(1,), first_unfinished=1, attempt=1)
    owners = office.owners()

    said = office.command("retry", f"{office.topic}/0", "--as", "anna")
    assert said == f"{office.topic}/0/0: it is tried again now\n"
    office.wait_for(0, state="stopped", attempt=2)
    office.repaired.touch()
    office.command("retry", f"{office.topic}/0", "--as", "anna")
    said = office.command("skip", f"{office.topic}/3", "--yes", "--as", "ben")
    assert "after 1 of 2 attempts: " in said
    assert "ValueError: bad cannot be handled" in said

    office.wait_until_committed()
    tries = [(each["offset"], each["done"]) for each in office.world.journal(partition=0)]
    assert tries == [(0, True), (1, False), (1, False), (1, True), (2, True)]
    tries = [(each["offset"], each["done"]) for each in office.world.journal(partition=3)]
    assert tries == [(0, True), (1, False), (2, True)]
    retried, skipped = f"{office.topic}/0/0", f"{office.topic}/3/0"
    assert office.audit() == [
        ("anna", "retry", retried, 1, ""),
        (owners[0], "retry", retried, 1, "it is tried again now"),
        ("anna", "retry", retried, 1, ""),
        (owners[0], "retry", retried, 1, "it is tried again now, as if for the first time"),
        ("ben", "skip", skipped, 1, ""),
        (owners[3], "skip", skipped, 1, "record 1 is skipped"),
    ]
    places = [(line["topic"], line["partition"], line["lane"], line["attempt"]) for line in office.logged("retry")]
    assert sorted(places) == [(office.topic, 0, 0, 1), (office.topic, 3, 0, 1)]
    assert len({line["chain"] for line in office.logged("retry")}) == 2


def test_what_the_owner_could_not_answer_is_done_by_the_next_one(office: Office) -> None:
    office.produce("good", "bad", "good")
    for partition in range(PARTITIONS):
        office.wait_for(partition, state="retrying", at_stake=(1,))
    first, owner = office.owners()[4], office.bridge_of(4)

    owner.signal(signal.SIGSTOP)
    said = office.command("skip", f"{office.topic}/4", "--yes", "--timeout", "0", "--as", "anna", code=1)
    assert f"To take it back: lanebridge skip {office.topic}/4/0 --withdraw" in said
    owner.kill_group()
    wait_until(lambda: len(office.handled(4)) == 2, 60.0, "the record behind")

    target = f"{office.topic}/4/0"
    # the answer is written by a thread of its own: the record behind may be seen first
    wait_until(lambda: len(office.audit()) == 2, 60.0, "the answer")
    asked, answered = office.audit()
    assert asked == ("anna", "skip", target, 1, "")
    assert answered[1:] == ("skip", target, 1, "record 1 is skipped")
    assert answered[0] not in {"anna", first}
    wait_until(lambda: office.world.committed(office.topic, PARTITIONS)[4] == 3, 60.0, "all of it is committed")
    assert office.handled() == Counter({**dict.fromkeys(((n, 0) for n in range(PARTITIONS)), 1), (4, 2): 1})
