"""The demo in its steps: servers, topic, processes, records, checks, end."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bridge.cli.demo.broker import Broker, Numbers
from bridge.cli.demo.checks import Scenario, judge
from bridge.cli.demo.interrupts import Interrupts
from bridge.cli.demo.printed import PrintedBatches
from bridge.cli.demo.screen import Counts, Screen
from bridge.cli.demo.stage import Stage
from bridge.errors import LanebridgeError

_LOOK_EVERY_S = 0.05

#: seconds without any movement after which the demo has failed
_PATIENCE_S = 60.0


class StoodStill(LanebridgeError):
    """Nothing moved any more, though records were waiting."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    app_name: str
    group: str
    lane_queues: int
    scenario: Scenario
    rate: float | None
    keep: bool


@dataclass(slots=True)
class Verdict:
    """What came out: `finished` when the table was reached, and every sentence about a check that did not hold."""

    finished: bool = False
    problems: list[str] = field(default_factory=list)


def play(wish: Wish, screen: Screen) -> Verdict:
    """Run the demo and stop everything that it started. Raises LanebridgeError when it cannot go on."""
    verdict = Verdict()
    with Interrupts() as interrupts, Stage(wish.app_name, wish.lane_queues, Path.cwd()) as stage:
        try:
            _play(wish, screen, stage, verdict)
        except KeyboardInterrupt:
            screen.say("Interrupted.")
        except LanebridgeError:
            screen.tails(stage.children.tails())
            raise
        interrupts.stopping()
        _end(screen, stage, verdict)
    return verdict


def _play(wish: Wish, screen: Screen, stage: Stage, verdict: Verdict) -> None:
    scenario = wish.scenario
    screen.say("Starting Kafka and Redis ...")
    stage.open_servers()
    with closing(Broker(stage.stack.kafka.bootstrap_servers, wish.group, scenario)) as broker:
        broker.create_topic()
        screen.say(f"Topic {scenario.topic} with {scenario.partitions} partitions is there.")
        screen.say("Starting two workers, Flower and the bridge ...")
        stage.open_processes()
        printed = PrintedBatches(stage.worker_logs)
        seconds = _carry(wish, screen, stage, broker, printed)
        reports = judge(scenario, printed.batches, broker.offsets())
    screen.table(scenario.topic, reports, seconds)
    screen.say(f"Flower: {stage.addresses.flower}{'' if wish.keep else ' (with --keep it stays)'}")
    verdict.problems += [problem for report in reports for problem in report.problems]
    verdict.finished = True
    if wish.keep:
        _keep(screen, stage, printed, scenario.topic)


def _carry(wish: Wish, screen: Screen, stage: Stage, broker: Broker, printed: PrintedBatches) -> float:
    """Produce, and watch until the broker says that all is committed; the seconds that it took."""
    began = moved_at = time.monotonic()
    numbers = Numbers(stage.stack.kafka.bootstrap_servers, wish.scenario, wish.rate)
    counts = Counts()
    with screen.progress(wish.scenario.messages):
        while counts.committed < wish.scenario.messages:
            time.sleep(_LOOK_EVERY_S)
            stage.check()
            numbers.produce_on()
            before, counts = counts, Counts(numbers.produced, _show(screen, printed), broker.committed_records())
            screen.count(counts)
            if counts != before or counts.committed == counts.produced:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > _PATIENCE_S:
                raise StoodStill(f"{StoodStill.__doc__} ({counts.produced} produced, {counts.committed} committed)")
    return time.monotonic() - began


def _show(screen: Screen, printed: PrintedBatches) -> int:
    """Show what the tasks have printed; how many records that is in all."""
    for batch in printed.read_on():
        screen.batch(batch)
    return printed.records


def _keep(screen: Screen, stage: Stage, printed: PrintedBatches, topic: str) -> None:
    """Until Ctrl-C: show what the tasks print."""
    screen.addresses(stage.addresses, topic)
    while True:
        time.sleep(_LOOK_EVERY_S)
        stage.check()
        _show(screen, printed)


def _end(screen: Screen, stage: Stage, verdict: Verdict) -> None:
    """Stop all. That each process ends cleanly is a check too."""
    if verdict.finished and verdict.problems:
        screen.tails(stage.children.tails())
    screen.say("Stopping the bridge, Flower, the workers, Kafka and Redis ...")
    problems = stage.children.stop()
    if verdict.finished:
        verdict.problems += problems
    stage.close()
