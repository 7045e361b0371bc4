"""What the cells about failures share: records of which some are bad, and what must have become of each."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from types import MappingProxyType
from typing import Self

from bridge.devstack import DevStack
from tests.faults.cell import Report
from tests.faults.checker import handled, violations
from tests.faults.letters import Letter, Letters, committed_early, wrong_letters
from tests.faults.places import Place
from tests.faults.rig import Failed, Process, Rig

DEAD_LETTERS = "faults.dlq"
GOOD: Mapping[str, object] = {}

#: what a bad record does -> what it is given up as
DISPOSITIONS = {
    "raise": "exhausted",
    "unnamed": "exhausted",
    "rude": "exhausted",
    "reject": "rejected",
    "exit": "worker_lost",
    "hang": "timeout",
    "undecodable": "undecodable",
}

#: partition, offset -> what is wrong with the record there
Bad = Mapping[tuple[int, int], Mapping[str, object]]


class BadRig(Rig):
    """A rig whose records say what is to go wrong with them."""

    def __init__(
        self,
        *,
        partitions: int = 12,
        servers: AbstractContextManager[DevStack] | None = None,
        app: str = "tests.faults.bad_app",
        **env: str,
    ) -> None:
        super().__init__(partitions=partitions, servers=servers, app=app)
        self.env.update(env)
        self.bad: dict[Place, str] = {}
        self.values: dict[Place, bytes] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        self.letters = Letters(self.stack.kafka.bootstrap_servers, DEAD_LETTERS)
        self._cleanup.callback(self.letters.close)
        return self

    def create_dead_letters(self) -> None:
        """The dead letter topic is there from now on."""
        self.create_topic(DEAD_LETTERS, self.partitions)

    def write_records(self, count: int, bad: Bad, start: int = 0, *, keys: int = 0) -> None:
        """`count` records in turn to each partition, the number of the first being `start`, some of them bad."""
        self.write(((number, self._value(number, bad)) for number in range(start, start + count)), keys=keys)

    def _value(self, number: int, bad: Bad) -> bytes:
        partition, offset = number % self.partitions, number // self.partitions
        about = bad.get((partition, offset), GOOD)
        what = str(about.get("do", ""))
        value = b"{no json" if what == "undecodable" else json.dumps({"n": number, **about}).encode()
        if what and "times" not in about:
            self.bad[self.topic, partition, offset] = DISPOSITIONS[what]
            self.values[self.topic, partition, offset] = value
        return value

    def waiting(self, text: str, state: str = "") -> int:
        """How many lanes give this reason."""
        return sum(text in lane["reason"] and state in ("", lane["state"]) for lane in self.lanes())


def judge_given_up(
    rig: BadRig,
    links: Iterable[str] = ("link1",),
    *,
    copies: int = 0,
    lettered: Callable[[Place], bool] = lambda place: True,
    stopped: Mapping[int, int] = MappingProxyType({}),
    repeats: int = 0,
    **figures: object,
) -> Report:
    """All good records were handled in order, the bad ones are in the dead letter topic if `lettered` says so, else
    they were skipped; everything is committed, in a partition that is `stopped` up to that offset exactly."""
    runs = [run for run in rig.runs() if run.link != "decide"]
    places = {(rig.topic, partition): offset for partition, offset in stopped.items()}
    expected = rig.expected(links, stopped=places, repeats=repeats)
    good = {
        (topic, partition): [o for o in offsets if (topic, partition, o) not in rig.bad]
        for (topic, partition), offsets in expected.offsets.items()
    }
    letters = rig.letters.read()
    wanted = {place: disposition for place, disposition in rig.bad.items() if lettered(place)}
    records = handled(runs, expected.links[-1])
    report = Report({"records handled": records.total(), "dead letters": counted(letters), **figures})
    report.violations += violations(runs, replace(expected, offsets=good))
    report.violations += wrong_letters(letters, wanted, rig.values, copies)
    report.violations += [
        f"P6 {tp} is not committed up to {o}" for tp, o in places.items() if o != expected.committed[tp]
    ]
    report.violations += [f"P6 bad record {place} counts as handled" for place in rig.bad if records[place]]
    return report


def counted(letters: Iterable[Letter]) -> str:
    """How many there are of each disposition."""
    kinds = [letter.disposition for letter in letters]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds))) or "none"


def wall_clock(monotonic: float) -> float:
    """Seconds since the epoch, as Kafka's timestamps have them, of a time that a task wrote down."""
    return monotonic + time.time() - time.monotonic()


class EarlyWatch:
    """Compares, again and again while the cell runs, what is committed with what is handled or dead-lettered."""

    def __init__(self, rig: BadRig, link: str = "link1", skipped: Collection[Place] = ()) -> None:
        self._rig = rig
        self._link = link
        self._skipped = skipped
        self.looks = 0
        self.violations: list[str] = []

    def look(self) -> bool:
        """Once; always True, so that it can stand in a condition."""
        committed = self._rig.committed()  # first: what was done before is seen afterwards
        letters = self._rig.letters.read()
        self.violations += committed_early(committed, self._rig.runs(), letters, self._link, self._skipped)
        self.looks += 1
        return True


def watched_to_end(rig: BadRig, watch: EarlyWatch, timeout: float, exit_code: int = 0) -> Process:
    """A bridge until it is idle, and the watch all the time."""
    bridge = rig.bridge("--until-idle", name=f"bridge-{len(rig.processes)}")
    rig.until(lambda: watch.look() and bridge.exit_code is not None, timeout, "the bridge until idle", step=0.2)
    if bridge.exit_code != exit_code:
        raise Failed(f"exit {bridge.exit_code} instead of {exit_code}:\n{bridge.tail()}")
    return bridge


class Database:
    """What the tasks connect to: a server on loopback that can be down."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._address = ("127.0.0.1", 0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """host:port, the same whether it is up or down."""
        return f"{self._address[0]}:{self._address[1]}"

    def start(self) -> None:
        """Connections are taken."""
        listener = socket.create_server(self._address)
        self._socket, self._address = listener, listener.getsockname()
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Connections are refused."""
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # stopped
            return
        connection.close()
