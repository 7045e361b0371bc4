"""What can be wrong with a server: another format, scripts forgotten, emptied, gone, answers lost."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis

from bridge.devstack import RedisServer
from bridge.ledger.connect import connect
from bridge.ledger.formats import UnknownFormat
from bridge.ledger.ledger import Ledger
from tests.ledger.story import OK, PARTIAL, TP, Story, hash_of, keys_of


def test_a_hash_of_another_format_is_refused_with_the_remedy(real_story: Story, client: redis.Redis) -> None:
    real_story.dispatched()
    client.hset(hash_of(real_story.group), "format", "2")
    before = client.hgetall(hash_of(real_story.group))

    for step in (
        lambda: real_story.ledger.assign(TP, "other", 0),
        lambda: real_story.ledger.read([TP]),
        lambda: real_story.ledger.claim(real_story.handle(), "w", "n"),
    ):
        with pytest.raises(
            UnknownFormat, match=r"has format 2, this version of lanebridge reads and writes format 1.*Rem"
        ):
            step()

    assert client.hgetall(hash_of(real_story.group)) == before


def test_scripts_that_the_server_forgot_are_loaded_again(own_server: RedisServer, group_name: str) -> None:
    with connect(own_server.url) as client:
        story = Story(Ledger(client, group_name), group_name)
        for stage in (story.own, story.advanced):
            client.script_flush()
            stage()
        client.script_flush()
        assert story.ledger.claim(story.handle(2), "v", "m")[:2] == (b"cut", "")
        client.script_flush()
        commands = [story.command(chain, lane=lane) for lane, chain in enumerate("abc", start=1)]
        assert story.ledger.dispatch(commands) == ["ok"] * 3


def test_a_ledger_that_was_emptied_refuses_everything_until_it_is_assigned_again(
    own_server: RedisServer, group_name: str
) -> None:
    with connect(own_server.url) as client:
        story = Story(Ledger(client, group_name), group_name).claimed()
        old, seen = story.owner, story.lane().seen
        client.flushall()
        client.script_flush()

        assert not story.ledger.advance(story.handle(), "n", b"cut")
        assert not story.ledger.complete(story.handle(), "w", "n", OK)
        assert story.ledger.claim(story.handle(), "w", "n").refused == "not current"
        assert story.ledger.dispatch([story.command("second", expect=seen)]) == ["not owner"]
        assert not story.ledger.settle(TP, old, 0, "first", 8, 8)
        assert keys_of(client, group_name) == set()

        new = story.ledger.assign(TP, "me", old.number).owner
        assert new.number > old.number
        assert story.ledger.restore(TP, new, {0: 5}, rule="partition", topic_id="id", base=5)
        assert story.ledger.dispatch([story.command("second", owner=new)]) == ["ok"]


def test_redis_errors_come_out_unchanged_and_at_once(group_name: str) -> None:
    with RedisServer() as server, connect(server.url) as client:
        story = Story(Ledger(client, group_name), group_name).claimed()
        server.kill()

        for step in (
            lambda: story.ledger.assign(TP, "me", 0),
            lambda: story.ledger.dispatch([story.command("second")]),
            lambda: story.ledger.claim(story.handle(), "w", "n"),
            lambda: story.ledger.complete(story.handle(), "w", "n", OK),
        ):
            with pytest.raises(redis.ConnectionError):
                step()

        server.start()
        assert story.ledger.assign(TP, "me", 0).lanes == {}


class Forgetful(redis.Redis):
    """Loses the answer of every call after the server has carried it out."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        raise redis.ConnectionError("the answer was lost")


def test_a_step_whose_answer_was_lost_is_done_and_says_so_when_repeated(
    redis_server: RedisServer, real: Ledger, real_story: Story
) -> None:
    real_story.claimed()
    with Forgetful(port=redis_server.port) as client:
        forgetful = Ledger(client, real_story.group)
        steps: tuple[Callable[[Ledger], bool], ...] = (
            lambda ledger: ledger.advance(real_story.handle(), "n", None),
            lambda ledger: ledger.fault(TP, 0, "first", 2, "", PARTIAL),
            lambda ledger: ledger.settle(TP, real_story.owner, 0, "first", 8, 8),
            lambda ledger: ledger.change_rule(TP, real_story.owner, "key:8", 9),
        )
        for step in steps:
            with pytest.raises(redis.ConnectionError):
                step(forgetful)
            after = real_story.entry()
            assert step(real)
            assert replace(real_story.entry(), now_ms=0) == replace(after, now_ms=0)
