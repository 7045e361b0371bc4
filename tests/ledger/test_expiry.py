"""Names of keys in one slot, and their expiry: nothing outlives the last step of an owner by more than 30 days."""

from collections.abc import Callable

import pytest
import redis
from redis.crc import key_slot

from bridge.ledger.handle import Handle
from bridge.ledger.ledger import Ledger
from bridge.ledger.notices import ErrorNotice
from bridge.records import TopicPartition
from tests.ledger.story import OK, PARTIAL, REVOKED, TP, Story, hash_of, keys_of

MONTH_S = 30 * 24 * 3600


@pytest.mark.parametrize(
    "group", ["plain", "a{b}c", "a/b", "a*b?[c]", "back\\slash", "two words", "50%", "grün", "a\nb"]
)
def test_all_keys_of_a_partition_lie_in_one_slot_whatever_the_group_is_called(
    client: redis.Redis, group_name: str, group: str
) -> None:
    story = Story(Ledger(client, group_name + group), group_name + group).advanced()

    hash_key, payload_key = story.handle(2).hash_key, story.handle(2).payload_key

    assert client.exists(hash_key, payload_key) == 2
    assert key_slot(hash_key.encode()) == key_slot(payload_key.encode())
    assert not set(hash_key.split("{", 1)[1][:-1]) & set("{}*?[]\\ \n")
    assert Handle.from_message(story.handle(2).to_message()).group == group_name + group


def test_groups_whose_names_differ_by_a_slash_do_not_meet(client: redis.Redis, group_name: str) -> None:
    one, other = Ledger(client, group_name), Ledger(client, f"{group_name}/orders")
    one.assign(TopicPartition("orders.3", 4), "me", 0)

    assert other.read([TopicPartition("3", 4)])[TopicPartition("3", 4)].owner == (0, "")


@pytest.mark.parametrize("step", ["assign", "restore", "clear", "change_rule", "dispatch", "settle", "keep"])
def test_every_step_of_an_owner_puts_the_expiry_off(real_story: Story, client: redis.Redis, step: str) -> None:
    real_story.completed(PARTIAL)
    client.expire(hash_of(real_story.group), 100)
    ledger, owner = real_story.ledger, real_story.owner
    steps: dict[str, Callable[[], object]] = {
        "assign": lambda: ledger.assign(TP, "me", 0),
        "restore": lambda: ledger.restore(TP, owner, {}, rule="partition", topic_id="id", base=5),
        "clear": lambda: ledger.clear(TP, owner, ()),
        "change_rule": lambda: ledger.change_rule(TP, owner, "key:8", 5),
        "dispatch": lambda: ledger.dispatch([real_story.command("a", lane=1)]),
        "settle": lambda: ledger.settle(TP, owner, 0, "first", 8, 5),
        "keep": lambda: ledger.keep(TP, owner),
    }

    steps[step]()

    assert MONTH_S - 60 < client.ttl(hash_of(real_story.group)) <= MONTH_S


def test_a_partition_that_was_only_assigned_expires(real_story: Story, client: redis.Redis) -> None:
    real_story.own()

    assert MONTH_S - 60 < client.ttl(hash_of(real_story.group)) <= MONTH_S


def test_records_expire_with_their_partition(real_story: Story, client: redis.Redis) -> None:
    real_story.dispatched()
    first, second = (f"{hash_of(real_story.group)}:first-{link}" for link in (1, 2))
    assert MONTH_S - 60 < client.ttl(first) <= MONTH_S
    client.expire(first, 100)

    real_story.ledger.keep(TP, real_story.owner)
    assert MONTH_S - 60 < client.ttl(first) <= MONTH_S

    real_story.ledger.claim(real_story.handle(), "w", "n")
    real_story.ledger.advance(real_story.handle(), "n", b"cut")
    assert MONTH_S - 60 < client.ttl(second) <= MONTH_S


def test_no_step_of_a_worker_makes_a_hash_that_does_not_expire(real_story: Story, client: redis.Redis) -> None:
    handle, notice = real_story.handle(), ErrorNotice("first-1", "FAILURE", "NotRegistered", "t", "w")

    real_story.ledger.claim(handle, "w", "n")
    real_story.ledger.advance(handle, "n", b"cut")
    real_story.ledger.complete(handle, "w", "n", OK)
    real_story.ledger.fault(TP, 0, "first", 1, "", REVOKED)

    assert not Ledger(client, real_story.group).report_error(handle, notice)
    assert keys_of(client, real_story.group) == set()


def test_records_that_were_lost_are_not_handed_out_and_the_claim_stands(real_story: Story, client: redis.Redis) -> None:
    real_story.dispatched()
    client.delete(f"{hash_of(real_story.group)}:first-1")

    assert real_story.ledger.claim(real_story.handle(), "w", "n")[:2] == (None, "no payload")

    assert real_story.lane().seen.claim == "w n"
    assert real_story.ledger.advance(real_story.handle(), "n", None)
    assert real_story.ledger.claim(real_story.handle(2), "w", "n")[:2] == (None, "no payload")
