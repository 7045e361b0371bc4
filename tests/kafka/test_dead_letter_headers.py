"""What a dead letter's headers say, and that they never take more room than they may."""

from __future__ import annotations

import struct

import pytest

from bridge.kafka.dead_letter_headers import (
    ADDED_BYTES,
    About,
    Profile,
    Sender,
    letter_headers,
    read_headers,
    record_headers,
    replayed_headers,
    replays_of,
)
from bridge.records import Headers, TopicPartition
from tests.kafka.letters import letter, row

TP = TopicPartition("orders", 5)
KAFKA, SPRING = Sender("billing", "1.2.3"), Sender("billing", "1.2.3", "spring")
PROFILES: tuple[Profile, ...] = ("kafka", "spring")


def test_the_default_profile_is_text_under_the_names_of_the_broker_and_our_own() -> None:
    assert dict(letter_headers(TP, letter(), KAFKA)) == {
        "__dlq.errors.topic": b"orders",
        "__dlq.errors.partition": b"5",
        "__dlq.errors.offset": b"7",
        "__dlq.errors.group": b"billing",
        "__dlq.errors.delivery.count": b"5",
        "__dlq.errors.message": b"no stock",
        "lanebridge.disposition": b"exhausted",
        "lanebridge.exception": b"ValueError",
        "lanebridge.traceback": b"Traceback ...\nValueError: no stock",
        "lanebridge.timestamp": b"2023-11-14T22:13:20.123Z",
        "lanebridge.first.failure": b"2023-11-14T22:13:21.000Z",
        "lanebridge.last.failure": b"2023-11-14T22:14:20.500Z",
        "lanebridge.task": b"orders.store",
        "lanebridge.link": b"2",
        "lanebridge.chain": b"g.orders-1.0-9.7-1",
        "lanebridge.index": b"3",
        "lanebridge.version": b"1.2.3",
        "lanebridge.profile": b"kafka",
    }


def test_the_spring_profile_has_springs_names_with_binary_numbers_and_not_the_others() -> None:
    found = dict(letter_headers(TP, letter(), SPRING))
    own = {name: value for name, value in letter_headers(TP, letter(), KAFKA) if name.startswith("lanebridge.")}
    assert found == {
        "kafka_dlt-original-topic": b"orders",
        "kafka_dlt-original-partition": b"\0\0\0\5",
        "kafka_dlt-original-offset": b"\0\0\0\0\0\0\0\7",
        "kafka_dlt-original-timestamp": struct.pack(">q", 1_700_000_000_123),
        "kafka_dlt-original-consumer-group": b"billing",
        "kafka_deliveryAttempt": b"\0\0\0\5",
        "kafka_dlt-exception-fqcn": b"ValueError",
        "kafka_dlt-exception-message": b"no stock",
        "kafka_dlt-exception-stacktrace": b"Traceback ...\nValueError: no stock",
        **own,
        "lanebridge.profile": b"spring",
    }


@pytest.mark.parametrize("sender", [KAFKA, SPRING], ids=PROFILES)
def test_what_is_not_known_has_no_header(sender: Sender) -> None:
    bare = letter(
        row(timestamp_ms=-1),
        disposition="rejected", message="", exception="", traceback="", task="", chain="", index=-1,
        first_failed_ms=0, last_failed_ms=0,
    )  # fmt: skip
    names = [name for name, _ in letter_headers(TP, bare, sender) if name.startswith("lanebridge.")]
    assert names == ["lanebridge.disposition", "lanebridge.link", "lanebridge.version", "lanebridge.profile"]


@pytest.mark.parametrize(
    ("at_ms", "said"),
    [(0, b"1970-01-01T00:00:00.000Z"), (-5, b"1969-12-31T23:59:59.995Z"), (1, b"1970-01-01T00:00:00.001Z")],
)
def test_a_record_as_old_as_the_epoch_keeps_its_timestamp(at_ms: int, said: bytes) -> None:
    assert dict(letter_headers(TP, letter(row(timestamp_ms=at_ms)), KAFKA))["lanebridge.timestamp"] == said


def test_a_time_that_no_calendar_has_is_left_out() -> None:
    names = dict(letter_headers(TP, letter(row(timestamp_ms=2**62)), KAFKA))
    assert "lanebridge.timestamp" not in names


