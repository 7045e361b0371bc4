"""Rows of the matrix: records of every shape, through bridge and tasks, and through the dead letter topic."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager

from bridge.devstack import DevStack
from bridge.devstack.kafka import KafkaServer
from tests.faults import sums
from tests.faults.bad_stage import BadSetup, BadStage
from tests.faults.matrix import row
from tests.faults.servers import Servers
from tests.faults.shapes import LARGEST, SHAPES, Shape, produce
from tests.faults.stage import Setup, Stage
from tests.kafka.raw_headers import produce_with_header


def large_messages() -> AbstractContextManager[DevStack]:
    """A broker that takes the largest of the shapes."""
    return Servers(kafka=KafkaServer(settings={"message.max.bytes": str(LARGEST + 100_000)}))


def write_shapes(stage: Stage) -> dict[tuple[int, int], Shape]:
    """Each partition gets every shape, in an order of its own, amid ordinary records, and at first a record with a
    header name that is not UTF-8. Returns partition, offset -> shape."""
    count, servers = stage.setup.partitions, stage.rig.stack.kafka.bootstrap_servers
    ordinary = [Shape("ordinary", b'{"n": 1}') for _ in range(stage.setup.records // count)]
    placed: list[tuple[int, Shape]] = []
    for partition in range(count):
        _write_unreadable(stage, servers, partition)
        mixed = [*ordinary, *SHAPES]
        stage.roll.shuffle(mixed)
        placed += [(partition, shape) for shape in mixed]
    found = produce(servers, stage.rig.topic, placed, stage.note)
    return {place: shape for place, shape in found.items() if shape.what != "ordinary"}


def _write_unreadable(stage: Stage, servers: str, partition: int) -> None:
    """The Kafka client cannot read such headers: the record comes without any, and the bridge says so."""
    at_ms = int(time.time() * 1000)  # an old record alone in its log would be deleted by Kafka's retention
    produce_with_header(servers, stage.rig.topic, b"{}", b"\xff", partition=partition, timestamp_ms=at_ms)
    carried = sums.digest(at_ms, None, b"{}")
    stage.note("produced", topic=stage.rig.topic, partition=partition, records=[[0, carried]])


class ShapesStage(Stage):
    """Tasks that take bytes."""

    def write_records(self) -> None:
        """The shapes."""
        self.figures["records of a shape"] = len(write_shapes(self))


@row(
    26,
    "data-shapes",
    Setup(partitions=6, records=3_000, begins_when=10, servers=large_messages, env={"FAULTS_FLAKY": "0"}),
    stage=ShapesStage,
)
def data_shapes(stage: ShapesStage) -> None:
    """Empty, null, 2 MB, 100 headers, repeated and broken header names, no timestamp, ...: every record reaches its
    task byte for byte."""
    _await_headers_told(stage)


def _await_headers_told(stage: Stage) -> None:
    def told() -> bool:
        return any("headers" in bridge.log.read_text(errors="replace") for bridge in stage.bridges.values())

    stage.rig.until(told, 60, "the bridge says that headers cannot be read")


class UndecodableStage(BadStage):
    """Tasks that take JSON, which most shapes are not."""

    def write_records(self) -> None:
        """The shapes, and a dead letter topic."""
        self.rig.create_dead_letters()
        for (partition, offset), shape in write_shapes(self).items():
            if not _is_json(shape):
                self.rig.bad[self.rig.topic, partition, offset] = "undecodable"


def _is_json(shape: Shape) -> bool:
    try:
        json.loads(b"null" if shape.value is None else shape.value)
    except ValueError:
        return False
    return True


@row(
    26,
    "data-shapes-undecodable",
    # a second bridge that joins would take lanes over while their letters are written, and write them again
    BadSetup(partitions=6, records=3_000, begins_when=10, servers=large_messages, flaky=0, bridges=1),
    stage=UndecodableStage,
)
def data_shapes_undecodable(stage: UndecodableStage) -> None:
    """The same into a pipeline that wants JSON: what is none goes to the dead letter topic byte for byte, as
    `undecodable`, without using an attempt; the others are handled."""
    stage.await_letters(90, "every record that is no JSON is given up")
    again = [run for run in stage.rig.runs() if run.attempt > 1]
    if again:
        stage.violations.append(f"R1 given up: {len(again)} batches were tried again for records that are no JSON")
