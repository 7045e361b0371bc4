"""What records say and what tasks note. Times are nanoseconds of CLOCK_MONOTONIC, one clock for all processes of a
machine."""

from collections.abc import Callable
from functools import cache
from io import FileIO
from os import getpid
from pathlib import Path
from struct import Struct

#: a value begins with when it was given to the producer
SENT = Struct(">q")

#: partition, offset, when it was sent, when its task began
LATENCY = Struct(">iqqq")

#: a value begins with which one of its key's records it is, from 0
NUMBER = Struct(">q")

#: partition, the key's number, which one of its key's records it is, when its task began, when it ended
KEYED = Struct(">iiqqq")

#: partition, the batch's last offset, when it was done
ENDED = Struct(">iqq")

#: while this file is among the notes, each batch of this partition takes so many seconds
SLOW_FLAG, SLOW_PARTITION, SLOW_S = "slow", 0, 1.0

#: when a slow batch began
SLOW = Struct(">q")


@cache
def writer(folder: Path) -> Callable[[bytes], int]:
    """Writes notes of this process, each at once and whole, from any thread."""
    return FileIO(folder / f"{getpid()}.notes", "a").write  # two threads may come here at once


def read_notes(folder: Path, note: Struct) -> list[list[tuple[int, ...]]]:
    """The notes of each process, in the order in which they were written."""
    return [list(note.iter_unpack(path.read_bytes())) for path in folder.glob("*.notes")]
