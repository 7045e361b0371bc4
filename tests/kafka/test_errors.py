"""An error is told once, with its remedy, and again only after a minute or an outage."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from bridge.kafka.errors import (
    QUIET_S,
    RARE_QUIET_S,
    BrokerError,
    ErrorFilter,
    error_of,
    explain,
    fatal,
    unreadable_headers,
)
from bridge.kafka.profile import ConsumerSettings
from bridge.records import TopicPartition

SETTINGS = ConsumerSettings("kafka-1:9092", "group", kafka={"sasl.username": "me", "sasl.password": "hush-hush"})


class Clock:
    """Time that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(broker: str) -> BrokerError:
    text = f"{broker}/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)"
    return explain(KafkaError(KafkaError._TRANSPORT, text), SETTINGS)


ALL_DOWN = explain(KafkaError(KafkaError._ALL_BROKERS_DOWN, "3/3 brokers are down"), SETTINGS)


def test_the_same_error_of_the_same_broker_is_told_once_a_minute_with_its_repeats() -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)

    told = []
    for _ in range(130):
        told.append(errors.admit(refused("kafka-1:9092")))
        clock.now += 1.0

    assert [number for number, report in enumerate(told) if report] == [0, 60, 120]
    assert [report.repeats for report in told if report] == [0, 59, 59]
    assert "[59 times since the last report]" in str(told[60])


def test_another_broker_and_another_error_are_news() -> None:
    errors = ErrorFilter(SETTINGS, Clock())

    assert errors.admit(refused("kafka-1:9092"))
    assert errors.admit(refused("kafka-2:9092"))
    login = KafkaError(KafkaError._AUTHENTICATION, "sasl_ssl://kafka-1:9092/1: Authentication failed")
    assert errors.admit(explain(login, SETTINGS))
    assert errors.admit(refused("kafka-2:9092")) is None


def test_after_an_outage_the_end_is_told_once_and_the_next_outage_is_news() -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)
    assert errors.admit(ALL_DOWN)
    clock.now += 1.0
    errors.hear()  # what the client had fetched ahead
    assert errors.recovered() is None
    assert errors.admit(refused("kafka-1:9092"))
    clock.now += QUIET_S + 0.1
    assert errors.recovered() is None

    errors.hear()

    told = errors.recovered()
    assert told is not None
    assert told.recovered
    assert "kafka-1:9092 answers again" in str(told)
    assert errors.recovered() is None
    assert errors.admit(ALL_DOWN)


def test_one_connection_that_has_failed_is_over_when_kafka_is_heard() -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)
    assert errors.admit(refused("kafka-2:9092"))
    clock.now += QUIET_S + 0.1
    assert errors.recovered() is None
    errors.hear()
    assert errors.recovered() is not None
    assert errors.recovered() is None
    assert errors.admit(refused("kafka-2:9092")) is None  # a connection that fails again and again is told once


def test_nothing_recovers_that_was_not_down() -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)
    errors.hear()
    assert errors.recovered() is None


def test_a_broker_that_is_silent_and_says_so_every_ten_seconds_has_not_recovered_in_between() -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)
    for _ in range(12):
        errors.admit(refused("kafka-2:9092"))
        for _ in range(10):
            clock.now += 1.0
            errors.hear()  # another broker
            assert errors.recovered() is None


@pytest.mark.parametrize(
    ("code", "quiet"),
    [
        (KafkaError._MAX_POLL_EXCEEDED, QUIET_S),
        (KafkaError._SSL, QUIET_S),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, RARE_QUIET_S),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, RARE_QUIET_S),
    ],
)
def test_whatever_went_wrong_is_over_when_it_does_not_come_again(code: int, quiet: float) -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)
    assert errors.admit(explain(KafkaError(code, "it says"), SETTINGS))
    errors.hear()
    clock.now += quiet - 0.1
    assert errors.recovered() is None
    clock.now += 0.2
    assert errors.recovered() is not None


def test_a_record_with_unreadable_headers_is_no_trouble_on_the_way_to_kafka() -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)
    told = errors.admit(unreadable_headers(TopicPartition("t", 0), [7]))
    assert told is not None
    assert not told.is_trouble
    clock.now += 1000.0
    errors.hear()
    assert errors.recovered() is None


def test_what_is_over_is_forgotten() -> None:
    clock = Clock()
    errors = ErrorFilter(SETTINGS, clock)
    for number in range(1000):
        errors.admit(refused(f"kafka-{number}:9092"))
        clock.now += 1.0

    assert len(errors._reported) <= 61


def test_an_error_names_broker_option_value_and_remedy_without_secrets() -> None:
    error = KafkaError(KafkaError._AUTHENTICATION, "sasl_ssl://k:9093/bootstrap: hush-hush is wrong\nindeed")

    known = explain(error, SETTINGS)

    assert known == BrokerError(
        "_AUTHENTICATION",
        "sasl_ssl://k:9093",
        "sasl_ssl://k:9093: *** is wrong\nindeed",
        "check sasl.username='me', sasl.password (BRIDGE_KAFKA_SASL_PASSWORD), sasl.mechanisms='GSSAPI' and "
        "security.protocol='plaintext'",
    )


def test_an_error_that_nobody_thought_of_is_told_as_it_is() -> None:
    assert str(explain(KafkaError(KafkaError._BAD_MSG, "bad"), SETTINGS)) == "bad (_BAD_MSG)"


def test_a_fatal_error_has_a_remedy_whatever_it_is() -> None:
    assert "start the bridge again" in str(fatal(KafkaError(KafkaError._FATAL, "gone"), SETTINGS))


def test_an_exception_without_an_error_is_an_error_all_the_same() -> None:
    assert error_of(KafkaException("odd")).str() == "odd"
