"""What the tasks have seen, in a file that all processes of a run share: the next offset of each partition, for the
last link of a chain and for one before it.

Whoever handles records calls `take`; a record that is missing, comes again or too early raises there, and marks the
file, so that the run fails whatever the framework makes of the exception. Needs Python alone: other frameworks have
environments of their own.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: partitions that there may be
_PARTITIONS = 1024
_LINKS = 2
_BYTES = 8
#: what stands there when something else came than what was next
_WRONG = -1


class Seen:
    """The file at a path, which `create` has made."""

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(handle, _PARTITIONS * _LINKS * _BYTES)
        finally:
            os.close(handle)
        self._next = memoryview(self._map).cast("q")

    @classmethod
    def create(cls, path: Path) -> Seen:
        """A new file: nothing was seen."""
        path.write_bytes(bytes(_PARTITIONS * _LINKS * _BYTES))
        return cls(path)

    def take(self, partition: int, first: int, last: int, count: int, *, link: int = 0) -> None:
        """`count` records from `first` to `last` came. Raises ValueError unless they are what is next."""
        place = link * _PARTITIONS + partition
        wanted = self._next[place]
        if first != wanted or count != last - first + 1:
            self._next[place] = _WRONG
            raise ValueError(f"{count} records from {first} to {last} of partition {partition}, {wanted} was next")
        self._next[place] = last + 1

    def next_offsets(self, partitions: int, *, link: int = 0) -> list[int]:
        """Of each partition; below zero where something was wrong."""
        begin = link * _PARTITIONS
        return self._next[begin : begin + partitions].tolist()

    def take_all(self, count: int, place: Callable[[int], tuple[int, int]]) -> None:
        """`count` records came, of which place(index) is partition and offset, in runs of one partition. Looks at the
        ends of runs alone, so that looking costs next to nothing. Raises ValueError unless they are what is next."""
        if count:
            self._take_between(0, count, place)

    def take_messages(self, messages: Sequence[Any]) -> None:
        """The same for messages of confluent-kafka."""
        self.take_all(len(messages), lambda index: (messages[index].partition(), messages[index].offset()))

    def _take_between(self, begin: int, end: int, place: Callable[[int], tuple[int, int]]) -> None:
        (partition, first), (other, last) = place(begin), place(end - 1)
        if partition == other and last - first == end - begin - 1:
            self.take(partition, first, last, end - begin)
        else:
            middle = (begin + end) // 2
            self._take_between(begin, middle, place)
            self._take_between(middle, end, place)
