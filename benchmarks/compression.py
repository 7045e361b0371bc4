"""What a payload costs: bytes in Redis, and processor time of who writes and who reads it, compressed in each way.

Run: ./run bench compression, or python -m benchmarks.compression
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from statistics import median
from typing import get_args

import click

from benchmarks.values import values
from bridge.entries import BatchHeader
from bridge.ledger.compression import Compression
from bridge.ledger.payload import PayloadHeader, decode, encode
from bridge.records import Row

#: milliseconds, when the first record was produced; each one comes 3 to the millisecond
_FIRST_MS, _PER_MS = 1_795_000_000_000, 3

_COLUMNS = ("value", "rows", "compression", "bytes", "share", "write", "claim", "read", "pass on")
_LINE = "{:>6} {:>6} {:>12} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8}"

#: seconds that one timing takes at least
_LEAST_S = 0.05


@click.command("compression")
@click.option("--rows", default="100,1000,5000", show_default=True, help="Records of a payload.")
@click.option("--sizes", default="100,1000", show_default=True, help="Bytes of a value.")
@click.option("--rounds", default=7, show_default=True, help="The median of so many timings is shown.")
def compression_cost(rows: str, sizes: str, rounds: int) -> None:
    """Print for each kind of payload what a record takes in it: bytes, their share of the record's own, and processor
    time in microseconds. write: the bridge; claim: a task that touches no record; read: one that goes through all of
    them; pass on: a link that returned a number for each."""
    click.echo(_LINE.format(*_COLUMNS))
    for size in map(int, sizes.split(",")):
        for count in map(int, rows.split(",")):
            found = tuple(islice(_rows(values(size)), count))
            for compression in get_args(Compression):
                click.echo(_LINE.format(size, count, compression, *_costs(found, compression, rounds)))


def _rows(found: Sequence[bytes]) -> Iterator[Row]:
    for offset, value in enumerate(cycle(found)):
        yield offset, _FIRST_MS + offset // _PER_MS, b"k-%05d" % (offset * 7919 % 100_000), value, ()


def _costs(rows: Sequence[Row], compression: Compression, rounds: int) -> Iterator[str]:
    count = len(rows)
    header = PayloadHeader("orders", 3, 0, "chain", 1, 1, 2, (BatchHeader(0, count - 1, count, "size"),))
    blob = encode(header, rows, compression=compression)
    yield f"{len(blob) / count:.1f}"
    yield f"{len(blob) / sum(len(row[2] or b'') + len(row[3] or b'') for row in rows):.2f}"
    numbers, payload = list(range(count)), decode(blob)
    steps: tuple[Callable[[], object], ...] = (
        lambda: encode(header, rows, compression=compression),
        lambda: len(decode(blob)),
        lambda: sum(1 for _ in decode(blob).records()),
        lambda: payload.cut(range(count), data=numbers),
    )
    for step in steps:
        yield f"{median(_timed(step) for _ in range(rounds)) / count * 1e6:.3f}"


def _timed(step: Callable[[], object]) -> float:
    """Seconds of processor time of one call."""
    times, began = 0, time.process_time()
    while (taken := time.process_time() - began) < _LEAST_S:
        step()
        times += 1
    return taken / times


if __name__ == "__main__":
    compression_cost()
