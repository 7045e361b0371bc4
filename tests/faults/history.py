"""What happened in a cell, written down by everybody who took part: JSON lines, in one file per process.

The tasks write a line per begin and end of a link's run; events.py says who else writes what. Times are
CLOCK_MONOTONIC, which all processes of a machine share; `wall` is the time of day as the process knows it. A line is
one write to a file opened for append, so that a killed process leaves whole lines.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import sums
from tests.faults.events import BRIDGE, INJECTOR, SAMPLER, Reader, Said
from tests.faults.places import Partition, pack, unpack

#: FAULTS_SUMS=1: runs say what their records carry
SUMS = os.environ.get("FAULTS_SUMS") == "1"

_handles: dict[tuple[str, int], int] = {}


def write(directory: str, line: dict[str, Any]) -> None:
    """Append one line to this process's file in `directory`."""
    key = (directory, os.getpid())
    if key not in _handles:
        path = Path(directory) / f"{os.getpid()}.jsonl"
        _handles[key] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    about = {"at": time.monotonic(), "wall": time.time(), "pid": os.getpid(), **line}
    os.write(_handles[key], (json.dumps(about) + "\n").encode())


def begin(directory: str, task: Any, link: str, batch: Any) -> str:
    """A link begins with a batch; what `end` names it by."""
    run = uuid.uuid4().hex
    about: dict[str, Any] = {
        "link": link,
        "topic": batch.topic,
        "partition": batch.partition,
        "lane": batch.lane,
        "chain": batch.id,
        "attempt": batch.attempt,
        "offsets": pack([record.offset for record in batch]),
        "worker": task.request.hostname or "",
        "queue": (task.request.delivery_info or {}).get("routing_key", ""),
    }
    if SUMS:
        about["sums"] = [sums.of_record(record) for record in batch]
    write(directory, {"run": run, "event": "begin", **about})
    return run


def end(directory: str, run: str, *, error: str = "", done: Sequence[int] | None = None) -> None:
    """It ends; `done`: the offsets that succeeded, when that is neither all of them nor, with an error, none."""
    about = {} if done is None else {"done": pack(done)}
    write(directory, {"run": run, "event": "end", **({"error": error} if error else {}), **about})


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one link for one batch. `end` is None when it was killed, or raised (`error`, at `failed_at`); `done`
    are the offsets that succeeded when it raised behind some of them, or rejected some (None: all, or none)."""

    link: str
    topic: str
    partition: int
    lane: int
    chain: str
    offsets: tuple[int, ...]
    begin: float
    end: float | None
    pid: int
    worker: str
    queue: str
    error: str = ""
    attempt: int = 1
    failed_at: float | None = None
    done: tuple[int, ...] | None = None
    #: what its records carry, in their order; empty when nobody asked
    sums: tuple[int, ...] = ()

    @property
    def succeeded(self) -> tuple[int, ...]:
        """The offsets that went on to the next link, or are finished."""
        if self.done is not None:
            return self.done
        return self.offsets if self.end is not None else ()

    @property
    def stream(self) -> tuple[str, int, int]:
        """The lane it belongs to."""
        return (self.topic, self.partition, self.lane)

    @property
    def tp(self) -> Partition:
        """The partition it belongs to."""
        return (self.topic, self.partition)

    @property
    def ended(self) -> float | None:
        """When it succeeded or raised."""
        return self.failed_at if self.end is None else self.end


@dataclass(frozen=True, slots=True)
class History:
    """Everything that was written down, each kind in the order of time. `produced`: what the broker acknowledged, the
    sum of each record by its offset; offsets that nobody produced (control records) are not there."""

    runs: Sequence[Run] = ()
    produced: Mapping[Partition, Mapping[int, int]] = field(default_factory=dict)
    bridges: Sequence[Said] = ()
    injected: Sequence[Said] = ()
    samples: Sequence[Said] = ()


def read(directory: Path) -> list[Run]:
    """All runs that were written down, by begin."""
    return _runs(_lines(directory))


def read_history(directory: Path) -> History:
    """Everything that was written down; lines of an event that events.py does not name are left out."""
    lines = list(_lines(directory))
    produced: dict[Partition, dict[int, int]] = defaultdict(dict)
    for line in lines:
        if line["event"] == "produced":
            produced[line["topic"], line["partition"]].update(line["records"])
    ordered = {tp: dict(sorted(records.items())) for tp, records in produced.items()}
    return History(_runs(lines), ordered, *(_said(lines, readers) for readers in (BRIDGE, INJECTOR, SAMPLER)))


def _said(lines: Iterable[dict[str, Any]], readers: Mapping[str, Reader]) -> list[Said]:
    found = [readers[line["event"]]((line["at"], line["pid"]), line) for line in lines if line["event"] in readers]
    return sorted(found, key=lambda said: said.at)


def _lines(directory: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob("*.jsonl")):
        for text in path.read_text().splitlines():
            yield json.loads(text)


def _runs(lines: Iterable[dict[str, Any]]) -> list[Run]:
    begins: dict[tuple[int, str], dict[str, Any]] = {}
    runs: list[Run] = []
    for line in lines:
        if line["event"] == "begin":
            begins[line["pid"], line["run"]] = line
        elif line["event"] == "end":
            runs.append(_run(begins.pop((line["pid"], line["run"])), line))
    runs.extend(_run(begin, None) for begin in begins.values())
    return sorted(runs, key=lambda run: run.begin)


def _run(begin: dict[str, Any], end: dict[str, Any] | None) -> Run:
    error = "" if end is None else end.get("error", "")
    return Run(
        link=begin["link"],
        topic=begin["topic"],
        partition=begin["partition"],
        lane=begin["lane"],
        chain=begin["chain"],
        offsets=tuple(unpack(begin["offsets"])),
        begin=begin["at"],
        end=None if end is None or error else end["at"],
        pid=begin["pid"],
        worker=begin["worker"],
        queue=begin["queue"],
        error=error,
        attempt=begin["attempt"],
        failed_at=end["at"] if end is not None and error else None,
        done=tuple(unpack(end["done"])) if end is not None and "done" in end else None,
        sums=tuple(begin.get("sums", ())),
    )
