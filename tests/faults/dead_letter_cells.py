"""The way of a dead letter, cut at its worst moment, and the other policies for records that are given up."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from tests.faults.cell import Report, open_runs, register, require, run_to_end
from tests.faults.given_up import DEAD_LETTERS, BadRig, EarlyWatch, judge_given_up, watched_to_end
from tests.faults.rig import Process

#: a member that comes back is not waited for
ONLY: dict[str, Any] = {"BRIDGE_KAFKA_GROUP_INSTANCE_ID": "only", "BRIDGE_SESSION_TIMEOUT": "6"}
WAITING = f"{DEAD_LETTERS} has acknowledged"


def _bad_round(rig: BadRig, number: int) -> None:
    """100 records more in each partition; one in half of them fails three seconds after it was begun with."""
    start = number * 100
    bad = {(partition, start + 50): {"do": "raise", "after": 3} for partition in range(rig.partitions // 2)}
    rig.write_records(100 * rig.partitions, bad, start=start * rig.partitions)


def _until_letters_wait(rig: BadRig, bridge: Process) -> None:
    """The broker stands still between the failure of bad records and the acknowledgement of their dead letters."""
    before = len([run for run in rig.runs() if run.error])
    rig.until(lambda: len([run for run in open_runs(rig) if 50 in [o % 100 for o in run.offsets]]) >= 3, 60, "bad runs")
    rig.stack.kafka.suspend()
    rig.until(lambda: len([run for run in rig.runs() if run.error]) > before, 30, "a failure")
    rig.until(lambda: rig.waiting(WAITING), 30, "a dead letter that is waited for", step=0.2)
    require(bridge.exit_code is None, f"the bridge has ended:\n{bridge.tail()}")


def _judge_watched(rig: BadRig, watch: EarlyWatch, *, kills: int) -> Report:
    """What became of the bad records, where each letter may be there twice; `kills` is only told."""
    letters = rig.letters.read()
    extra = len(letters) - len({letter.place for letter in letters})
    report = judge_given_up(rig, copies=1, kills=kills, extra_copies=extra, offsets_compared_while_running=watch.looks)
    report.violations += watch.violations
    return report


@register("dlq-bridge-kill")
def dlq_bridge_kill() -> Report:
    """kill -9 of the bridge between a record's failure and its dead letter's acknowledgement: twice with no dead letter
    topic, then three times with a broker that stands still. No loss, no gap, no letter more than twice."""
    with BadRig(FAULTS_ATTEMPTS="1", FAULTS_BATCH="20", BRIDGE_BRAKE_LIMIT="0", **ONLY) as rig:
        _bad_round(rig, 0)
        rig.workers(pool="prefork", concurrency=3)
        watch = EarlyWatch(rig)
        for number in range(2):
            bridge = rig.bridge(name=f"without-{number}")
            rig.until(lambda: watch.look() and rig.waiting(DEAD_LETTERS, "stalled") == 6, 60, "6 lanes wait", step=0.5)
            bridge.kill_group()
        rig.create_dead_letters()
        for number in range(3):
            _bad_round(rig, number + 1)
            bridge = rig.bridge(name=f"frozen-{number}")
            _until_letters_wait(rig, bridge)
            bridge.kill_group()
            rig.stack.kafka.resume()
            watch.look()
        watched_to_end(rig, watch, 120)
        return _judge_watched(rig, watch, kills=5)


@register("dlq-kafka-kill")
def dlq_kafka_kill() -> Report:
    """kill -9 of the broker between a record's failure and its dead letter's acknowledgement, down for 10 s, twice: no
    loss, no gap, no letter more than twice (the bridge's session ends, and its next one writes what the last one has
    had no answer to); the bridge goes on by itself."""
    with BadRig(FAULTS_ATTEMPTS="1", FAULTS_BATCH="20", BRIDGE_BRAKE_LIMIT="0", **ONLY) as rig:
        rig.create_dead_letters()
        rig.workers(pool="prefork", concurrency=3)
        bridge, watch = rig.bridge(), EarlyWatch(rig)
        for number in range(2):
            _bad_round(rig, number)
            _until_letters_wait(rig, bridge)
            rig.stack.kafka.kill()
            time.sleep(10)
            rig.stack.kafka.start()
            rig.until(lambda: watch.look() and rig.all_committed(), 120, "everything committed", step=0.5)
        require(bridge.exit_code is None, f"the bridge has ended:\n{bridge.tail()}")
        return _judge_watched(rig, watch, kills=2)


@register("dlq-missing")
def dlq_missing() -> Report:
    """There is no dead letter topic: a warning at the start names the command; a lane that needs it waits and says so,
    the others go on; it goes on by itself when the topic is created."""
    with BadRig(FAULTS_BATCH="50", BRIDGE_BRAKE_LIMIT="0") as rig:
        rig.write_records(12_000, {(5, 300): {"do": "raise"}})
        rig.workers()
        bridge = rig.bridge("--until-idle")
        rig.until(lambda: rig.waiting(DEAD_LETTERS, "stalled") == 1, 60, "a lane that waits", step=0.5)
        others = [tp for tp in rig.committed() if tp[1] != 5]
        rig.until(lambda: all(rig.committed()[tp] == 1000 for tp in others), 60, "the others go on")
        reasons = [lane["reason"] for lane in rig.lanes() if lane["state"] == "stalled"]
        require(rig.committed()[rig.topic, 5] == 300, "something else is committed than what is below the record")
        said = [line for line in bridge.log.read_text().splitlines() if "kafka-topics.sh" in line]
        require(said and f"--create --topic {DEAD_LETTERS} --partitions 12" in said[0], f"no command: {said[:1]}")
        rig.create_dead_letters()
        rig.until(lambda: bridge.exit_code is not None, 60, "the bridge until idle")
        require(bridge.exit_code == 0, f"exit {bridge.exit_code}:\n{bridge.tail()}")
        return judge_given_up(rig, at_the_start=said[0], the_lane=reasons[0])


@register("dlq-stop")
def dlq_stop() -> Report:
    """on_exhausted="stop": three lanes stop at their bad records, the others end, exit 3; a second bridge leaves them
    stopped and runs nothing again."""
    bad = {(1, 0): {"do": "raise"}, (5, 333): {"do": "unnamed"}, (9, 499): {"do": "reject"}}
    with BadRig(FAULTS_BATCH="50", FAULTS_ON_EXHAUSTED="stop") as rig:
        rig.create_dead_letters()
        rig.write_records(6_000, bad)
        rig.workers()
        run_to_end(rig, 90, exit_code=3)
        runs = len(rig.runs())
        run_to_end(rig, 90, exit_code=3)
        again = len(rig.runs()) - runs
        report = judge_given_up(rig, lettered=lambda place: False, stopped=dict(list(bad)))
        report.violations += [f"{again} batches of stopped lanes ran again"] if again else []
        watch = EarlyWatch(rig)
        watch.look()
        report.violations += watch.violations
        return report


@register("dlq-skip")
def dlq_skip() -> Report:
    """on_exhausted="skip": bad records are passed over and logged, no dead letter is written, exit 0."""
    bad = {(p, 40 + 35 * p): {"do": what} for p, what in enumerate(("raise", "unnamed", "reject", "undecodable") * 3)}
    with BadRig(FAULTS_BATCH="50", FAULTS_ON_EXHAUSTED="skip", BRIDGE_BRAKE_LIMIT="0") as rig:
        rig.create_dead_letters()
        rig.write_records(6_000, bad)
        rig.workers()
        watch = EarlyWatch(rig, skipped=rig.bad)
        bridge = watched_to_end(rig, watch, 90)
        said = bridge.log.read_text().count(" skipped ")
        report = judge_given_up(rig, lettered=lambda place: False, records_skipped=said)
        report.violations += watch.violations
        if said != len(bad):
            report.violations.append(f"{said} lines about {len(bad)} skipped records")
        return report


@register("on-failed")
def on_failed() -> Report:
    """The on_failed task decides for each record: dead letter, skip or stop. What it said is done; what it raises over,
    and what it was asked about when its process was killed, is dead-lettered; the lane that it stopped stays so, exit
    3."""
    bad: dict[tuple[int, int], dict[str, object]] = {
        (0, 120): {"do": "raise", "verdict": "dead_letter"},
        (1, 120): {"do": "unnamed", "verdict": "skip"},
        (2, 120): {"do": "reject", "verdict": "skip", "ponder": 5},
        (3, 120): {"do": "undecodable"},  # of which the on_failed task cannot make sense: it raises
        (4, 120): {"do": "raise", "verdict": "skip", "ponder": 5},
        (5, 120): {"do": "raise", "verdict": "stop"},
    }
    with BadRig(partitions=6, FAULTS_BATCH="50", FAULTS_ON_FAILED="1") as rig:
        rig.create_dead_letters()
        rig.write_records(1_800, bad)
        rig.workers(pool="prefork", concurrency=3)
        bridge = rig.bridge("--until-idle")
        for partition in (2, 4):
            _kill_decider(rig, partition)
        rig.until(lambda: bridge.exit_code is not None, 120, "the bridge until idle")
        require(bridge.exit_code == 3, f"exit {bridge.exit_code} instead of 3:\n{bridge.tail()}")
        asked = sum(run.link == "decide" for run in rig.runs())
        return judge_given_up(
            rig, lettered=lambda place: place[1] in (0, 2, 3, 4), stopped={5: 120}, times_that_the_task_was_asked=asked
        )


def _kill_decider(rig: BadRig, partition: int) -> None:
    """kill -9 of the process in which the on_failed task ponders a record of this partition."""

    def ponders() -> list[int]:
        return [run.pid for run in open_runs(rig) if run.link == "decide" and run.partition == partition]

    rig.until(ponders, 60, "an on_failed task")
    os.kill(ponders()[0], signal.SIGKILL)
