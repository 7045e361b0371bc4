"""Partitions come and go one by one, and what was lost is told from what was revoked."""

import time
from collections.abc import Callable, Sequence

import pytest

from bridge.devstack import KafkaServer
from bridge.kafka.consumer import FetchInterrupted
from bridge.kafka.errors import FatalKafkaError
from bridge.records import TopicPartition
from tests.kafka.member import PROTOCOLS, Entry, Member, numbered, produce, run_until, settings_for

MakeTopic = Callable[..., str]
protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture
def topic(make_topic: MakeTopic, topic_name: str) -> str:
    """A topic of four partitions."""
    return make_topic(topic_name, 4)


@protocols
def test_a_second_member_takes_half_while_the_first_keeps_the_rest_untouched(
    kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, protocol)
    tps = {TopicPartition(topic, number) for number in range(4)}
    for tp in tps:
        produce(kafka.bootstrap_servers, topic, numbered(100), partition=tp.partition)
    with Member(settings, [topic]) as first:
        run_until(lambda: len(first.ends) == 4, first)
        with Member(settings, [topic]) as second:
            run_until(lambda: len(second.assigned) == 2 and len(first.assigned) == 2, first, second)
            for tp in tps:
                produce(kafka.bootstrap_servers, topic, numbered(100), partition=tp.partition)
            run_until(lambda: all(m.ends.get(tp) == 200 for m in (first, second) for tp in m.assigned), first, second)

            assert first.assigned | second.assigned == tps
            revoked = [tp for partitions in first.said("revoke") for tp in partitions]
            assert set(revoked) == second.assigned
            assert len(revoked) == 2
            assert sorted(tp for partitions in first.said("assign") for tp in partitions) == sorted(tps)
            for member in (first, second):
                assert member.said("lost") == []
                for tp in member.assigned:
                    assert member.offsets(tp) == list(range(200))
            for tp in second.assigned:
                assert first.offsets(tp) == list(range(100))
        run_until(lambda: first.assigned == tps, first)


@protocols
def test_a_partition_that_was_paused_when_it_left_comes_back_silent_and_starts_as_told(
    kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, protocol)
    for number in range(4):
        produce(kafka.bootstrap_servers, topic, numbered(50), partition=number)
    with Member(settings, [topic]) as first:
        run_until(lambda: len(first.ends) == 4, first)
        for tp in first.assigned:
            first.consumer.pause(tp)
        with Member(settings, [topic], start_at=None) as second:
            run_until(lambda: len(second.assigned) == 2 and len(first.assigned) == 2, first, second)
            moved = set(second.assigned)
        first.start_at = None
        run_until(lambda: len(first.assigned) == 4, first)
        first.rows.clear()
        for _ in range(10):
            first.turn(timeout=0.1)
        assert first.rows == {}

        for tp in moved:
            first.consumer.start(tp, 20)
        for tp in first.assigned - moved:
            first.consumer.resume(tp)
        run_until(lambda: all(len(first.offsets(tp)) == 30 for tp in moved), first)

        assert first.rows.keys() == moved
        assert all(first.offsets(tp) == list(range(20, 50)) for tp in moved)


@protocols
def test_what_is_revoked_after_a_long_absence_counts_as_lost(
    kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, protocol)
    skew = [0.0]
    with Member(settings, [topic], clock=lambda: time.monotonic() + skew[0]) as first:
        run_until(lambda: len(first.assigned) == 4, first)
        with Member(settings, [topic]) as second:

            def step() -> bool:
                skew[0] += 7.0  # as if the process had been stopped between two polls
                return len(second.assigned) == 2

            run_until(step, first, second)

            assert first.said("revoke") == []
            assert sum(map(len, first.said("lost"))) == 2


