"""The broker goes away: nothing blocks, everything is told once, and work goes on when it is back."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.devstack import KafkaServer
from bridge.kafka.admin import Admin
from bridge.kafka.errors import KafkaLoginRefused, KafkaUnavailable, KafkaUnreachable
from bridge.kafka.profile import ConsumerSettings
from bridge.records import TopicPartition
from tests.kafka.member import PROTOCOLS, Entry, Member, numbered, produce, run_until, settings_for
from tests.waiting import wait_until

protocols = pytest.mark.parametrize("protocol", PROTOCOLS)

#: far above what any call may take with the broker away, far below librdkafka's own time-outs
BOUND_S = 8.0


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[KafkaServer]:
    """A broker that these tests may kill; it also wants a login, on its second address."""
    with KafkaServer(sasl_users={"lane": "keeper-of-lanes"}) as server:
        yield server


@pytest.fixture
def topic(own_kafka: KafkaServer, topic_name: str) -> str:
    """A topic of two partitions with ten records in each."""
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(topic_name, 2, 1)])[topic_name].result(30.0)
    wait_until(lambda: len(admin.list_topics(topic_name, timeout=10.0).topics[topic_name].partitions) == 2)
    for number in range(2):
        produce(own_kafka.bootstrap_servers, topic_name, numbered(10), partition=number)
    return topic_name


def seconds_for(call: Callable[[], object]) -> float:
    """How long the call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def sasl_settings(server: KafkaServer, group: str, password: str) -> ConsumerSettings:
    options = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "lane",
        "sasl.password": password,
    }
    return ConsumerSettings(server.sasl_bootstrap_servers, group, kafka=options)


def test_asking_a_fresh_cluster_for_offsets_neither_fails_nor_ends_the_process(own_kafka: KafkaServer) -> None:
    """First in this file: the coordinator of a fresh broker has no topic yet and sends its askers away, and
    list_consumer_group_offsets dies of that."""
    program = (
        "import sys\n"
        "from bridge.kafka.admin import Admin\n"
        "from bridge.kafka.profile import ConsumerSettings\n"
        "from bridge.records import TopicPartition\n"
        "admin = Admin(ConsumerSettings(sys.argv[1], 'first-group-ever'), timeout=30.0)\n"
        "print(admin.committed([TopicPartition('none', 0)]))\n"
        "admin.close()\n"
    )
    command = [sys.executable, "-c", program, own_kafka.bootstrap_servers]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (answer.returncode, answer.stdout) == (0, "{TopicPartition(topic='none', partition=0): None}\n"), answer


