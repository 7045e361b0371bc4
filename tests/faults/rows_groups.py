"""Rows of the matrix: bridges that come and go all the time, and rebalances that meet something under way."""

from __future__ import annotations

import signal
import time
from itertools import pairwise

from bridge.devstack.kafka import KafkaServer
from tests.faults.matrix import row
from tests.faults.seen import await_shared, told
from tests.faults.servers import Servers
from tests.faults.stage import Ending, Setup, Stage

QUICK = {"BRIDGE_SESSION_TIMEOUT": "3", "BRIDGE_HEARTBEAT_INTERVAL": "0.5"}
NEXT = {"BRIDGE_SESSION_TIMEOUT": "3", "BRIDGE_KAFKA_GROUP_PROTOCOL": "consumer"}

#: the bridges of a storm; seconds that it lasts, the longest pause in it, and within which there must be progress
NAMES = ("b0", "b1", "b2")
STORM, LONGEST_PAUSE, WINDOW = 20.0, 0.5, 10.0


def _storm(stage: Stage) -> None:
    endings: dict[str, Ending] = {}
    changes, begin = 0, time.monotonic()
    with stage.fault("rebalance storm"):
        while time.monotonic() < begin + STORM:
            changes += _toggle(stage, endings)
            stage.wait(0.0, LONGEST_PAUSE)
            _await_exits(stage, endings, only_ended=True)
        end = time.monotonic()
        _await_exits(stage, endings, only_ended=False)
        for name in NAMES:
            if name not in stage.bridges:
                stage.start_bridge(name)
    stage.await_progress("all partitions go on", timeout=60)
    ended = sorted(run.end for run in stage.rig.runs() if run.end is not None and begin <= run.end < end)
    silence = max(after - before for before, after in pairwise([begin, *ended, end]))
    stage.figures |= {
        "changes": changes,
        "links ended in the storm": len(ended),
        "longest silence (s)": round(silence, 1),
    }
    if silence > WINDOW:
        stage.violations.append(f"R9 liveness: no link ended for {silence:.1f} s in the storm")


def _await_exits(stage: Stage, endings: dict[str, Ending], *, only_ended: bool) -> None:
    for name, ending in list(endings.items()):
        if ending.process.exit_code is not None or not only_ended:
            del endings[name]
            stage.await_exit(ending)


def _toggle(stage: Stage, endings: dict[str, Ending]) -> bool:
    """Start or end one of the bridges; whether that was done: one that has not joined the group yet goes on, and so
    does the only one that has: how long a process takes to start is not what the storm is about."""
    name = stage.roll.choice(NAMES)
    if name in endings:
        return False  # its place is not free yet
    if name not in stage.bridges:
        stage.start_bridge(name)
        return True
    joined = {each for each, bridge in stage.bridges.items() if told(stage, bridge, "assigned")}
    if name not in joined or joined == {name}:
        return False
    if stage.roll.random() < 0.5:
        stage.kill(name)
    else:
        endings[name] = stage.ask_to_end(name, signal.SIGTERM)
    return True


@row(20, "storm", Setup(env=QUICK, bridges=3, records=16_000))
def storm(stage: Stage) -> None:
    """Three bridges, one of which is killed, stopped or started at random every 0.5 s at most, for 20 s."""
    _storm(stage)


@row(20, "storm-static", Setup(env=QUICK, bridges=3, records=16_000, is_static=True))
def storm_static(stage: Stage) -> None:
    """The same with static members."""
    _storm(stage)


def _next_generation() -> Servers:
    """A broker that gives a silent bridge up after 3 s, as the bridges of the classic protocol ask for."""
    return Servers(kafka=KafkaServer(settings={"group.consumer.session.timeout.ms": "3000"}))


@row(20, "storm-848", Setup(env=NEXT, bridges=3, records=16_000, servers=_next_generation))
def storm_next_generation(stage: Stage) -> None:
    """The same in a group of the next generation (`group.protocol=consumer`)."""
    _storm(stage)


class Uneven(Stage):
    """Half of the partitions have far more records than a bridge may hold, the others a few: these are paused, the
    others are not."""

    def write_records(self) -> None:
        """Records by number: number % partitions is the partition."""
        partitions, count = self.setup.partitions, self.setup.records
        numbers = (each for each in range(count) if each % partitions < partitions // 2 or each < count // 20)
        self.rig.write((each, str(each).encode().ljust(self.setup.size, b".")) for each in numbers)


@row(
    21,
    "rebalance-paused",
    Setup(env={**QUICK, "BRIDGE_BUFFER_BYTES": "1048576"}, records=24_000, size=4_000),
    stage=Uneven,
)
def rebalance_paused(stage: Stage) -> None:
    """A third bridge comes, and is stopped or killed, while partitions are paused because their buffers are full;
    twice."""
    for number in range(2):
        stage.rig.until(lambda: _paused(stage), 30, "a partition is paused", step=0.1)
        with stage.fault("a bridge comes and goes"):
            stage.start_bridge("extra")
            await_shared(stage)
            if number % 2:
                stage.kill("extra")
            else:
                stage.terminate("extra")
        stage.await_progress("all partitions go on")


def _paused(stage: Stage) -> set[tuple[str, int]]:
    """What the bridges have asked their clients to pause, and not to read again since."""
    paused: set[tuple[str, int]] = set()
    for bridge in stage.bridges.values():
        own: set[tuple[str, int]] = set()
        for line in told(stage, bridge, "paused", "resumed", "start", "revoked", "lost"):
            if line["event"] in {"revoked", "lost"}:
                own -= {(topic, partition) for topic, partition in line["partitions"]}
            elif line["event"] == "paused":
                own.add((line["topic"], line["partition"]))
            else:
                own.discard((line["topic"], line["partition"]))
        paused |= own
    return paused


@row(21, "rebalance-draining", Setup(env=QUICK, links=2, records=10_000))
def rebalance_draining(stage: Stage) -> None:
    """A bridge is stopped and another comes while the stopped one commits for the last time and leaves; five times."""
    for number in range(5):
        stage.wait(0.3, 1.5)
        with stage.fault("one goes, one comes"):
            came = f"next{number}"
            stage.start_bridge(came)
            # it joins somewhat later than it is started: the other one leaves around that moment
            stage.rig.until(lambda: told(stage, stage.bridges[came], "started"), 30, "it starts")  # noqa: B023
            stage.wait(0.0, 1.0)
            stage.terminate(stage.roll.choice(sorted(set(stage.bridges) - {came})))
    stage.await_progress("all partitions go on")


@row(21, "rebalance-superseded", Setup(env=QUICK, records=10_000))
def rebalance_superseded(stage: Stage) -> None:
    """Three more bridges come at almost the same moment, and go, killed or stopped, before the rebalances that they
    bring about are over; three times."""
    for number in range(3):
        stage.wait(0.3, 1.0)
        with stage.fault("rebalances overtake each other"):
            extra = [f"extra{number}{letter}" for letter in "abc"]
            for name in extra:
                stage.start_bridge(name)
            endings = [_end_when_joining(stage, name) for name in extra]
        for ending in endings:
            if ending is not None:
                stage.await_exit(ending, codes=(0, -signal.SIGTERM))
        stage.await_progress("all partitions go on")


def _end_when_joining(stage: Stage, name: str) -> Ending | None:
    bridge = stage.bridges[name]
    stage.rig.until(lambda: told(stage, bridge, "started"), 30, "it starts")
    stage.wait(0.0, 1.5)
    if stage.roll.random() < 0.5:
        stage.kill(name)
        return None
    return stage.ask_to_end(name, signal.SIGTERM)
