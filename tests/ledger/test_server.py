"""What only a real server shows: memory, slots, expiry, a full server, scripts that are gone, notices, races."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.crc import key_slot
from redis.exceptions import OutOfMemoryError

from bridge.devstack import RedisServer
from bridge.entries import Failure, Heartbeat, Outcome, Owner, Seen
from bridge.ledger.connect import connect
from bridge.ledger.formats import UnknownFormat
from bridge.ledger.handle import Handle
from bridge.ledger.ledger import Ledger
from bridge.ledger.notices import ErrorNotice, Notice, ack_channel, error_channel, read_error, read_notice
from bridge.records import TopicPartition
from tests.ledger.story import FAILED, OK, PARTIAL, REVOKED, TP, Story
from tests.waiting import wait_until

MONTH_S = 30 * 24 * 3600


def keys_of(client: redis.Redis, group: str) -> set[str]:
    """Names of all keys of a group, without the common part."""
    start = f"lanebridge:{{{group}/"
    return {key.decode().removeprefix(start) for key in client.scan_iter(f"{start}*", count=1000)}


def hash_of(group: str) -> str:
    return f"lanebridge:{{{group}/orders/3}}"


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(lambda s: s.ledger.complete(s.handle(), "w", "n", FAILED), id="complete"),
        pytest.param(lambda s: s.ledger.fault(TP, 0, "first", 1, "w", FAILED), id="fault"),
        pytest.param(lambda s: s.ledger.clear(TP, s.owner), id="clear"),
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


def test_records_whose_script_never_came_are_gone_within_a_minute(own_server: RedisServer, group_name: str) -> None:
    with connect(own_server.url) as client:
        story = Story(Ledger(client, group_name), group_name).own()
        client.execute_command("ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "-evalsha")
        with (
            connect(own_server.url, username="mute", password="") as mute,
            pytest.raises(redis.ResponseError, match=r"NOPERM|permission"),
        ):
            Ledger(mute, group_name).dispatch([story.command()])

        assert 0 < client.ttl(f"{hash_of(group_name)}:first-1") <= 60


# --- names and expiry ------------------------------------------------------------------------------------------------


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
        "clear": lambda: ledger.clear(TP, owner),
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

    assert real_story.ledger.claim(real_story.handle(), "w", "n") == (None, "no payload")

    assert real_story.lane().seen.claim == "w n"
    assert real_story.ledger.advance(real_story.handle(), "n", None)
    assert real_story.ledger.claim(real_story.handle(2), "w", "n") == (None, "no payload")


# --- formats ---------------------------------------------------------------------------------------------------------


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


# --- scripts and connections -----------------------------------------------------------------------------------------


def test_scripts_that_the_server_forgot_are_loaded_again(own_server: RedisServer, group_name: str) -> None:
    with connect(own_server.url) as client:
        story = Story(Ledger(client, group_name), group_name)
        for stage in (story.own, story.advanced):
            client.script_flush()
            stage()
        client.script_flush()
        assert story.ledger.claim(story.handle(2), "v", "m") == (b"cut", "")
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


# --- a full server ---------------------------------------------------------------------------------------------------


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

    assert ledger.claim(crowded.handle(), "w", "n") == (b"records of first", "")
    assert ledger.advance(crowded.handle(), "n", b"what the first link left")
    assert ledger.claim(crowded.handle(2), "w", "m") == (b"what the first link left", "")
    assert ledger.complete(crowded.handle(2), "w", "m", PARTIAL)
    assert ledger.settle(TP, crowded.owner, 0, "first", 8, 8)
    assert (crowded.lane().outcome, crowded.lane().watermark) == (replace(PARTIAL, rejected=()), 8)


def test_a_full_server_still_advances_with_the_same_records(crowded: Story, full: Callable[[], None]) -> None:
    crowded.claimed()
    full()

    assert crowded.ledger.advance(crowded.handle(), "n", None)
    assert crowded.ledger.claim(crowded.handle(2), "w", "m") == (b"records of first", "")


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
    assert crowded.ledger.clear(TP, own)


def test_a_full_server_still_takes_a_new_attempt_in_place_of_the_old_one(
    crowded: Story, full: Callable[[], None]
) -> None:
    crowded.claimed()
    full()

    assert crowded.ledger.dispatch([crowded.command("second", expect=crowded.lane().seen)]) == ["ok"]
    assert crowded.ledger.claim(crowded.handle(chain="second"), "w", "m") == (b"records of second", "")


def test_a_full_server_takes_no_new_chain_and_changes_nothing(crowded: Story, full: Callable[[], None]) -> None:
    crowded.completed(OK)
    before = crowded.entry()
    full()

    with pytest.raises(redis.ResponseError, match=r"OOM|maxmemory"):
        crowded.ledger.dispatch([crowded.command("second", expect=before.lanes[0].seen)])

    assert crowded.entry().lanes == before.lanes


def test_a_full_server_still_refuses_for_the_true_reason(crowded: Story, full: Callable[[], None]) -> None:
    crowded.completed(OK)
    zombie, own = crowded.owner, crowded.taken_over()
    full()

    assert crowded.ledger.dispatch([crowded.command("second", owner=zombie)]) == ["not owner"]
    assert crowded.ledger.dispatch([crowded.command("second", owner=own)]) == ["changed"]
    assert crowded.ledger.dispatch([crowded.command("first", owner=own)]) == ["ok"]


def test_a_full_server_still_hears_who_lives(own_server: RedisServer, full: Callable[[], None]) -> None:
    with connect(own_server.url) as client:
        ledger = Ledger(client, "crowd")
        heartbeat = Heartbeat("w", "host", "solo", ("lane-0",), ("t",), ())
        full()

        ledger.write_heartbeat(heartbeat, 15.0)
        ledger.publish_state("me", b"state", 15.0)

        assert [replace(found, written_ms=0) for found in ledger.heartbeats()] == [heartbeat]
        assert ledger.states() == {"me": b"state"}


# --- notices ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def heard(client: redis.Redis, group_name: str) -> Iterator[Callable[[], bytes]]:
    """The next message for the bridge called like the group."""
    pubsub: Callable[..., Any] = client.pubsub
    with pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(ack_channel(group_name), error_channel(group_name))
        subscription.get_message(timeout=5.0)
        subscription.get_message(timeout=5.0)

        def hear() -> bytes:
            message = wait_until(lambda: subscription.get_message(timeout=0.1), what="a notice")
            assert message is not None
            data: bytes = message["data"]
            return data

        yield hear


def test_the_owner_hears_of_an_outcome_at_once(real_story: Story, heard: Callable[[], bytes]) -> None:
    real_story.claimed()
    real_story.own(real_story.group)

    real_story.ledger.complete(real_story.handle(), "w", "n", PARTIAL)

    assert read_notice(heard()) == Notice(TP, 0, real_story.lane().seen, PARTIAL)


def test_the_owner_hears_of_a_fault_of_an_unclaimed_link(real_story: Story, heard: Callable[[], bytes]) -> None:
    real_story.dispatched()
    real_story.own(real_story.group)

    real_story.ledger.fault(TP, 0, "first", 1, "", REVOKED)

    notice = read_notice(heard())
    assert notice == Notice(TP, 0, real_story.lane().seen, REVOKED)
    assert notice.seen == Seen("first", 1, "", notice.seen.outcome)


def test_a_notice_survives_line_ends_in_texts_of_a_failure(real_story: Story, heard: Callable[[], bytes]) -> None:
    failed = Outcome("failed", 5, Failure(5, message="line\nline\x00", traceback="\n\n\n\n\n\n\n"))
    real_story.claimed()
    real_story.own(real_story.group)

    real_story.ledger.complete(real_story.handle(), "w", "n", failed)

    assert read_notice(heard()).outcome == failed


def test_the_owner_hears_of_an_error_that_celery_does_not_store(
    real: Ledger, real_story: Story, heard: Callable[[], bytes]
) -> None:
    real_story.dispatched()
    real_story.own(real_story.group)
    notice = ErrorNotice("first-1", "FAILURE", "NotRegistered", "tasks.store", "host.1")

    assert real.report_error(real_story.handle(), notice)

    assert read_error(heard()) == notice


# --- races -----------------------------------------------------------------------------------------------------------

RACERS = 8


def race(act: Callable[[int], Any]) -> list[Any]:
    """What `act` answers when as many threads as there are racers do it at the same time."""
    barrier = threading.Barrier(RACERS, timeout=30.0)

    def run(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(run, range(RACERS)))


def test_owners_that_race_get_different_numbers_and_one_of_them_dispatches(real_story: Story) -> None:
    owners: list[Owner] = race(lambda number: real_story.ledger.assign(TP, f"bridge {number}", 0).owner)
    assert len({owner.number for owner in owners}) == RACERS

    answers = race(lambda n: real_story.ledger.dispatch([real_story.command(f"chain-{n}", owner=owners[n])]))

    last = max(range(RACERS), key=lambda n: owners[n].number)
    assert [answer for (answer,) in answers] == ["ok" if n == last else "not owner" for n in range(RACERS)]
    assert real_story.lane().chain == f"chain-{last}"


def test_dispatches_that_race_replace_the_lane_once(real_story: Story, client: redis.Redis) -> None:
    real_story.completed()
    seen = real_story.lane().seen

    answers = race(lambda n: real_story.ledger.dispatch([real_story.command(f"chain-{n}", expect=seen)])[0])

    assert sorted(answers) == ["changed"] * (RACERS - 1) + ["ok"]
    winner = f"chain-{answers.index('ok')}"
    assert real_story.lane().chain == winner
    assert keys_of(client, real_story.group) == {"orders/3}", f"orders/3}}:{winner}-1"}


def test_deliveries_that_race_claim_a_link_once(real_story: Story) -> None:
    real_story.dispatched()

    answers = race(lambda n: real_story.ledger.claim(real_story.handle(), f"w{n}", f"n{n}"))

    assert sorted(answer.refused for answer in answers) == [""] + ["claimed"] * (RACERS - 1)
    winner = next(n for n, answer in enumerate(answers) if not answer.refused)
    assert real_story.lane().seen.claim == f"w{winner} n{winner}"


def test_an_outcome_and_a_new_attempt_that_race_do_not_both_stand(real_story: Story) -> None:
    real_story.claimed()
    seen = real_story.lane().seen

    def act(number: int) -> bool:
        if number % 2:
            return real_story.ledger.complete(real_story.handle(), "w", "n", OK)
        return real_story.ledger.dispatch([real_story.command("second", expect=seen)]) == ["ok"]

    answers = race(act)

    completed, superseded = any(answers[1::2]), any(answers[0::2])
    assert completed != superseded
    assert real_story.lane().chain == ("first" if completed else "second")
    assert real_story.lane().watermark == (10 if completed else -1)
