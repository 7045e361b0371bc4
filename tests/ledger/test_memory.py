"""What is left in Redis: the records of one link for each chain in flight, and nothing for a refused step."""

from typing import Any

import pytest
import redis

from bridge.devstack import RedisServer
from bridge.ledger.connect import connect
from bridge.ledger.ledger import THROUGH_SCRIPT, Ledger
from tests.ledger.story import FAILED, OK, TP, Story, hash_of, keys_of


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(lambda s: s.ledger.complete(s.handle(), "w", "n", FAILED), id="complete"),
        pytest.param(lambda s: s.ledger.fault(TP, 0, "first", 1, "w", FAILED), id="fault"),
        pytest.param(lambda s: s.ledger.clear(TP, s.owner, [s.handle().link_id]), id="clear"),
        pytest.param(lambda s: s.ledger.change_rule(TP, s.owner, "key:8", 5), id="change_rule"),
    ],
)
def test_the_records_are_gone_when_the_chain_is(real_story: Story, client: redis.Redis, ending: Any) -> None:
    real_story.claimed()
    assert keys_of(client, real_story.group) == {"orders/3}", "orders/3}:first-1"}

    assert ending(real_story)

    assert keys_of(client, real_story.group) == {"orders/3}"}


def test_a_lane_holds_the_records_of_one_link_only(real_story: Story, client: redis.Redis) -> None:
    real_story.advanced()
    assert keys_of(client, real_story.group) == {"orders/3}", "orders/3}:first-2"}

    real_story.ledger.dispatch([real_story.command("second", expect=real_story.lane().seen)])
    assert keys_of(client, real_story.group) == {"orders/3}", "orders/3}:second-1"}

    real_story.ledger.claim(real_story.handle(chain="second"), "w", "n")
    real_story.ledger.advance(real_story.handle(chain="second"), "n", None)
    assert keys_of(client, real_story.group) == {"orders/3}", "orders/3}:second-2"}


def test_a_refused_step_leaves_no_records_behind(real_story: Story, client: redis.Redis) -> None:
    real_story.claimed()
    zombie = real_story.owner
    own = real_story.taken_over()

    real_story.ledger.dispatch([real_story.command("second", owner=zombie, expect=real_story.lane().seen)])
    real_story.ledger.dispatch([real_story.command("third", owner=own)])
    real_story.ledger.advance(real_story.handle(), "m", b"stolen")
    real_story.ledger.advance(real_story.handle(2), "n", b"stolen")

    assert keys_of(client, real_story.group) == {"orders/3}", "orders/3}:first-1"}


@pytest.mark.parametrize("stage", ["advanced", "completed"])
def test_a_repeated_step_leaves_no_records_behind(real_story: Story, client: redis.Redis, stage: str) -> None:
    getattr(real_story, stage)()
    before = keys_of(client, real_story.group)

    real_story.ledger.dispatch([real_story.command()])
    real_story.ledger.advance(real_story.handle(), "n", b"cut")

    assert keys_of(client, real_story.group) == before


def test_advancing_again_after_the_end_leaves_no_records_behind(real_story: Story, client: redis.Redis) -> None:
    real_story.advanced()
    real_story.ledger.claim(real_story.handle(2), "v", "m")
    real_story.ledger.complete(real_story.handle(2), "v", "m", OK)

    assert real_story.ledger.advance(real_story.handle(), "n", b"cut")

    assert keys_of(client, real_story.group) == {"orders/3}"}


def test_a_few_records_come_with_their_script_or_not_at_all(own_server: RedisServer, group_name: str) -> None:
    assert _left_without_script(own_server, group_name, THROUGH_SCRIPT) == -2  # no such key


def test_records_whose_script_never_came_are_gone_within_a_minute(own_server: RedisServer, group_name: str) -> None:
    assert 0 < _left_without_script(own_server, group_name, THROUGH_SCRIPT + 1) <= 60


def _left_without_script(own_server: RedisServer, group_name: str, size: int) -> int:
    """Seconds that the payload of a chain lives whose script was refused."""
    with connect(own_server.url) as client:
        story = Story(Ledger(client, group_name), group_name).own()
        client.execute_command("ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "-evalsha")
        with (
            connect(own_server.url, username="mute", password="") as mute,
            pytest.raises(redis.ResponseError, match=r"NOPERM|permission"),
        ):
            Ledger(mute, group_name).dispatch([story.command(payload=bytes(size))])
        return int(client.ttl(f"{hash_of(group_name)}:first-1"))
