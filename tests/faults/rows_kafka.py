"""Rows of the matrix: the broker, the network between bridges and Kafka, and commits that are not taken.

One broker: leaders and coordinators that move are played in the simulation and on librdkafka's mock cluster.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.faults.matrix import row
from tests.faults.proxied import ProxiedStage, kafka_ways
from tests.faults.proxy import CUT, SILENT, Mode
from tests.faults.seen import told
from tests.faults.stage import Setup, Stage

#: a group that outlives what is done to the broker, also when the machine is slow
LONG_SESSION = {"BRIDGE_SESSION_TIMEOUT": "120"}
#: many commits, so that one of them meets what is done
EAGER_COMMITS = {"BRIDGE_COMMIT_INTERVAL": "0.05"}
#: After an outage past the session a new generation begins when the old members' session has run out once more.
PAST_SESSION = 45.0


# --- the broker goes away -----------------------------------------------------------------------------------------


@row(17, "broker-kill", Setup(env=LONG_SESSION), smoke=True)
def broker_kill(stage: Stage) -> None:
    """kill -9 of the broker, started again at once: no partition moves."""
    with _partitions_stay(stage), stage.fault("broker killed"):
        stage.rig.stack.kafka.kill()
        stage.rig.stack.kafka.start()


@row(17, "broker-restart", Setup(env=LONG_SESSION))
def broker_restart(stage: Stage) -> None:
    """The broker is shut down in order (SIGTERM) and started again: no partition moves."""
    with _partitions_stay(stage), stage.fault("broker restarted"):
        stage.rig.stack.kafka.restart()


@row(17, "broker-frozen", Setup(env=LONG_SESSION, records=30_000))
def broker_frozen(stage: Stage) -> None:
    """The broker stands still for 10 s (SIGSTOP): no partition moves."""
    with _partitions_stay(stage), stage.fault("broker frozen"):
        stage.rig.stack.kafka.suspend()
        stage.wait(10)
        stage.rig.stack.kafka.resume()


@contextmanager
def _partitions_stay(stage: Stage) -> Iterator[None]:
    """A broker that comes back within the session is no reason to give a partition to another bridge."""
    stage.wait(0.5, 2.0)
    before = time.monotonic()
    yield
    stage.await_progress("all partitions go on", 90.0)
    if moved := _lines(stage, before, "revoked", "lost"):
        stage.violations.append(f"partitions moved {len(moved)} times, first {moved[0]}")


@row(17, "broker-bounces", Setup(records=40_000, liveness=PAST_SESSION))
def broker_bounces(stage: Stage) -> None:
    """kill -9 of the broker three times, away for up to 6 s: the group's session of 10 s ends meanwhile or not."""
    for _ in range(3):
        stage.wait(0.5, 3.0)
        with stage.fault("broker killed"):
            stage.rig.stack.kafka.kill()
            stage.wait(0.0, 6.0)
            stage.rig.stack.kafka.start()
        stage.await_progress("all partitions go on", 90.0)


@row(18, "broker-down", Setup(env=LONG_SESSION, records=40_000, blocks=["broker down"]))
def broker_down(stage: Stage) -> None:
    """Kafka is down for 25 s, shorter than the session: handlers go on with what is buffered, nothing spins."""
    with _partitions_stay(stage):
        _down(stage, 25.0)


@row(18, "broker-down-past-session", Setup(records=40_000, liveness=PAST_SESSION, blocks=["broker down"]))
def broker_down_past_session(stage: Stage) -> None:
    """Kafka is down for 25 s, longer than the session of 10 s: the bridges lose their partitions and get them again."""
    stage.wait(0.5, 2.0)
    _down(stage, 25.0)
    stage.await_progress("all partitions go on", 90.0)


def _down(stage: Stage, seconds: float) -> None:
    with stage.fault("broker down"):
        stage.rig.stack.kafka.kill()
        down, spent = time.monotonic(), _processor_seconds(stage)
        stage.wait(seconds)
        burnt = max(after - before for before, after in zip(spent, _processor_seconds(stage), strict=True))
        begun = sum(run.begin > down + 0.5 for run in stage.rig.runs())
        stage.rig.stack.kafka.start()
    stage.figures["batches begun without Kafka"] = begun
    stage.figures["busiest bridge without Kafka (cores)"] = round(burnt / seconds, 2)
    if not begun:
        stage.violations.append("no batch was handled while Kafka was down, though records were buffered")
    if burnt > seconds / 2:
        stage.violations.append(f"a bridge spent {burnt:.1f} s of processor time in {seconds:g} s without Kafka")


def _processor_seconds(stage: Stage) -> list[float]:
    """What each bridge has used so far."""
    times = [psutil.Process(stage.bridges[name].pid).cpu_times() for name in sorted(stage.bridges)]
    return [each.user + each.system for each in times]


# --- commits that are not taken -----------------------------------------------------------------------------------


@row(19, "commit-broker-killed", Setup(records=40_000, env={**LONG_SESSION, **EAGER_COMMITS}))
def commit_broker_killed(stage: Stage) -> None:
    """The broker is killed right when commits are under way, twice: they stay unconfirmed, and are made again.
    That one is refused is a chance: how many were is counted."""
    for _ in range(2):
        with stage.fault("broker killed"):
            before = time.monotonic()
            stage.rig.until(lambda: _lines(stage, before, "commit_try"), 60, "a commit", step=0.02)  # noqa: B023
            stage.rig.stack.kafka.kill()
            stage.rig.stack.kafka.start()
        stage.await_progress("all partitions go on", 90.0)
    _count_refusals(stage)


