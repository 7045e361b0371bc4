"""What librdkafka is told, what it may not be told, and what nobody may see."""

import os

import pytest
from confluent_kafka import Consumer as Client

from bridge.kafka.admin import Admin
from bridge.kafka.consumer import Consumer
from bridge.kafka.errors import BadKafkaOption
from bridge.kafka.profile import (
    ConsumerSettings,
    admin_profile,
    consumer_profile,
    onlooker_profile,
    without_secrets,
)
from bridge.settings import OWNED_KAFKA_OPTIONS, SECRET_KAFKA_OPTIONS
from tests.kafka.member import PROTOCOLS, Member

NOBODY = "127.0.0.1:1"


def settings(**options: object) -> ConsumerSettings:
    """Raw options, `_` for `.`."""
    return ConsumerSettings(NOBODY, "group", kafka={name.replace("_", "."): value for name, value in options.items()})


def test_the_profile_of_a_classic_group() -> None:
    profile = consumer_profile(settings())

    assert profile["partition.assignment.strategy"] == "cooperative-sticky"
    assert (profile["session.timeout.ms"], profile["heartbeat.interval.ms"]) == (10_000, 1000)
    assert (profile["queued.min.messages"], profile["fetch.queue.backoff.ms"]) == (2000, 10)
    assert str(os.getpid()) in str(profile["client.id"])


def test_the_broker_runs_a_next_generation_group() -> None:
    profile = consumer_profile(settings(group_protocol="consumer"))

    ours = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}
    assert not ours & profile.keys()
    assert profile["group.protocol"] == "consumer"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_client_takes_all_profiles(protocol: str) -> None:
    known = settings(group_protocol=protocol, group_instance_id="one", isolation_level="read_uncommitted")
    for profile in (consumer_profile(known), onlooker_profile(known)):
        Client(profile).close()
    Admin(known).close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_poll_interval_as_short_as_the_session_is_taken_by_all_clients(protocol: str) -> None:
    known = settings(group_protocol=protocol, max_poll_interval_ms=10_000)
    for profile in (consumer_profile(known), onlooker_profile(known)):
        Client(profile).close()
    Admin(known).close()


def test_options_of_the_user_win_except_those_that_the_bridge_owns() -> None:
    wanted = dict.fromkeys(OWNED_KAFKA_OPTIONS, "user") | {
        "fetch.wait.max.ms": 7,
        "group.instance.id": "one",
        "client.id": "x",
    }
    profile = consumer_profile(ConsumerSettings(NOBODY, "group", kafka=wanted))

    assert "user" not in profile.values()
    assert (profile["fetch.wait.max.ms"], profile["group.instance.id"], profile["client.id"]) == (7, "one", "x")
    assert (profile["bootstrap.servers"], profile["group.id"]) == (NOBODY, "group")
    assert (profile["enable.auto.commit"], profile["auto.offset.reset"]) == (False, "error")


def test_who_only_asks_is_no_member() -> None:
    known = settings(group_protocol="consumer", group_instance_id="one", sasl_username="u")

    assert not any(name.startswith("group.") for name in admin_profile(known))
    assert {name for name in onlooker_profile(known) if name.startswith("group.")} == {"group.id"}
    assert onlooker_profile(known)["sasl.username"] == "u"


def test_secrets_are_shown_nowhere() -> None:
    secrets = {name: f"hush-{number}" for number, name in enumerate(sorted(SECRET_KAFKA_OPTIONS))}
    known = ConsumerSettings(NOBODY, "group", kafka=secrets | {"sasl.username": "me"})

    assert "hush" not in repr(known)
    assert without_secrets("login hush-3 refused for me", known.kafka) == "login *** refused for me"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"no.such.option": 1}, 'No such configuration property: "no.such.option"'),
        ({"fetch.wait.max.ms": "soon"}, 'Invalid value for configuration property "fetch.wait.max.ms"'),
        ({"max.poll.interval.ms": 5000}, "`max.poll.interval.ms`must be >= `session.timeout.ms`"),
    ],
)
def test_options_that_the_client_refuses_are_named(options: dict[str, object], text: str) -> None:
    class Deaf(Member):
        def __init__(self) -> None:
            """Hears nothing."""

    with pytest.raises(BadKafkaOption) as refused:
        Consumer(ConsumerSettings(NOBODY, "group", kafka=options), Deaf())
    assert text in str(refused.value)
    assert "BRIDGE_KAFKA_" in str(refused.value)


def test_options_that_only_the_asking_client_refuses_are_named_too() -> None:
    with pytest.raises(BadKafkaOption, match=r"no\.such\.option"):
        Admin(ConsumerSettings(NOBODY, "group", kafka={"no.such.option": 1}))


def test_the_absence_limit_is_the_shorter_of_session_and_poll_interval() -> None:
    assert settings().absence_limit == 10.0
    assert settings(max_poll_interval_ms="4000").absence_limit == 4.0
