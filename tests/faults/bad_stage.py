"""A stage whose records say what is to go wrong with them (bad_app.py), with a dead letter topic.

The usual load here too: one record of a hundred fails its batch once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from bridge.devstack import DevStack
from tests.faults.cell import Report
from tests.faults.claims import Claims
from tests.faults.given_up import BadRig, counted
from tests.faults.letters import wrong_letters
from tests.faults.places import Place
from tests.faults.rig import Rig
from tests.faults.stage import Setup, Stage

#: what is wrong with the records at these places: partition, offset
Scattered = dict[tuple[int, int], Mapping[str, object]]
ONCE: Mapping[str, object] = MappingProxyType({"do": "unnamed", "times": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class BadSetup(Setup):
    """`bad` draws the bad records; `flaky`: of so many offsets one fails its batch once, 0 for none."""

    app: str = "tests.faults.bad_app"
    records: int = 9_600
    bad: Callable[[Random], Scattered] = lambda roll: {}
    flaky: int = 100


class BadStage(Stage):
    """Afterwards every good record was handled, and every bad one is in the dead letter topic as what it is."""

    rig: BadRig
    setup: BadSetup

    def __init__(self, setup: BadSetup, seed: int) -> None:
        super().__init__(setup, seed)
        self.rig.env.setdefault("FAULTS_ATTEMPTS", "3")
        #: what the rows drew
        self.bad = setup.bad(self.roll)

    def make_rig(self, servers: AbstractContextManager[DevStack] | None) -> Rig:
        """One whose records are bad."""
        return BadRig(partitions=self.setup.partitions, servers=servers, app=self.setup.app)

    def write_records(self) -> None:
        """The load, and a dead letter topic."""
        self.rig.create_dead_letters()
        self.rig.write_records(self.setup.records, {**self._flaky(), **self.bad}, keys=self.setup.keys)

    def _flaky(self) -> Scattered:
        if not self.setup.flaky:
            return {}
        offsets = range(0, self.setup.records // self.setup.partitions, self.setup.flaky)
        return {(partition, offset): ONCE for partition in range(self.setup.partitions) for offset in offsets}

    def claims(self) -> Claims:
        """All bad records are given up."""
        undecodable = {place for place, kind in self.rig.bad.items() if kind == "undecodable"}
        return replace(super().claims(), letters=set(self.rig.bad), undecodable=undecodable)

    def judge(self) -> Report:
        """The rules, and what kind of dead letter each bad record became."""
        letters = self.rig.letters.read()
        for letter in letters:
            topic, partition, offset = letter.place
            self.note("letter", topic=topic, partition=partition, offset=offset, sum=letter.sum)
        report = super().judge()
        report.figures["dead letters"] = counted(letters)
        report.violations += wrong_letters(letters, self.rig.bad, self.rig.values)
        return report

    def places(self) -> list[Place]:
        """Where the bad records are."""
        return [(self.rig.topic, partition, offset) for partition, offset in self.bad]

    def await_letters(self, timeout: float, what: str) -> None:
        """Every record that must be in the dead letter topic is there."""
        self.rig.until(
            lambda: {each.place for each in self.rig.letters.read()} >= set(self.rig.bad), timeout, what, 0.3
        )

    def await_others(self, timeout: float, what: str) -> None:
        """The partitions without bad records are finished and committed."""
        sick = {place[1] for place in self.places()}

        def finished() -> bool:
            committed, ends = self.rig.committed(), self.rig.ends()
            return all(committed[tp] >= end for tp, end in ends.items() if tp[1] not in sick)

        self.rig.until(finished, timeout, what, step=0.3)

    def check_neighbours(self) -> None:
        """While a bad record was dealt with, from its first run to its dead letter, every other lane has moved, unless
        it had nothing left, or a bad record of its own."""
        runs = self.rig.runs()
        sick = {place[:2] for place in self.places()}
        given_up = {each.place: monotonic(each.at_ms) for each in self.rig.letters.read()}
        for place in self.places():
            own = next(run for run in runs if run.tp == place[:2] and place[2] in run.offsets)
            later = [run for run in runs if run.tp not in sick and run.ended and run.ended > own.begin]
            moved = {run.stream for run in later if (run.ended or 0.0) < given_up[place]}
            if still := {run.stream for run in later} - moved:
                self.violations.append(f"R9 progress: {len(still)} lanes stood still while {place} was dealt with")


def monotonic(at_ms: int) -> float:
    """A time of a Kafka timestamp as CLOCK_MONOTONIC has it, in seconds."""
    return at_ms / 1000 - time.time() + time.monotonic()
