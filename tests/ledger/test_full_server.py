"""A full server takes no new chain, and still carries every chain in flight to its end."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis
from redis.exceptions import OutOfMemoryError

from bridge.devstack import RedisServer
from bridge.entries import Heartbeat
from bridge.ledger.connect import connect
from bridge.ledger.ledger import THROUGH_SCRIPT, Ledger
from tests.ledger.story import FAILED, OK, PARTIAL, TP, Story

#: of payloads that go through the script, and of those that are written in front of it
SIZES = pytest.mark.parametrize("size", [THROUGH_SCRIPT, THROUGH_SCRIPT + 1])


@pytest.fixture
def full(own_server: RedisServer) -> Iterator[Callable[[], None]]:
    """Makes the server full: from then on it refuses whatever needs memory."""
    with connect(own_server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")

        def fill() -> None:
            client.config_set("maxmemory", "1")
            with pytest.raises(OutOfMemoryError):
                client.set("another", "key")

        yield fill
        client.config_set("maxmemory", "0")


@pytest.fixture
def crowded(own_server: RedisServer, group_name: str) -> Iterator[Story]:
    """A lane on a server that is going to be full."""
    with connect(own_server.url) as client:
        yield Story(Ledger(client, group_name), group_name)


def test_a_full_server_still_carries_chains_to_their_end(crowded: Story, full: Callable[[], None]) -> None:
    crowded.dispatched()
    full()
    ledger = crowded.ledger

    assert ledger.claim(crowded.handle(), "w", "n")[:2] == (b"records of first", "")
    assert ledger.advance(crowded.handle(), "n", b"what the first link left")
    assert ledger.claim(crowded.handle(2), "w", "m")[:2] == (b"what the first link left", "")
    assert ledger.complete(crowded.handle(2), "w", "m", PARTIAL)
    assert ledger.dispose(TP, crowded.owner, 0, "first")
    assert ledger.settle(TP, crowded.owner, 0, "first", 8, 8)
    assert (crowded.lane().outcome, crowded.lane().watermark) == (replace(PARTIAL, rejected=()), 8)


def test_a_full_server_still_advances_with_the_same_records(crowded: Story, full: Callable[[], None]) -> None:
    crowded.claimed()
    full()

    assert crowded.ledger.advance(crowded.handle(), "n", None)
    assert crowded.ledger.claim(crowded.handle(2), "w", "m")[:2] == (b"records of first", "")


def test_a_full_server_still_takes_a_fault(crowded: Story, full: Callable[[], None]) -> None:
    crowded.claimed()
    full()

    assert crowded.ledger.fault(TP, 0, "first", 1, "w", FAILED)
    assert crowded.lane().outcome == FAILED


def test_a_full_server_still_gives_a_partition_to_a_new_owner(crowded: Story, full: Callable[[], None]) -> None:
    crowded.claimed()
    full()

    own = crowded.taken_over()
    assert crowded.ledger.restore(TP, own, {0: 6}, rule="partition", topic_id="id", base=6)
    assert crowded.ledger.keep(TP, own)
    assert crowded.ledger.change_rule(TP, own, "key:8", 7)
    assert crowded.ledger.clear(TP, own, ())


@SIZES
def test_a_full_server_still_takes_a_new_attempt_in_place_of_the_old_one(
    crowded: Story, full: Callable[[], None], size: int
) -> None:
    crowded.claimed()
    full()

    again = crowded.command("second", expect=crowded.lane().seen, payload=bytes(size))
    assert crowded.ledger.dispatch([again]) == ["ok"]
    assert crowded.ledger.claim(crowded.handle(chain="second"), "w", "m")[:2] == (bytes(size), "")


@SIZES
def test_a_full_server_takes_no_new_chain_and_changes_nothing(
    crowded: Story, full: Callable[[], None], size: int
) -> None:
    crowded.completed(OK)
    before = crowded.entry()
    full()

    with pytest.raises(redis.ResponseError, match=r"OOM|maxmemory"):
        crowded.ledger.dispatch([crowded.command("second", expect=before.lanes[0].seen, payload=bytes(size))])

    assert crowded.entry().lanes == before.lanes


@SIZES
def test_a_full_server_still_refuses_for_the_true_reason(crowded: Story, full: Callable[[], None], size: int) -> None:
    crowded.completed(OK)
    zombie, own = crowded.owner, crowded.taken_over()
    full()

    assert crowded.ledger.dispatch([crowded.command("second", owner=zombie, payload=bytes(size))]) == ["not owner"]
    assert crowded.ledger.dispatch([crowded.command("second", owner=own, payload=bytes(size))]) == ["changed"]
    assert crowded.ledger.dispatch([crowded.command("first", owner=own, payload=bytes(size))]) == ["ok"]


def test_a_full_server_still_hears_who_lives(own_server: RedisServer, full: Callable[[], None]) -> None:
    with connect(own_server.url) as client:
        ledger = Ledger(client, "crowd")
        heartbeat = Heartbeat("w", "host", "solo", ("lane-0",), ("t",), ())
        full()

        ledger.write_heartbeat(heartbeat, 15.0)
        ledger.publish_state("me", b"state", 15.0)

        assert [replace(found, written_ms=0) for found in ledger.heartbeats()] == [heartbeat]
        assert ledger.states() == {"me": b"state"}