@pytest.mark.parametrize("sender", [KAFKA, SPRING], ids=PROFILES)
@pytest.mark.parametrize("text", ["x", "ü", "\U0001f600"])
def test_what_is_added_is_bounded_the_traceback_cut_first_and_always_utf_8(sender: Sender, text: str) -> None:
    found = letter_headers(TP, letter(message=text * 500, traceback="begin " + text * 50_000 + " end"), sender)
    size = sum(len(name) + len(value or b"") for name, value in found)
    named = {name: (value or b"") for name, value in found}
    traceback = named["lanebridge.traceback"].decode()
    assert ADDED_BYTES - 10 < size <= ADDED_BYTES
    assert named["kafka_dlt-exception-message" if sender is SPRING else "__dlq.errors.message"].decode() == text * 500
    assert traceback.startswith(f"...{text}")
    assert traceback.endswith(" end")


@pytest.mark.parametrize("sender", [KAFKA, SPRING], ids=PROFILES)
def test_a_message_is_cut_at_its_end_when_the_traceback_was_not_enough(sender: Sender) -> None:
    found = letter_headers(TP, letter(message="ü" * 100_000, traceback="t" * 100, task="n" * 100_000), sender)
    name = "kafka_dlt-exception-message" if sender is SPRING else "__dlq.errors.message"
    message = (dict(found)[name] or b"").decode()
    assert sum(len(name) + len(value or b"") for name, value in found) <= ADDED_BYTES
    assert message.startswith("üüü")
    assert message.endswith("...")
    assert dict(found)["lanebridge.task"] == b"n" * 512


def test_half_a_surrogate_pair_does_not_stop_a_letter() -> None:
    assert dict(letter_headers(TP, letter(message="\ud800!"), KAFKA))["__dlq.errors.message"] == b"\\ud800!"


@pytest.mark.parametrize("sender", [KAFKA, SPRING], ids=PROFILES)
def test_a_letter_is_read_as_it_was_written(sender: Sender) -> None:
    mine: Headers = (("a", None), ("a", b""), ("a", b"\xff"))
    headers = (*mine, *letter_headers(TP, letter(), sender, "value (9 bytes)"))
    assert read_headers(headers) == About(TP, 7, "exhausted", "ValueError", "no stock", 0, "value (9 bytes)")
    assert record_headers(headers) == mine


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("__dlq.errors.topic", b"orders"),),
        (("__dlq.errors.topic", b"o"), ("__dlq.errors.partition", b"\xc2\xb2"), ("__dlq.errors.offset", b"1")),
        (("__dlq.errors.topic", b"o"), ("__dlq.errors.partition", b"-1"), ("__dlq.errors.offset", None)),
        (("lanebridge.profile", b"spring"), ("kafka_dlt-original-topic", b"o"), ("kafka_dlt-original-offset", b"1")),
        (("kafka_dlt-original-topic", b"orders"),),
    ],
)
def test_a_record_that_does_not_say_where_it_was_is_no_dead_letter(headers: Headers) -> None:
    assert read_headers(headers) is None


def test_older_headers_of_ours_are_replaced_and_those_of_others_stay() -> None:
    springs_own: Headers = (("kafka_dlt-original-topic", b"somebody's"),)
    once = (*springs_own, ("x", b"1"), *letter_headers(TP, letter(), KAFKA), ("y", b"2"))
    assert record_headers(once) == (*springs_own, ("x", b"1"), ("y", b"2"))
    assert record_headers(once, "spring") == (("x", b"1"), ("y", b"2"))
    by_spring = (("x", b"1"), *letter_headers(TP, letter(), SPRING))
    assert record_headers(by_spring) == record_headers(by_spring, "kafka") == (("x", b"1"),)


def test_the_counter_of_replays_grows_and_outlives_the_next_dead_letter() -> None:
    first = replayed_headers((("x", b"1"), *letter_headers(TP, letter(), KAFKA)))
    assert first == (("x", b"1"), ("lanebridge.replays", b"1"))
    again = letter_headers(TP, letter(row(headers=first)), KAFKA)
    assert dict(again)["lanebridge.replays"] == b"1"
    assert replayed_headers((*record_headers(first), *again)) == (("x", b"1"), ("lanebridge.replays", b"2"))


@pytest.mark.parametrize("value", [b"", b"many", b"-1", b"\xc2\xb2", None])
def test_a_counter_that_is_no_number_counts_as_none(value: bytes | None) -> None:
    assert replays_of((("lanebridge.replays", value),)) == 0
