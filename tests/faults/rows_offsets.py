"""Rows of the matrix: somebody moves or deletes the offsets of the stopped group, as operators do."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from bridge.devstack.jars import tools_classpath
from bridge.devstack.java import find_java
from tests.faults.cell import open_runs, require
from tests.faults.matrix import row
from tests.faults.places import Partition
from tests.faults.seen import told
from tests.faults.stage import Setup, Stage

#: Kafka's tools take their time, a large load would not show more
QUICK = Setup(records=9000, begins_when=100)

#: what may stand beside a committed offset that is not ours: nothing, anything, and our own of another format
TEXTS = ("", "moved by hand", "lanebridge/0 7", "lanebridge/2 owner=9 topic=abc lanes=3", "lanebridge/1 owner=x")


@row(32, "offsets-reset", QUICK)
def offsets_reset(stage: Stage) -> None:
    """Kafka's own tool resets the stopped group to an offset, back in half of the partitions and forward in the others:
    the bridges start exactly there, and say so."""
    _stop(stage)
    moved = _places(stage)
    with stage.fault("offsets reset"), stage.sampler.paused():
        for parity in (0, 1):
            some = {tp: offset for tp, offset in moved.items() if tp[1] % 2 == parity}
            numbers = ",".join(str(number) for _, number in some)
            how = ["--reset-offsets", "--to-offset", str(min(some.values())), "--topic", f"{stage.rig.topic}:{numbers}"]
            said = _stock_tool(stage, *how, "--execute")
            require(said.count(stage.rig.topic) >= len(some), f"the tool did not reset all of {some}:\n{said}")
        _note_reset(stage, moved)
    _start_exactly_there(stage, moved)


@row(32, "offsets-metadata", QUICK)
def offsets_metadata(stage: Stage) -> None:
    """A plain client moves the stopped group's offsets, back and forward, with no text beside them, with a text that is
    not ours, and with one of an older or a newer format of ours: the bridges start exactly there, and say so."""
    _stop(stage)
    moved = _places(stage)
    with stage.fault("offsets moved"), stage.sampler.paused():
        client = Consumer(
            {"bootstrap.servers": stage.rig.stack.kafka.bootstrap_servers, "group.id": "faults", "log_level": 0}
        )
        places = [
            TopicPartition(*tp, offset, metadata=TEXTS[number % len(TEXTS)])
            for number, (tp, offset) in enumerate(moved.items())
        ]
        client.commit(offsets=places, asynchronous=False)
        client.close()
        _note_reset(stage, moved)
    _start_exactly_there(stage, moved)


@row(32, "offsets-deleted", QUICK)
def offsets_deleted(stage: Stage) -> None:
    """Kafka's own tool deletes the stopped group's offsets of half of the partitions; later the whole group is deleted:
    the ledger knows better, nothing is repeated."""
    _stop(stage)
    half = ",".join(str(number) for number in range(0, stage.rig.partitions, 2))
    with stage.fault("offsets deleted"):
        said = _stock_tool(stage, "--delete-offsets", "--topic", f"{stage.rig.topic}:{half}")
        require("Error" not in said, f"the tool did not delete the offsets:\n{said}")
        require(min(stage.rig.committed().values()) == 0, "no offset was deleted")
    _start(stage)
    stage.await_lines(200)
    _stop(stage)
    with stage.fault("group deleted"):
        admin = AdminClient({"bootstrap.servers": stage.rig.stack.kafka.bootstrap_servers})
        admin.delete_consumer_groups(["faults"])["faults"].result(30)
        require(max(stage.rig.committed().values()) == 0, "the group still has offsets")
    _start(stage)
    stage.await_progress("all partitions go on", 90.0)


# --- steps --------------------------------------------------------------------------------------------------------


def _stop(stage: Stage) -> None:
    """When something of every partition is committed, the bridges end in order, and what they have left in flight as
    well."""
    stage.rig.until(lambda: min(stage.rig.committed().values()) > 0, 60, "commits in every partition", step=0.3)
    for name in list(stage.bridges):
        stage.terminate(name)
    lines = -1

    def is_quiet() -> bool:
        nonlocal lines
        before, lines = lines, stage.rig.lines()
        return before == lines and not open_runs(stage.rig)

    stage.rig.until(is_quiet, 60, "what was in flight has ended", step=2.0)


def _start(stage: Stage) -> None:
    for number in range(stage.setup.bridges):
        stage.start_bridge(f"b{number}")


def _places(stage: Stage) -> dict[Partition, int]:
    """Back in the even partitions, forward in the odd ones, each to one offset that is drawn at random."""
    committed, ends = stage.rig.committed(), stage.rig.ends()
    back = stage.roll.randrange(min(offset for tp, offset in committed.items() if tp[1] % 2 == 0))
    most = max(offset for tp, offset in committed.items() if tp[1] % 2)
    forward = stage.roll.randrange(most + 1, min(ends.values()))
    return {tp: forward if tp[1] % 2 else back for tp in committed}


def _note_reset(stage: Stage, moved: Mapping[Partition, int]) -> None:
    stage.note("reset", offsets=[[*tp, offset] for tp, offset in moved.items()])
    found = stage.rig.committed()
    require(found == moved, f"the offsets are {found}, wanted were {moved}")


def _start_exactly_there(stage: Stage, moved: Mapping[Partition, int]) -> None:
    """Every partition is read from the place where it was set, after a warning."""
    _start(stage)
    stage.await_progress("all partitions go on", 90.0)
    bridges = list(stage.bridges.values())
    first: dict[Partition, int] = {}
    for line in sorted((line for each in bridges for line in told(stage, each, "start")), key=lambda line: line["at"]):
        first.setdefault((line["topic"], line["partition"]), line["offset"])
    if first != moved:
        stage.violations.append(f"the bridges start at {first}, the offsets were set to {moved}")
    warned = sum(line["action"] == "clear" for each in bridges for line in told(stage, each, "report"))
    if warned != len(moved):
        stage.violations.append(f"{warned} warnings about {len(moved)} partitions whose offsets were moved")


def _stock_tool(stage: Stage, *arguments: str) -> str:
    """What kafka-consumer-groups.sh says of the group."""
    tool = [str(find_java()), "-cp", tools_classpath(), "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"]
    command = [*tool, "--bootstrap-server", stage.rig.stack.kafka.bootstrap_servers, "--group", "faults", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return answer.stdout + answer.stderr
