"""Rows of the matrix: logs with gaps, and topics that change under running bridges."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bridge.devstack.kafka import KafkaServer
from tests.faults import checker
from tests.faults.cell import Report
from tests.faults.history import Run, read_history
from tests.faults.matrix import row
from tests.faults.places import Partition, pack
from tests.faults.producing import Acknowledged
from tests.faults.rig import Rig
from tests.faults.seen import told
from tests.faults.servers import Servers
from tests.faults.stage import Setup, Stage

#: bridges that are not far ahead of their tasks, so that what is deleted has not been read
SHORT_BUFFERS = {"BRIDGE_BUFFER_BYTES": str(2**20)}
LONG_LOG = Setup(records=30_000, size=1000, env=SHORT_BUFFERS)


def _kafka_options(rig: Rig, **options: Any) -> dict[str, Any]:
    return {"bootstrap.servers": rig.stack.kafka.bootstrap_servers, "log_level": 0, **options}


def _configure(rig: Rig, **settings: str) -> None:
    """Change settings of the topic; `_` stands for a dot."""
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, rig.topic, incremental_configs=entries)
    admin = AdminClient(_kafka_options(rig))
    admin.incremental_alter_configs([resource])[resource].result(30)


# --- gaps ---------------------------------------------------------------------------------------------------------


class Transactions(Stage):
    """Its records come in transactions, every third of which is aborted."""

    def write_records(self) -> None:
        """As said."""
        self.write_transactions(40)

    def write_transactions(self, count: int) -> None:
        """So many, of 500 records each, in turn to each partition."""
        producer = self.transactional("load")
        for number in range(count):
            acknowledged = self.open_transaction(producer, 500)
            if number % 3 == 1:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
                acknowledged.write()

    def transactional(self, name: str) -> Producer:
        """A producer that may begin a transaction."""
        producer = Producer(_kafka_options(self.rig, **{"transactional.id": name}))
        producer.init_transactions(30)
        return producer

    def open_transaction(self, producer: Producer, records: int) -> Acknowledged:
        """Begin one with these records; what the broker has acknowledged."""
        acknowledged = Acknowledged(str(self.rig.history))
        producer.begin_transaction()
        for record in range(records):
            place = record % self.rig.partitions
            producer.produce(self.rig.topic, f"{record}", partition=place, on_delivery=acknowledged)
        producer.flush(30)
        return acknowledged


@row(27, "transactions", Setup(bridges=2), stage=Transactions)
def transactions(stage: Transactions) -> None:
    """Transactions, every third aborted; one stays open for up to 5 s and is aborted while a bridge is killed: nothing
    that was aborted is handled, markers hold nothing up."""
    producer = stage.transactional("open")
    with stage.fault("a transaction stays open"):
        stage.open_transaction(producer, 600)
        stage.write_transactions(6)
        name = stage.any_bridge()
        stage.kill(name)
        stage.start_bridge(name)
        stage.wait(1.0, 5.0)
        producer.abort_transaction(30)
    stage.await_progress("all partitions go on", 90.0)


class Losing(Stage):
    """Its log loses records by its own rules, or by order: what the log does not have at the end is not asked for."""

    def judge(self) -> Report:
        """With what is gone in the history."""
        written = read_history(self.rig.history)
        handled = checker.handled(written.runs, "link1")
        unread = 0
        for tp, records in written.produced.items():
            kept = _readable(self.rig, tp)
            gone = [offset for offset in records if offset not in kept]
            self.note("gone", topic=tp[0], partition=tp[1], offsets=pack(gone))
            unread += sum(not handled[*tp, offset] for offset in gone)
        self.figures["gone before they were read"] = unread
        if not unread:
            self.violations.append("no record was gone before it was read: the row shows nothing")
        return super().judge()


def _readable(rig: Rig, tp: Partition) -> set[int]:
    """The offsets that a stock consumer finds in the log."""
    client = Consumer(
        _kafka_options(rig, **{"group.id": "onlooker", "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    )
    found: set[int] = set()
    try:
        client.assign([TopicPartition(*tp, 0)])
        while True:
            for message in client.consume(1000, 1.0):
                if message.error() is not None:
                    return found
                found.add(message.offset() or 0)
    finally:
        client.close()


KEYS = 700


class Compacting(Losing):
    """Its topic keeps the last record of each of 700 keys."""

    def write_records(self) -> None:
        """Compaction has begun before the bridges start, and goes on."""
        _configure(self.rig, cleanup_policy="compact", segment_ms="500", min_cleanable_dirty_ratio="0.01")
        self.rig.produce(self.setup.records, size=self.setup.size, keys=KEYS)
        self.rig.until(self._is_compacted, 90, "compaction has begun", step=1.0)

    def _is_compacted(self) -> bool:
        """Kafka compacts what lies before the last segment, and begins a segment when a record comes."""
        self.write_again()
        return len(_readable(self.rig, (self.rig.topic, 0))) < self.rig.ends()[self.rig.topic, 0] - 100

    def write_again(self) -> None:
        """Twenty keys in a row, drawn at random, once more: the records that had them are gone some time later."""
        start = self.rig.partitions * self.roll.randrange(KEYS)
        self.rig.produce(self.rig.partitions * 20, size=self.setup.size, keys=KEYS, start=start)


@row(27, "compaction", Setup(records=20_000, size=1000, env=SHORT_BUFFERS, begins_when=10), stage=Compacting)
def compaction(stage: Compacting) -> None:
    """A topic is compacted under its readers, for 10 s; a bridge is killed meanwhile."""
    with stage.fault("compaction"):
        name = stage.any_bridge()
        stage.kill(name)
        stage.start_bridge(name)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            stage.write_again()
            stage.wait(0.2, 0.6)


@row(27, "records-deleted", LONG_LOG, stage=Losing)
def records_deleted(stage: Losing) -> None:
    """DeleteRecords ahead of the readers, in all partitions: bridges go on behind it, and say what was never read."""
    committed, ends = stage.rig.committed(), stage.rig.ends()
    places = [TopicPartition(*tp, committed[tp] + int((end - committed[tp]) * 0.8)) for tp, end in ends.items()]
    admin = AdminClient(_kafka_options(stage.rig))
    with stage.fault("records deleted"):
        for answer in admin.delete_records(places).values():
            answer.result(30)
    stage.await_progress("all partitions go on", 90.0)
    _must_tell_losses(stage)


def _retention() -> Servers:
    """A broker that looks for what it may delete each second."""
    settings = {"log.retention.check.interval.ms": "1000", "log.initial.task.delay.ms": "1000"}
    return Servers(kafka=KafkaServer(settings=settings))


@row(27, "retention", Setup(records=30_000, size=1000, env=SHORT_BUFFERS, servers=_retention), stage=Losing)
def retention(stage: Losing) -> None:
    """Retention overtakes the readers: whole logs are gone, new records come; the bridges say what was never read."""
    with stage.fault("retention"):
        _configure(stage.rig, retention_ms="500")
        stage.rig.until(lambda: _log_starts(stage.rig) == stage.rig.ends(), 90, "all logs are empty", step=0.5)
        _configure(stage.rig, retention_ms="-1")
        stage.rig.produce(6000, size=1000)
    stage.await_progress("all partitions go on", 90.0)
    _must_tell_losses(stage)


def _log_starts(rig: Rig) -> Mapping[Partition, int]:
    client = Consumer(_kafka_options(rig, **{"group.id": "onlooker"}))
    try:
        return {tp: client.get_watermark_offsets(TopicPartition(*tp), 10)[0] for tp in rig.ends()}
    finally:
        client.close()


def _must_tell_losses(stage: Losing) -> None:
    """What was never handled is what the bridges have reported as deleted, to the record."""
    stage.rig.until(stage.rig.all_committed, 120, "everything committed", step=0.5)
    counts = [
        int(found[1])
        for bridge in stage.bridges.values()
        for line in told(stage, bridge, "report")
        if (found := re.search(r"\((\d+)\) were deleted", line["text"]))
    ]
    handled = checker.handled(stage.rig.runs(), "link1")
    missing = sum(not handled[*tp, offset] for tp, end in stage.rig.ends().items() for offset in range(end))
    stage.figures["records told as deleted"] = sum(counts)
    if sum(counts) != missing:
        stage.violations.append(f"{missing} records were never handled, the bridges told of {sum(counts)}: {counts}")


# --- topics that change -------------------------------------------------------------------------------------------

#: seconds until a bridge looks at its topics again
QUICK_LOOK = {"BRIDGE_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS": "3000"}


@row(28, "partitions-added", Setup(partitions=6, env=QUICK_LOOK))
def partitions_added(stage: Stage) -> None:
    """6 partitions become 12 under running bridges, and are written to at once: from their first record on."""
    with stage.fault("partitions added"):
        stage.rig.add_partitions(12)
        stage.rig.produce(12_000, start=20_000)
    stage.await_progress("all partitions go on", 90.0)


class Doomed(Stage):
    """With a second topic, `doomed`, of as many partitions and records."""

    def write_records(self) -> None:
        """In both topics."""
        super().write_records()
        self.rig.create_topic("doomed", self.rig.partitions)
        self.rig.produce(self.setup.records, topic="doomed")

    def _all_ready(self) -> bool:
        """They say all the time that they are not: a topic of theirs is missing."""
        return not any(self.sampler.ready.values())


@row(28, "topic-deleted", Setup(env={**QUICK_LOOK, "FAULTS_TOPIC": "faults,doomed"}), stage=Doomed)
def topic_deleted(stage: Doomed) -> None:
    """One of two topics is deleted for good under running bridges: they say so, and the other goes on."""
    with stage.fault("topic deleted"):
        stage.rig.delete_topic("doomed")
        for tp, records in read_history(stage.rig.history).produced.items():
            if tp[0] == "doomed":
                stage.note("gone", topic=tp[0], partition=tp[1], offsets=pack(list(records)))
    stage.await_progress("all partitions go on", 90.0)
    stage.rig.until(lambda: _words_about(stage, "doomed"), 60, "a bridge says that the topic is gone", step=0.5)
    stage.figures["bridges say"] = _words_about(stage, "doomed")[0]


def _words_about(stage: Stage, topic: str) -> list[str]:
    """The lines above INFO about a topic in the bridges' logs, but for failing records and commits."""
    return [
        line
        for bridge in stage.bridges.values()
        for line in bridge.log.read_text(errors="replace").splitlines()
        if topic in line and re.search(r" (WARNING|ERROR) +(?!retry|commit)", line)
    ]


