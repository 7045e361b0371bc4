"""The handle in the Celery message, and the names of keys."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ledger.formats import UnknownFormat
from bridge.ledger.handle import Handle, is_handle
from bridge.ledger.keys import partition_text, split_partition_text
from bridge.records import TopicPartition

TP = TopicPartition("orders.v2", 11)
HANDLE = Handle.of("my group/1", TP, 3, "my.chain", 2)
TOPICS = st.text("abcXYZ019._-", min_size=1, max_size=20)


def test_the_message_is_small_and_readable() -> None:
    assert HANDLE.to_message() == {"lb": 1, "p": "my%20group%2F1/orders.v2/11", "l": 3, "c": "my.chain", "k": 2}


def test_a_handle_knows_its_partition_its_task_and_its_keys() -> None:
    assert (HANDLE.tp, HANDLE.group, HANDLE.link_id) == (TP, "my group/1", "my.chain-2")
    assert HANDLE.hash_key == "lanebridge:{my%20group%2F1/orders.v2/11}"
    assert HANDLE.payload_key == "lanebridge:{my%20group%2F1/orders.v2/11}:my.chain-2"
    assert HANDLE.next() == Handle.of("my group/1", TP, 3, "my.chain", 3)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), TOPICS, st.integers(0, 10**6))
def test_a_partitions_text_says_which_it_is(group: str, topic: str, partition: int) -> None:
    text = partition_text(group, TopicPartition(topic, partition))

    assert split_partition_text(text) == (group, TopicPartition(topic, partition))
    assert not set(text) & set('{}*?[]\\ \n"')


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), TOPICS, st.integers(0, 50), st.integers(1, 9))
def test_a_handle_survives_the_message(group: str, topic: str, lane: int, link: int) -> None:
    handle = Handle.of(group, TopicPartition(topic, 0), lane, "chain", link)

    message = json.loads(json.dumps(handle.to_message()))

    assert is_handle(message)
    assert Handle.from_message(message) == handle


def test_a_handle_of_another_format_is_one_and_is_refused_with_the_remedy() -> None:
    message = HANDLE.to_message() | {"lb": 2}

    assert is_handle(message)
    with pytest.raises(UnknownFormat, match=r"handle .* has format 2, .* format 1\. Remedy: "):
        Handle.from_message(message)


@pytest.mark.parametrize("message", [None, 5, "lb", b"lb", [], {}, {"lb": 1}, {"c": "chain"}, ["lb", "c"], object()])
def test_anything_else_is_no_handle(message: Any) -> None:
    assert not is_handle(message)
    with pytest.raises(ValueError, match="not the handle of a link"):
        Handle.from_message(message)
