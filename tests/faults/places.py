"""Where records are, and offsets as they are written down: as inclusive ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: topic and partition; with an offset; with a lane
Partition = tuple[str, int]
Place = tuple[str, int, int]
Stream = tuple[str, int, int]


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