@row(19, "commit-stale-generation", Setup(bridges=3, env={"BRIDGE_SESSION_TIMEOUT": "3", **EAGER_COMMITS}))
def commit_stale_generation(stage: Stage) -> None:
    """A bridge is frozen for longer than its session of 3 s, three times: it wakes up with commits of an old
    generation, which are refused."""
    for _ in range(3):
        process = stage.bridges[stage.any_bridge()]
        with stage.fault("bridge frozen"):
            process.signal(signal.SIGSTOP)
            stage.wait(4.0, 8.0)
            process.signal(signal.SIGCONT)
        stage.await_progress("all partitions go on", 90.0)
    _demand_refusals(stage)


@row(19, "commit-in-rebalance", Setup(records=30_000, env=EAGER_COMMITS))
def commit_in_rebalance(stage: Stage) -> None:
    """Another member joins and leaves each second for 15 s: commits meet a rebalance under way, and some
    are refused."""
    with stage.fault("another member joins and leaves"):
        until = time.monotonic() + 15.0
        while time.monotonic() < until:
            _join_and_leave(stage, stage.roll.uniform(0.5, 1.0))
    stage.await_progress("all partitions go on", 90.0)
    _demand_refusals(stage)


def _join_and_leave(stage: Stage, seconds: float) -> None:
    """A member that takes its share of the partitions for so long, and does nothing with them."""
    member = Consumer(
        {
            "bootstrap.servers": stage.rig.stack.kafka.bootstrap_servers,
            "group.id": "faults",
            "partition.assignment.strategy": "cooperative-sticky",
            "enable.auto.commit": False,
            # one that leaves before it has got its place is waited for
            "session.timeout.ms": 3000,
            "max.poll.interval.ms": 3000,
            "log_level": 0,
        }
    )
    try:
        member.subscribe([stage.rig.topic])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            member.poll(0.1)
    finally:
        member.close()


@row(19, "commit-by-others", Setup())
def commit_by_others(stage: Stage) -> None:
    """While the bridges run, others try to move offsets, by the admin API and by a plain commit: Kafka refuses both."""
    place = TopicPartition(stage.rig.topic, stage.roll.randrange(stage.setup.partitions), 1)
    servers: dict[str, Any] = {"bootstrap.servers": stage.rig.stack.kafka.bootstrap_servers, "log_level": 0}
    admin = AdminClient(servers)
    stranger = Consumer({**servers, "group.id": "faults"})

    def by_the_admin_api() -> object:
        asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("faults", [place])])
        (answer,) = asked["faults"].result(30).topic_partitions
        if answer.error is not None:
            raise KafkaException(answer.error)
        return answer

    def by_a_plain_commit() -> object:
        return stranger.commit(offsets=[place], asynchronous=False)

    with stage.fault("others move offsets"):
        for attempt in (by_the_admin_api, by_a_plain_commit):
            try:
                answer: Any = attempt()
            except KafkaException as error:
                stage.figures[attempt.__name__] = error.args[0].name()
            else:
                stage.violations.append(f"{attempt.__name__}: taken: {answer}")
    stranger.close()
    stage.await_progress("all partitions go on", 90.0)


def _count_refusals(stage: Stage) -> int:
    """How many partitions' commits the broker did not take; as a figure, by what it answered."""
    found: Counter[str] = Counter()
    for process in stage.rig.processes:
        for line in told(stage, process, "commit_err"):
            found.update(entry[3].rpartition("(")[2].rstrip(")") for entry in line["entries"])
    stage.figures["commits refused"] = dict(found)
    return found.total()


def _demand_refusals(stage: Stage) -> None:
    if not _count_refusals(stage):
        stage.violations.append("no commit was refused: the row has shown nothing")


# --- the network --------------------------------------------------------------------------------------------------

NETWORK = Setup(records=30_000, servers=kafka_ways, liveness=PAST_SESSION)


@row(15, "bridge-kafka-cut", NETWORK, stage=ProxiedStage)
def bridge_kafka_cut(stage: ProxiedStage) -> None:
    """A bridge's connections to Kafka are reset, and new ones too, three times for up to 4 s."""
    for _ in range(3):
        _bad_network(stage, CUT, stage.roll.uniform(0.0, 4.0))


@row(15, "bridge-kafka-half-open", NETWORK, stage=ProxiedStage)
def bridge_kafka_half_open(stage: ProxiedStage) -> None:
    """Nothing passes between a bridge and Kafka for 20 s, and no connection is closed: the other bridge takes over, and
    what this one sent late changes nothing."""
    _bad_network(stage, SILENT, 20.0)


@row(15, "bridge-kafka-latency", NETWORK, stage=ProxiedStage)
def bridge_kafka_latency(stage: ProxiedStage) -> None:
    """2 s of latency each way between a bridge and Kafka, for 20 s."""
    _bad_network(stage, Mode(latency=2.0), 20.0)


@row(15, "bridge-kafka-narrow", Setup(records=16_000, size=1000, servers=kafka_ways), stage=ProxiedStage)
def bridge_kafka_narrow(stage: ProxiedStage) -> None:
    """50 kB/s between a bridge and Kafka, for 20 s."""
    _bad_network(stage, Mode(rate=50_000), 20.0)


def _bad_network(stage: ProxiedStage, mode: Mode, seconds: float) -> None:
    """The way between a bridge and Kafka is bad for so long; afterwards all partitions go on."""
    stage.play(stage.kafka_way(stage.any_bridge()), mode, seconds, 90.0)


def _lines(stage: Stage, since: float, *events: str) -> list[dict[str, Any]]:
    """What the bridges that run have said since then."""
    said = (line for process in stage.bridges.values() for line in told(stage, process, *events))
    return [line for line in said if line["at"] > since]
