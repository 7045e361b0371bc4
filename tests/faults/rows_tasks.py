"""Rows of the matrix: records that go wrong, one, some or all of them, and what becomes of their lanes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.faults.bad_stage import BadSetup, BadStage, Scattered
from tests.faults.cell import open_runs
from tests.faults.given_up import DEAD_LETTERS, Database
from tests.faults.matrix import row

PARTITIONS = 12
OFFSETS = BadSetup().records // PARTITIONS
#: `link_timeout` of the rows about a record that hangs, seconds
HANGS = 4.0


def scattered(partitions: int, each: int, least: int = 100, **what: object) -> Callable[[Random], Scattered]:
    """So many partitions with so many bad records each, at random offsets from `least` on."""

    def draw(roll: Random) -> Scattered:
        chosen = roll.sample(range(PARTITIONS), partitions)
        return {(p, o): what for p in chosen for o in roll.sample(range(least, OFFSETS), each)}

    return draw


# --- a record that kills its process ----------------------------------------------------------------------------------


@row(8, "poison-process", BadSetup(bad=scattered(2, 1, do="exit"), env={"FAULTS_BATCH": "8"}), stage=BadStage)
def poison_process(stage: BadStage) -> None:
    """Two records end the process that handles them, each time: dead-lettered as worker_lost after three losses and the
    search for them in their batch; the other partitions go on meanwhile."""
    with stage.fault("records that kill their process"):
        stage.await_letters(150, "both records are given up")
    stage.check_neighbours()


# --- a record that hangs for ever -------------------------------------------------------------------------------------

STUCK = BadSetup(
    bad=scattered(1, 1, do="hang"),
    env={"FAULTS_LINK_TIMEOUT": str(HANGS), "FAULTS_BATCH": "8", "BRIDGE_MAX_TIMEOUTS": "1"},
)


@row(23, "stuck-record", STUCK, stage=BadStage)
def stuck_record(stage: BadStage) -> None:
    """A record hangs for ever: its lane is tried again after link_timeout, says so with the offset, and goes on without
    it (dead letter `timeout`); the other partitions go on meanwhile."""
    with stage.fault("a record hangs"):
        _await_told(stage)
        stage.await_letters(150, "the record is given up")
    stage.check_neighbours()


def _await_told(stage: BadStage) -> None:
    """The bridge says so within twice the link_timeout, and names where the unfinished records begin."""
    ((_, partition, offset),) = stage.places()

    def hangs() -> bool:
        return any(run.partition == partition and offset in run.offsets for run in open_runs(stage.rig))

    stage.rig.until(hangs, 90, "a hanging record")
    began = time.monotonic()
    stage.rig.until(lambda: _told(stage, partition, offset), 60, "the bridge says that a link timed out", step=0.2)
    seconds = time.monotonic() - began
    stage.figures["told after (s)"] = round(seconds, 1)
    if seconds > 2 * HANGS:
        stage.violations.append(f"R11 signals: the link that hangs is reported after {seconds:.1f} s")


def _told(stage: BadStage, partition: int, offset: int) -> list[str]:
    """What the bridges have written of that partition's link_timeout, at this offset or one before it in its batch."""
    lines = [line for bridge in stage.bridges.values() for line in bridge.log.read_text(errors="replace").splitlines()]
    about = [line for line in lines if f"{stage.rig.topic}[{partition}]" in line and "link_timeout" in line]
    return [line for line in about if any(int(each) <= offset for each in re.findall(r"\boffset (\d+)", line))]


@row(
    23,
    "stuck-key",
    replace(STUCK, keys=100, env={**STUCK.env, "FAULTS_ORDER": "key", "FAULTS_LANES": "8"}),
    stage=BadStage,
)
def stuck_key(stage: BadStage) -> None:
    """The same with order_by="key": the other lanes of its own partition go on meanwhile too, and nothing at or above
    the record is committed before it is given up."""
    with stage.fault("a record hangs"):
        _await_told(stage)
        stage.await_letters(150, "the record is given up")
    stage.check_neighbours()


# --- records that fail ------------------------------------------------------------------------------------------------


# no batch fails for another reason: that would count as one of the record's tries
@row(24, "failing-retried", BadSetup(bad=scattered(6, 3, do="raise", times=2), flaky=0), stage=BadStage)
def failing_retried(stage: BadStage) -> None:
    """18 records fail twice, named, in the middle of their batches: those before each go on, it and those behind it are
    tried again, nothing is given up."""
    with stage.fault("records fail twice"):
        stage.rig.until(lambda: _named(stage) == 2 * len(stage.bad), 120, "every record has failed twice", step=0.3)