@protocols
def test_with_the_broker_away_nothing_blocks_and_afterwards_all_goes_on(
    own_kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    settings = settings_for(own_kafka.bootstrap_servers, group_name, protocol, session_timeout=45.0)
    tp, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    admin = Admin(settings)
    leaver = Member(settings_for(own_kafka.bootstrap_servers, f"{group_name}-2", protocol), [topic])
    with Member(settings, [topic]) as member:
        run_until(lambda: len(member.ends) == 2 and len(leaver.ends) == 2, member, leaver)
        own_kafka.kill()
        try:
            member.consumer.commit({tp: Entry(1, 5, "away")})
            member.consumer.seek_back({tp: 4, other: 10})
            member.consumer.pause(other)
            run_until(lambda: any(error.code == "_ALL_BROKERS_DOWN" for error in member.errors), member)
            turns = [seconds_for(member.turn) for _ in range(20)]
            assert max(turns) < BOUND_S
            assert seconds_for(leaver.consumer.close) < BOUND_S
            assert all(isinstance(found, KafkaUnavailable) for found in admin.facts([tp, other]).values())
            down = [error for error in member.errors if error.code == "_ALL_BROKERS_DOWN"]
            assert len(down) == 1
            assert "BRIDGE_BOOTSTRAP_SERVERS" in str(down[0])
        finally:
            own_kafka.start()
        member.rows.clear()
        run_until(lambda: len(member.offsets(tp)) >= 6, member, timeout=90.0, what="records after the restart")

        assert member.offsets(tp) == list(range(4, 10))
        commit_until_confirmed(member, tp)
        member.consumer.resume(other)
        produce(own_kafka.bootstrap_servers, topic, numbered(1), partition=1)
        run_until(lambda: member.offsets(other) == [10], member)
        run_until(lambda: any(error.recovered for error in member.errors), member)
        assert member.said("lost") == leaver.said("revoke") == []
    admin.close()


def commit_until_confirmed(member: Member, tp: TopicPartition) -> None:
    """Wait for the answer to a commit under way; as long as it is "again", commit again."""
    run_until(lambda: member.answers, member, timeout=90.0, what="the answer to the commit")
    while member.answers[-1][1][2] == "again":
        member.answers.clear()
        member.consumer.commit({tp: Entry(1, 5, "away")})
        run_until(lambda: member.answers, member, timeout=90.0, what="the answer to the commit")
    assert member.answers[-1] == (tp, (1, 5, "ok", ""))


def test_a_commit_that_nobody_takes_is_answered_again(own_kafka: KafkaServer, topic: str, group_name: str) -> None:
    settings = settings_for(own_kafka.bootstrap_servers, group_name, session_timeout=1.5)
    tp = TopicPartition(topic, 0)
    with Member(settings, [topic]) as member:
        run_until(lambda: len(member.assigned) == 2, member)
        own_kafka.kill()
        try:
            member.consumer.commit({tp: Entry(1, 5)})
            run_until(lambda: member.answers, member, timeout=90.0, what="an answer without a broker")
        finally:
            own_kafka.start()

        assert [(known, answered[0], answered[2]) for known, answered in member.answers] == [(tp, 1, "again")]


@protocols
def test_leaving_the_group_is_bounded_also_when_the_broker_is_frozen(
    own_kafka: KafkaServer, topic: str, group_name: str, protocol: str
) -> None:
    settings = settings_for(own_kafka.bootstrap_servers, group_name, protocol)
    member = Member(settings, [topic])
    run_until(lambda: len(member.ends) == 2, member)
    admin = Admin(settings)
    assert admin.committed([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): None}
    own_kafka.suspend()
    try:
        assert seconds_for(lambda: member.consumer.close(timeout=2.0)) < BOUND_S
        assert seconds_for(admin.close) < BOUND_S
        assert member.said("revoke") == []
    finally:
        own_kafka.resume()


def test_a_wrong_password_is_told_with_its_options_and_without_the_password(
    own_kafka: KafkaServer, topic: str, group_name: str
) -> None:
    settings = sasl_settings(own_kafka, group_name, "not-the-password")
    admin = Admin(settings)
    with pytest.raises(KafkaLoginRefused) as refused:
        admin.check_broker(timeout=30.0)
    admin.close()
    with Member(settings, [topic]) as member:
        run_until(lambda: any(error.code == "_AUTHENTICATION" for error in member.errors), member)

        told = next(error for error in member.errors if error.code == "_AUTHENTICATION")
    for text in (str(refused.value), str(told)):
        assert "Authentication failed" in text
        assert "sasl.username='lane', sasl.password (BRIDGE_KAFKA_SASL_PASSWORD), sasl.mechanisms='PLAIN'" in text
        assert "not-the-password" not in text


def test_the_right_password_is_let_in(own_kafka: KafkaServer, topic: str, group_name: str) -> None:
    settings = sasl_settings(own_kafka, group_name, "keeper-of-lanes")
    admin = Admin(settings)
    admin.check_broker(timeout=30.0)
    admin.close()
    with Member(settings, [topic]) as member:
        run_until(lambda: len(member.ends) == 2, member)


def test_an_address_where_nobody_listens_is_told_with_its_option() -> None:
    admin = Admin(ConsumerSettings("127.0.0.1:1", "nobody"))
    with pytest.raises(KafkaUnreachable, match=r"bootstrap_servers='127\.0\.0\.1:1' \(BRIDGE_BOOTSTRAP_SERVERS\)"):
        admin.check_broker(timeout=2.0)
    admin.close()
