"""What the tasks printed, read from the workers' logs: the demo's only source of what became of the records."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: the number as text and its double, as the tasks print them
Pair = tuple[str, int]

_GOT_BATCH = re.compile(
    r"(?P<said>Got batch: (?P<pairs>\[.*\]) (?P<topic>[\w.-]+)\[(?P<partition>\d+)\] "
    r"(?P<first>\d+)\.\.(?P<last>\d+) by (?P<trigger>\w+))"
)


@dataclass(frozen=True, slots=True)
class PrintedBatch:
    """One `Got batch` line. `worker` is the worker in whose log it stands, `said` the line without what Celery puts
    before it."""

    worker: str
    topic: str
    partition: int
    first: int
    last: int
    trigger: str
    pairs: tuple[Pair, ...]
    said: str


class PrintedBatches:
    """Reads on in the workers' logs. `batches` holds what was read so far, each worker's in the order of its log."""

    def __init__(self, logs: Mapping[str, Path]) -> None:
        self._logs = dict(logs)
        self._read = dict.fromkeys(logs, 0)
        self.batches: list[PrintedBatch] = []

    @property
    def records(self) -> int:
        """How many records the batches hold."""
        return sum(len(batch.pairs) for batch in self.batches)

    def read_on(self) -> list[PrintedBatch]:
        """The batches that were printed since the last call."""
        fresh = [batch for worker in self._logs for batch in self._of(worker)]
        self.batches += fresh
        return fresh

    def _of(self, worker: str) -> Iterator[PrintedBatch]:
        for line in self._whole_lines(worker):
            batch = parse(worker, line)
            if batch is not None:
                yield batch

    def _whole_lines(self, worker: str) -> list[str]:
        with self._logs[worker].open("rb") as log:
            log.seek(self._read[worker])
            block = log.read()
        end = block.rfind(b"\n") + 1
        self._read[worker] += end
        return block[:end].decode(errors="replace").splitlines()


def parse(worker: str, line: str) -> PrintedBatch | None:
    """The batch that a line of the worker's log speaks of, if it does."""
    found = _GOT_BATCH.search(line)
    if found is None:
        return None
    return PrintedBatch(
        worker=worker,
        topic=found["topic"],
        partition=int(found["partition"]),
        first=int(found["first"]),
        last=int(found["last"]),
        trigger=found["trigger"],
        pairs=tuple(ast.literal_eval(found["pairs"])),
        said=found["said"],
    )