class Recreated(Stage):
    """Its topic is deleted and made anew: what counts is the new one. A run belongs to it by what its records carry."""

    def new_runs(self) -> list[Run]:
        """The runs with records of the new topic."""
        written, ends = read_history(self.rig.history), self.rig.ends()
        # what was produced last at an offset is what counts; beyond the end it is of the old topic
        return [
            run
            for run in written.runs
            if any(
                offset < ends[run.tp] and written.produced[run.tp][offset] == found
                for offset, found in zip(run.offsets, run.sums, strict=True)
            )
        ]

    def judge(self) -> Report:
        """Each record of the new topic was handled once, in order, one batch at a time, and the end is committed."""
        runs, ends, committed = self.new_runs(), self.rig.ends(), self.rig.committed()
        handled = checker.handled(runs, "link1")
        places = [(*tp, offset) for tp, end in ends.items() for offset in range(end)]
        lost = [f"R1 loss: {place} of the new topic" for place in places if not handled[place]]
        again = [
            f"R8 repeats: {place} of the new topic, {handled[place]} times" for place in places if handled[place] > 1
        ]
        disorder = [f"R5 {text}" for text in checker.out_of_order(runs)]
        disorder += [f"R7 {first.chain}, {second.chain}" for first, second in checker.overlapping(runs)]
        open_ends = [f"R1 {tp}: committed {committed[tp]}, end {end}" for tp, end in _unlike(committed, ends)]
        figures = {"records handled": handled.total(), "lost": len(lost), "repeated": len(again)}
        figures["order and overlap"] = len(disorder)
        return Report({**figures, **self.figures}, [*lost, *again, *disorder, *open_ends])


def _unlike(committed: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Sequence[tuple[Partition, int]]:
    return [(tp, end) for tp, end in ends.items() if committed[tp] != end]


@row(28, "topic-recreated", Setup(env=QUICK_LOOK, begins_when=400), stage=Recreated)
def topic_recreated(stage: Recreated) -> None:
    """Deleted and made anew with fewer records than were committed, under running bridges: all new ones are handled."""
    stage.figures["committed in the old topic"] = min(stage.rig.committed().values())
    with stage.fault("topic recreated"):
        stage.rig.delete_topic(stage.rig.topic)
        stage.rig.create_topic(stage.rig.topic, stage.rig.partitions)
        stage.rig.produce(stage.rig.partitions * 50, start=1_000_000)
    stage.rig.until(lambda: _is_handled(stage), 120, "all records of the new topic handled", step=1.0)


def _is_handled(stage: Recreated) -> bool:
    seen: dict[Partition, Counter[int]] = defaultdict(Counter)
    for run in stage.new_runs():
        seen[run.tp].update(run.succeeded)
    return all(len(seen[tp]) >= end for tp, end in stage.rig.ends().items())