def _named(stage: BadStage) -> int:
    return sum(run.error == "named" for run in stage.rig.runs())


#: at the end of the backlog nothing is left that could succeed, and the lanes that fail look like an outage
BRIEF_BRAKE = {"BRIDGE_BRAKE_LIMIT": "5"}


@row(24, "failing-dead-letter", BadSetup(bad=scattered(4, 3, do="raise"), env=BRIEF_BRAKE), smoke=True, stage=BadStage)
def failing_dead_letter(stage: BadStage) -> None:
    """12 records fail at every attempt: each is in the dead letter topic once, in order, everything around them is
    handled."""
    with stage.fault("records fail always"):
        stage.await_letters(120, "every record is given up")


@row(24, "dead-letters-away", BadSetup(bad=scattered(3, 2, OFFSETS // 2, do="raise")), stage=BadStage)
def dead_letters_away(stage: BadStage) -> None:
    """The dead letter topic is deleted while the bridges run: lanes that need it wait and say so, the others are
    finished; they go on when the topic is there again."""
    sick = len({place[1] for place in stage.places()})
    with stage.fault("no dead letter topic"):
        stage.rig.delete_topic(DEAD_LETTERS)
        stage.rig.until(
            lambda: stage.rig.waiting(DEAD_LETTERS, "stalled") == sick, 90, "lanes that wait for the topic", step=0.5
        )
        stage.await_others(90, "the other partitions are finished")
        _nothing_passed(stage)
    stage.rig.create_dead_letters()
    began = time.monotonic()
    stage.await_letters(60, "every record is given up")
    stage.figures["longest recovery (s)"] = round(time.monotonic() - began, 1)


def _nothing_passed(stage: BadStage) -> None:
    """No offset is past a record whose dead letter is not written."""
    committed = stage.rig.committed()
    for tp in {(topic, partition) for topic, partition, _ in stage.places()}:
        first = min(offset for topic, partition, offset in stage.places() if (topic, partition) == tp)
        if committed[tp] > first:
            stage.violations.append(
                f"P6 committed {committed[tp]} of {tp}, but {first} is not in the dead letter topic"
            )


SLOW_TO_FAIL = BadSetup(
    bad=scattered(3, 1, OFFSETS // 2, do="raise", after=2),
    env={"FAULTS_ATTEMPTS": "1"},
)


@row(24, "dead-letters-frozen", SLOW_TO_FAIL, stage=BadStage)
def dead_letters_frozen(stage: BadStage) -> None:
    """The broker stands still while records fail: their dead letters wait for its acknowledgement, nothing is lost and
    no letter is there twice."""
    bad = {place[1:] for place in stage.places()}

    def held() -> list[object]:
        return [run for run in open_runs(stage.rig) if any((run.partition, o) in bad for o in run.offsets)]

    stage.rig.until(held, 90, "a record that will fail")
    with stage.fault("broker frozen"):
        stage.rig.stack.kafka.suspend()
        stage.wait(4, 7)
        stage.rig.stack.kafka.resume()
    stage.await_letters(90, "every record is given up")


# --- everything fails -------------------------------------------------------------------------------------------------


class OutageStage(BadStage):
    """Every link connects to a database."""

    def __init__(self, setup: BadSetup, seed: int) -> None:
        super().__init__(setup, seed)
        self.database = self._cleanup.enter_context(Database())
        self.rig.env["FAULTS_DATABASE"] = self.database.address


@row(25, "outage", BadSetup(env={"FAULTS_ATTEMPTS": "2"}), stage=OutageStage)
def outage(stage: OutageStage) -> None:
    """What the tasks need is away for 15 s, every attempt fails: no record is given up, the lanes name the brake, and
    all go on in order."""
    with stage.fault("database down"):
        stage.database.stop()
        down = time.monotonic()
        stage.rig.until(lambda: stage.rig.waiting("outage brake"), 45, "lanes name the brake", step=0.5)
        stage.wait(max(0.0, down + 15 - time.monotonic()))
        stage.database.start()
    stage.await_progress("all partitions go on")
    stage.figures["failed attempts"] = sum(run.error == "ConnectionRefusedError" for run in stage.rig.runs())
