"""What the tasks of a cell write down: one JSON line per begin and end of a link's run, in one file per process.

Times are CLOCK_MONOTONIC, which all processes of a machine share. A line is one write to a file opened for append,
so that a killed process leaves whole lines.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_handles: dict[tuple[str, int], int] = {}


def write(directory: str, line: dict[str, Any]) -> None:
    """Append one line to this process's file in `directory`."""
    key = (directory, os.getpid())
    if key not in _handles:
        path = Path(directory) / f"{os.getpid()}.jsonl"
        _handles[key] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(_handles[key], (json.dumps({"at": time.monotonic(), "pid": os.getpid(), **line}) + "\n").encode())


def begin(directory: str, task: Any, link: str, batch: Any) -> str:
    """A link begins with a batch; what `end` names it by."""
    run = uuid.uuid4().hex
    about = {
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
    write(directory, {"run": run, "event": "begin", **about})
    return run


def end(directory: str, run: str, *, error: str = "", done: Sequence[int] | None = None) -> None:
    """It ends; `done`: the offsets that succeeded, when that is neither all of them nor, with an error, none."""
    about = {} if done is None else {"done": pack(done)}
    write(directory, {"run": run, "event": "end", **({"error": error} if error else {}), **about})


def pack(offsets: Sequence[int]) -> list[list[int]]:
    """Offsets as inclusive ranges."""
    ranges: list[list[int]] = []
    for offset in offsets:
        if ranges and ranges[-1][1] == offset - 1:
            ranges[-1][1] = offset
        else:
            ranges.append([offset, offset])
    return ranges


def unpack(ranges: Sequence[Sequence[int]]) -> Iterator[int]:
    """The offsets of inclusive ranges."""
    for first, last in ranges:
        yield from range(first, last + 1)


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


def read(directory: Path) -> list[Run]:
    """All runs that were written down, by begin."""
    begins: dict[tuple[int, str], dict[str, Any]] = {}
    runs: list[Run] = []
    for path in sorted(directory.glob("*.jsonl")):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            if "run" not in line:
                continue
            key = (line["pid"], line["run"])
            if line["event"] == "begin":
                begins[key] = line
            else:
                runs.append(_run(begins.pop(key), line))
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
    )
