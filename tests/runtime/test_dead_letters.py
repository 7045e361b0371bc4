"""The thread that writes dead letters: the ledger is asked first, failures become words, and it ends in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
import redis

from bridge.core.batching import rows_bytes
from bridge.core.effects import WriteDeadLetters
from bridge.core.events import DeadLettersWritten, EffectFailed, Event
from bridge.devstack import KafkaServer, RedisServer
from bridge.entries import NOTHING_SEEN, Counters, DeadLetter, Failure, Outcome, Owner
from bridge.errors import LanebridgeError
from bridge.kafka.admin import Admin
from bridge.kafka.dead_letters import DeadLetterFailed, DeadLetterProducer
from bridge.kafka.profile import ConsumerSettings
from bridge.ledger.connect import connect
from bridge.ledger.ledger import DispatchCommand, Ledger
from bridge.records import TopicPartition
from bridge.runtime.dead_letters import DeadLetterWriter
from bridge.runtime.mail import Station
from tests.kafka.letters import records_of
from tests.waiting import wait_until

TP = TopicPartition("orders", 1)
LETTER = DeadLetter(
    (5, 1000, b"key", b"value", (("h", b"1"),)),
    "exhausted",
    "no number",
    exception="ValueError",
    traceback="Traceback ...",
    task="store",
    link=2,
    chain="chain-7",
    index=3,
    attempts=4,
    first_failed_ms=11,
    last_failed_ms=12,
)


class Noting:
    """A producer that notes what it is given; `hold` keeps it writing, `refusal` is raised."""

    def __init__(self) -> None:
        self.written: list[tuple[TopicPartition, str, list[DeadLetter]]] = []
        self.hold: threading.Event | None = None
        self.refusal: Exception | None = None
        self.fates: dict[str, LanebridgeError] = {}
        self.closed = False

    def write(
        self, topic: str, lots: Sequence[tuple[TopicPartition, Sequence[DeadLetter]]]
    ) -> list[LanebridgeError | None]:
        if self.refusal is not None:
            raise self.refusal
        self.written += [(tp, topic, list(letters)) for tp, letters in lots]
        if self.hold is not None:
            assert self.hold.wait(60.0)
        return [self.fates.get(topic)] * len(lots)

    def close(self, timeout: float) -> None:
        self.closed = True


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with connect(redis_server.url) as client:
        yield client


@pytest.fixture
def ledger(client: redis.Redis, group_name: str) -> Ledger:
    return Ledger(client, group_name)


@pytest.fixture
def effect(ledger: Ledger) -> WriteDeadLetters:
    """For a lane whose chain has failed at offset 5."""
    owner = ledger.assign(TP, "me", 0).owner
    command = DispatchCommand(TP, owner, 0, "chain", 5, 9, 1, NOTHING_SEEN, 5, Counters(), b"records")
    assert ledger.dispatch([command]) == ["ok"]
    assert ledger.fault(TP, 0, "chain", 1, "", Outcome("failed", 5, Failure(5)))
    return WriteDeadLetters(TP, 3, owner, 0, 8, "chain", "orders.dlq", (LETTER,))


def test_letters_are_written_when_the_ledger_has_noted_that_they_may_be(
    ledger: Ledger, effect: WriteDeadLetters
) -> None:
    events: list[Event] = []
    producer = Noting()

    DeadLetterWriter(ledger, producer, events.append).work([effect])

    assert events == [DeadLettersWritten(TP, 3, 0, 8, is_owner=True)]
    ((tp, topic, (letter,)),) = producer.written
    assert (tp, topic) == (TP, "orders.dlq")
    for name in LETTER.__dataclass_fields__:
        assert getattr(letter, name) == getattr(LETTER, name), name
    assert ledger.read([TP])[TP].lanes[0].disposing


@pytest.mark.parametrize("change", ["another owner", "another bridge with the number", "another chain", "emptied"])
def test_nothing_is_written_for_an_owner_that_is_out_or_a_lane_that_has_moved_on(
    ledger: Ledger, effect: WriteDeadLetters, client: redis.Redis, group_name: str, change: str
) -> None:
    events: list[Event] = []
    producer = Noting()
    owner, chain = effect.owner, effect.chain
    if change == "another owner":
        ledger.assign(TP, "other", 0)
    elif change == "another bridge with the number":
        owner = Owner(owner.number, "other")
    elif change == "another chain":
        chain = "before"
    else:
        client.delete(f"lanebridge:{{{group_name}/orders/1}}")

    late = WriteDeadLetters(TP, 3, owner, 0, 8, chain, "orders.dlq", (LETTER,))
    producer.refusal = AssertionError("there is nothing to write")
    DeadLetterWriter(ledger, producer, events.append).work([late])

    assert events == [DeadLettersWritten(TP, 3, 0, 8, is_owner=False)]
    assert producer.written == []


def test_what_the_broker_refuses_is_told_in_its_words(ledger: Ledger, effect: WriteDeadLetters) -> None:
    events: list[Event] = []
    producer = Noting()
    producer.refusal = DeadLetterFailed("no topic orders.dlq; create it")

    DeadLetterWriter(ledger, producer, events.append).work([effect])

    assert events == [EffectFailed(effect, "no topic orders.dlq; create it")]


def test_without_the_ledger_nothing_is_written(effect: WriteDeadLetters) -> None:
    events: list[Event] = []
    producer = Noting()
    with connect("redis://127.0.0.1:1/0") as nowhere:
        DeadLetterWriter(Ledger(nowhere, "g"), producer, events.append).work([effect])

    ((failed),) = events
    assert isinstance(failed, EffectFailed)
    assert failed.effect is effect
    assert failed.error.startswith("the ledger cannot be reached: ")
    assert producer.written == []


def test_a_writer_that_ends_lets_what_is_being_written_end_and_begins_with_nothing_more(
    ledger: Ledger, effect: WriteDeadLetters
) -> None:
    events: list[Event] = []
    broken: list[BaseException] = []
    producer = Noting()
    producer.hold = threading.Event()
    writer = DeadLetterWriter(ledger, producer, events.append)
    station: Station[WriteDeadLetters] = Station("dead-letters", writer.work, broken.append)
    station.start()
    several = [WriteDeadLetters(TP, 3, effect.owner, 0, n, "chain", "orders.dlq", (LETTER,)) for n in (1, 2, 3)]
    station.give(several[0])
    wait_until(lambda: producer.written, what="the first letter under way")
    for late in several[1:]:
        station.give(late)

    writer.end_soon()
    is_writing = [writer.is_writing]
    assert not station.stop(0.01)
    producer.hold.set()

    assert station.stop(30.0)
    assert [*is_writing, writer.is_writing] == [True, False]
    assert events == [DeadLettersWritten(TP, 3, 0, 1, is_owner=True)]
    assert len(producer.written) == 1
    writer.close(1.0)
    assert (producer.closed, broken) == (True, [])


def test_letters_reach_a_real_topic_and_a_missing_one_is_named_with_the_remedy(
    ledger: Ledger, effect: WriteDeadLetters, kafka: KafkaServer, make_topic: Callable[..., str], topic_name: str
) -> None:
    settings = ConsumerSettings(kafka.bootstrap_servers, "g")
    admin = Admin(settings, timeout=30.0)
    events: list[Event] = []
    writer = DeadLetterWriter(ledger, DeadLetterProducer(settings, admin, group="g", version="1"), events.append)
    there = WriteDeadLetters(TP, 3, effect.owner, 0, 1, "chain", topic_name, (LETTER, LETTER))
    missing = WriteDeadLetters(TP, 3, effect.owner, 0, 2, "chain", f"{topic_name}.nowhere", (LETTER,))
    make_topic(topic_name)
    try:
        writer.work([there, missing])
    finally:
        writer.close(10.0)
        admin.close()

    written, failed = events
    assert written == DeadLettersWritten(TP, 3, 0, 1, is_owner=True)
    assert isinstance(failed, EffectFailed)
    assert f"--create --topic {topic_name}.nowhere" in failed.error
    assert [row[2:4] for row in records_of(kafka.bootstrap_servers, topic_name)] == [(b"key", b"value")] * 2


def test_what_is_for_one_topic_goes_together_and_a_topic_that_was_silent_comes_last(
    ledger: Ledger, effect: WriteDeadLetters
) -> None:
    events: list[Event] = []
    producer = Noting()
    producer.fates["a.dlq"] = DeadLetterFailed("a.dlq is away")
    first, second = replace(effect, topic="a.dlq"), replace(effect, topic="b.dlq")
    writer = DeadLetterWriter(ledger, producer, events.append)

    writer.work([first, second, first])
    assert [topic for _, topic, _ in producer.written] == ["a.dlq", "a.dlq", "b.dlq"]
    failed = EffectFailed(first, "a.dlq is away")
    assert events == [failed, failed, DeadLettersWritten(TP, 3, 0, 8, is_owner=True)]

    producer.written.clear()
    writer.work([first, second])
    assert [topic for _, topic, _ in producer.written] == ["b.dlq", "a.dlq"]


def test_no_more_is_given_to_the_client_at_once_than_it_may_hold(
    ledger: Ledger, effect: WriteDeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.dead_letters.LOT_BYTES", 2 * rows_bytes([LETTER.row]))
    events: list[Event] = []
    calls: list[int] = []

    class Counting(Noting):
        def write(
            self, topic: str, lots: Sequence[tuple[TopicPartition, Sequence[DeadLetter]]]
        ) -> list[LanebridgeError | None]:
            calls.append(len(lots))
            return super().write(topic, lots)

    DeadLetterWriter(ledger, Counting(), events.append).work([effect] * 5)

    assert calls == [2, 2, 1]
