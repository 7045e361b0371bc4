"""What operators and clusters do to a topic, a group and a broker."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.faults.cell import Report, await_lines, judge, register, require, run_to_end
from tests.faults.checker import Expected, Partition, handled, violations
from tests.faults.history import Run
from tests.faults.rig import Rig
from tests.faults.watch import CommitWatch


@register("kafka-frozen-and-restarted")
def kafka_frozen_and_restarted() -> Report:
    """The broker stands still for 20 s, then is killed and started again: 0 repeated, commits only forward."""
    with Rig(FAULTS_SLEEP="0.03") as rig:
        rig.produce(150_000)
        rig.workers()
        rig.bridge()
        await_lines(rig, 200)
        rig.stack.kafka.suspend()
        time.sleep(20)
        rig.stack.kafka.resume()
        watch = CommitWatch(rig)
        await_lines(rig, 200)
        rig.stack.kafka.kill()
        rig.stack.kafka.start()
        rig.until(lambda: watch.look() and rig.all_committed(), 180, "everything committed", step=0.5)
        report = judge(rig, rig.expected())
        report.violations += watch.violations
        return report


@register("offsets-reset")
def offsets_reset() -> Report:
    """A plain client moves the stopped group back in half of the partitions, forward in the others: the bridge starts
    exactly there, though its ledger says otherwise and chains were in flight."""
    with Rig(FAULTS_SLEEP="1") as rig:
        rig.produce(12_000)
        rig.workers(pool="prefork", concurrency=3)
        bridge = rig.bridge()
        rig.until(lambda: min(rig.committed().values()) >= 200, 90, "every partition under way")
        bridge.stop()
        moved = {tp: 100 if tp[1] % 2 else 700 for tp in rig.committed()}
        _commit(rig, moved)
        run_to_end(rig, 120)
        return _judge_moved(rig, moved)


def _commit(rig: Rig, offsets: dict[Partition, int]) -> None:
    client = Consumer({"bootstrap.servers": rig.stack.kafka.bootstrap_servers, "group.id": "faults", "log_level": 0})
    try:
        places = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        rig.until(lambda: client.commit(offsets=places, asynchronous=False), 30, "the offsets are moved")
    finally:
        client.close()


def _judge_moved(rig: Rig, moved: dict[Partition, int]) -> Report:
    """What the first bridge had dispatched may still run until the second one clears the ledger; it is told by the
    owner in the chain's id."""
    runs = rig.runs()
    first = {run.stream: _owner(run) for run in reversed(runs)}
    later = [run for run in runs if _owner(run) != first[run.stream]]
    ends = rig.ends()
    expected = Expected({tp: range(start, ends[tp]) for tp, start in moved.items()}, ("link1",), rig.committed(), ends)
    counts = handled(later, "link1")
    report = Report({"records handled after the move": counts.total()})
    for (topic, partition), offsets in expected.offsets.items():
        missing = [offset for offset in offsets if counts[topic, partition, offset] != 1]
        if missing:
            report.violations.append(f"P1 {topic}[{partition}]: {missing[0]} and {len(missing) - 1} more not once")
    early = [record for record in counts if record[2] < moved[record[0], record[1]]]
    report.violations += [f"{record} lies before the offset that was set" for record in early[:3]]
    report.violations += [f"{tp}: committed {o}, end {ends[tp]}" for tp, o in rig.committed().items() if o != ends[tp]]
    report.violations += [text for text in violations(runs, expected) if text.startswith("P3")]
    return report


def _owner(run: Run) -> str:
    return run.chain.rpartition(".")[2].partition("-")[0]


def _recreated(rig: Rig, *, running: bool) -> Report:
    """The topic is deleted and made anew with more records than the old one had; the new ones are all handled once."""
    rig.produce(12_000)
    rig.workers()
    bridge = rig.bridge()
    rig.until(lambda: min(rig.committed().values()) >= 200, 60, "every partition under way")
    if not running:
        bridge.stop()
    rig.delete_topic(rig.topic)
    again = time.monotonic()
    rig.create_topic(rig.topic, rig.partitions)
    rig.produce(36_000)
    if running:
        rig.until(rig.all_committed, 120, "everything committed", step=0.5)
    else:
        run_to_end(rig, 120)
    return _judge_recreated(rig, again)


def _judge_recreated(rig: Rig, again: float) -> Report:
    """What ran before counts for nothing: every record of the new topic was handled since."""
    report = judge(rig, rig.expected(repeats=36_000, overlaps=1000))
    later = handled([run for run in rig.runs() if run.begin > again], "link1")
    lost = [
        (topic, partition, offset)
        for (topic, partition), end in rig.ends().items()
        for offset in range(end)
        if not later[topic, partition, offset]
    ]
    report.violations = [text for text in report.violations if not text.startswith("P2")]
    if lost:
        report.violations.append(f"P1 {len(lost)} records of the new topic were never handled, first {lost[0]}")
    return report


@register("topic-recreated")
def topic_recreated() -> Report:
    """Deleted and made anew while the bridge is stopped."""
    with Rig(FAULTS_SLEEP="0.1") as rig:
        return _recreated(rig, running=False)


@register("topic-recreated-running")
def topic_recreated_running() -> Report:
    """Deleted and made anew under a running bridge."""
    with Rig(FAULTS_SLEEP="0.1", BRIDGE_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS="5000") as rig:
        return _recreated(rig, running=True)


@register("partitions-added")
def partitions_added() -> Report:
    """4 partitions become 8 under a running bridge: what is written to the new ones from the start is handled."""
    with Rig(partitions=4, FAULTS_SLEEP="0.02", BRIDGE_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS="3000") as rig:
        rig.produce(20_000)
        rig.workers()
        rig.bridge()
        await_lines(rig, 100)
        rig.add_partitions(8)
        rig.produce(20_000)
        rig.until(rig.all_committed, 90, "everything committed", step=0.5)
        require(min(rig.ends().values()) > 0, "the new partitions are empty")
        return judge(rig, rig.expected())


@register("transactions")
def transactions() -> Report:
    """Committed and aborted transactions: what was aborted is not handled, markers at the end of the log do not hold up
    `--until-idle`."""
    with Rig(partitions=4) as rig:
        offsets = _produce_transactions(rig, 30)
        rig.workers()
        run_to_end(rig, 60)
        committed, ends = rig.committed(), rig.ends()
        return judge(rig, Expected(offsets, ("link1",), committed, ends))


def _produce_transactions(rig: Rig, count: int) -> dict[Partition, list[int]]:
    """The offsets of records that were committed; every third transaction is aborted."""
    options = {"bootstrap.servers": rig.stack.kafka.bootstrap_servers, "transactional.id": "cell", "log_level": 0}
    producer = Producer(options)
    producer.init_transactions(30)
    offsets: dict[Partition, list[int]] = {(rig.topic, number): [] for number in range(rig.partitions)}
    for number in range(count):
        sent: list[tuple[Any, Any]] = []
        producer.begin_transaction()
        for record in range(100):
            producer.produce(
                rig.topic,
                f"{number}-{record}",
                partition=record % rig.partitions,
                on_delivery=lambda error, message: sent.append((message.partition(), message.offset())),  # noqa: B023
            )
        producer.flush(30)
        if number % 3 == 1:
            producer.abort_transaction(30)
            continue
        producer.commit_transaction(30)
        for partition, offset in sent:
            offsets[rig.topic, partition].append(offset)
    return offsets
