"""Heartbeats and states: who lives, until when, seen by whom."""

import time
from dataclasses import replace

import pytest
import redis

from bridge.entries import Heartbeat
from bridge.ledger.ledger import Ledger
from bridge.ledger.registry import Registry
from tests.ledger.model import LedgerModel
from tests.ledger.story import Story
from tests.waiting import wait_until

HEARTBEAT = Heartbeat("host.1", "host", "prefork", ("lane-0", "celery"), ("tasks.store",), ("chain-1", "chain-2"), 4)


@pytest.fixture
def ledger(story: Story) -> Ledger | LedgerModel:
    assert isinstance(story.ledger, (Ledger, LedgerModel))
    return story.ledger


def of(ledger: Ledger | LedgerModel, worker: str) -> list[Heartbeat]:
    """The worker's heartbeat among those of all tests."""
    return [heartbeat for heartbeat in ledger.heartbeats() if heartbeat.worker == worker]


def test_a_worker_lives_by_its_heartbeat(ledger: Ledger | LedgerModel, group_name: str) -> None:
    heartbeat = replace(HEARTBEAT, worker=group_name)
    assert not ledger.is_alive(group_name)

    ledger.write_heartbeat(heartbeat, 15.0)

    (found,) = of(ledger, group_name)
    assert replace(found, written_ms=0) == heartbeat
    assert abs(found.written_ms / 1000 - time.time()) < 60
    assert ledger.is_alive(group_name)


def test_the_last_heartbeat_counts(ledger: Ledger | LedgerModel, group_name: str) -> None:
    ledger.write_heartbeat(replace(HEARTBEAT, worker=group_name), 15.0)
    ledger.write_heartbeat(replace(HEARTBEAT, worker=group_name, links=()), 15.0)

    assert [found.links for found in of(ledger, group_name)] == [()]


def test_a_worker_that_says_goodbye_is_gone(ledger: Ledger | LedgerModel, group_name: str) -> None:
    ledger.write_heartbeat(replace(HEARTBEAT, worker=group_name), 15.0)

    ledger.forget_worker(group_name)

    assert (of(ledger, group_name), ledger.is_alive(group_name)) == ([], False)


def test_a_worker_that_falls_silent_is_gone(ledger: Ledger | LedgerModel, group_name: str) -> None:
    ledger.write_heartbeat(replace(HEARTBEAT, worker=group_name), 0.2)

    wait_until(lambda: not ledger.is_alive(group_name), what="the end of a silent worker")
    wait_until(lambda: not of(ledger, group_name), what="the end of its heartbeat")


def test_states_are_seen_by_their_group_until_they_expire(ledger: Ledger | LedgerModel) -> None:
    ledger.publish_state("me", b"\x00\n\xff", 15.0)
    ledger.publish_state("you", b"gone soon", 0.2)

    wait_until(lambda: ledger.states() == {"me": b"\x00\n\xff"}, what="the end of one state")


def test_states_of_another_group_are_not_seen(client: redis.Redis, real: Ledger, group_name: str) -> None:
    real.publish_state("me", b"mine", 15.0)

    assert Ledger(client, f"{group_name}-other").states() == {}


def test_the_state_of_a_bridge_that_ended_is_gone_at_once(client: redis.Redis, group_name: str) -> None:
    ledger = Ledger(client, group_name)
    ledger.publish_state("me", b"mine", 30.0)
    ledger.publish_state("you", b"yours", 30.0)
    ledger.forget_state("me")
    assert ledger.states() == {"you": b"yours"}


def test_workers_are_seen_by_every_group(client: redis.Redis, real: Ledger, group_name: str) -> None:
    real.write_heartbeat(replace(HEARTBEAT, worker=group_name), 15.0)

    assert len(of(Ledger(client, "other"), group_name)) == 1
    real.forget_worker(group_name)


def test_the_index_drops_who_is_gone_and_goes_with_the_last(client: redis.Redis, group_name: str) -> None:
    registry, index = Registry(client, group_name), f"lanebridge:{{{group_name}}}"
    for number in range(5):
        registry.write(f"member {number}", b"", 0.2)
    registry.write("long", b"", 60.0)
    assert client.pttl(index) > 50_000

    wait_until(lambda: len(registry.read()) == 1, what="the end of five members")
    registry.write("short", b"", 0.2)
    assert client.zrange(index, 0, -1) == [b"short", b"long"]
    assert client.pttl(index) > 50_000

    registry.write("long", b"", 0.2)
    client.pexpire(index, 1)
    registry.write("long", b"", 0.2)
    wait_until(lambda: not client.exists(index), what="the end of the index")


def test_a_lost_key_means_gone_even_if_the_index_still_names_it(client: redis.Redis, group_name: str) -> None:
    registry = Registry(client, group_name)
    registry.write("member", b"words", 60.0)
    client.delete(f"lanebridge:{{{group_name}}}:member")

    assert (registry.read(), registry.has("member")) == ({}, False)


def test_many_members_are_read_in_one_call(client: redis.Redis, group_name: str) -> None:
    registry = Registry(client, group_name)
    for number in range(500):
        registry.write(str(number), b"%d" % number, 60.0)

    assert {name: words.blob for name, words in registry.read().items()} == {
        str(number): b"%d" % number for number in range(500)
    }