def test_a_member_that_stood_still_too_long_loses_its_partitions_and_its_commit_is_answered_again(
    kafka: KafkaServer, topic: str, group_name: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, session_timeout=2.0, max_poll_interval_ms=2000)
    with Member(settings, [topic]) as zombie, Member(settings, [topic]) as heir:
        run_until(lambda: len(zombie.assigned) == 2 and len(heir.assigned) == 2, zombie, heir)
        held = sorted(zombie.assigned)
        run_until(lambda: len(heir.assigned) == 4, heir)

        zombie.consumer.commit({tp: Entry(7, 1, "late") for tp in held})
        run_until(lambda: len(zombie.answers) == 2 and zombie.said("lost"), zombie, heir)

        for tp in held:
            serial, offset, answer, text = zombie.answer_to(tp) or (0, 0, "", "")
            assert (serial, offset, answer) == (7, 1, "again")
            assert "UNKNOWN_MEMBER_ID" in text
        assert sorted(tp for partitions in zombie.said("lost") for tp in partitions) == held
        run_until(lambda: any(error.code == "_MAX_POLL_EXCEEDED" for error in zombie.errors), zombie, heir)


@protocols
def test_the_last_commit_can_be_submitted_in_on_revoke(
    kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, protocol)
    with Member(settings, [topic]) as first:
        run_until(lambda: len(first.assigned) == 4, first)

        def commit(partitions: Sequence[TopicPartition]) -> None:
            first.consumer.commit({tp: Entry(1, tp.partition, "on revoke") for tp in partitions})

        first.in_revoke = commit
        with Member(settings, [topic]) as second:
            run_until(lambda: len(second.assigned) == 2 and len(first.answers) == 2, first, second)
            first.in_revoke = lambda _: None

            assert {tp for tp, _ in first.answers} == second.assigned
            assert {answered[2] for _, answered in first.answers} == {"ok"}


@protocols
def test_what_goes_wrong_in_a_callback_comes_out_of_fetch_and_the_partition_is_ours_all_the_same(
    kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    class Clumsy(Member):
        def on_assign(self, partitions: Sequence[TopicPartition]) -> None:
            super().on_assign(partitions)
            self.consumer.poll_only()  # would end the process, were it let through

    settings = settings_for(kafka.bootstrap_servers, group_name, protocol)
    produce(kafka.bootstrap_servers, topic, numbered(5))
    with Clumsy(settings, [topic]) as member:
        with pytest.raises(FetchInterrupted, match="in a callback"):
            run_until(lambda: False, member)

        member.consumer.seek_back({})
        run_until(lambda: len(member.ends) == 4, member)
        assert member.offsets(TopicPartition(topic, 0)) == list(range(5))


def test_a_static_member_that_comes_back_in_time_disturbs_nobody(
    kafka: KafkaServer, topic: str, group_name: str
) -> None:
    def settings(name: str) -> Member:
        options = settings_for(kafka.bootstrap_servers, group_name, group_instance_id=name)
        return Member(options, [topic])

    with settings("one") as one:
        two = settings("two")
        run_until(lambda: len(one.assigned) == 2 and len(two.assigned) == 2, one, two)
        # the end of that rebalance may still be on its way to the first one: an assignment of nothing
        held, told = set(two.assigned), one.partitions_told()
        two.consumer.close()

        with settings("two") as two_again:
            run_until(lambda: two_again.assigned == held, one, two_again)

        assert one.partitions_told() == told


@protocols
def test_two_members_with_one_static_name_end_with_a_fatal_error_that_names_it(
    kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    settings = settings_for(kafka.bootstrap_servers, group_name, protocol, group_instance_id="twin")
    with Member(settings, [topic]) as old:
        run_until(lambda: len(old.assigned) == 4, old)
        with Member(settings, [topic]) as new:
            with pytest.raises(FatalKafkaError, match=r"group\.instance\.id='twin'"):
                run_until(lambda: False, old, new)

            if protocol == "classic":  # the old one is fenced; with the new protocol it is the new one
                old.consumer.commit({TopicPartition(topic, 0): Entry(1, 0)})
                with pytest.raises(FatalKafkaError):
                    run_until(lambda: False, old)
                assert [answer for _, (_, _, answer, _) in old.answers] == ["fenced"]
