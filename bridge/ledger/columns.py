"""Columns of numbers and of byte strings: the two shapes that a payload is made of.

Rules: no Python call per element; numbers are stored as a base and the narrowest unsigned differences (little endian),
equal or consecutive ones as nothing at all; None among byte strings is the length -1.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

#: how the differences to the base are stored: all are 0, each is one more than that before, or an array's type
_EQUAL, _DENSE = "=", "+"
_WIDTHS = (("B", 1 << 8), ("H", 1 << 16), ("I", 1 << 32), ("Q", 1 << 64))
_SIZES = {_EQUAL: 0, _DENSE: 0} | {code: array(code).itemsize for code, _ in _WIDTHS}


class Shape(NamedTuple):
    """How a column of numbers is stored."""

    base: int
    code: str

    def size(self, count: int) -> int:
        """Bytes that `count` numbers take."""
        return _SIZES[self.code] * count


def pack(numbers: Sequence[int]) -> tuple[Shape, bytes]:
    """Numbers (64 bits, signed) as bytes."""
    if not numbers:
        return Shape(0, _EQUAL), b""
    low, high = min(numbers), max(numbers)
    if low == high:
        return Shape(low, _EQUAL), b""
    code = next(code for code, limit in _WIDTHS if high - low < limit)
    return Shape(low, code), _little_endian(array(code, [number - low for number in numbers])).tobytes()


def pack_rising(numbers: Sequence[int]) -> tuple[Shape, bytes]:
    """Numbers of which each is higher than that before, as bytes."""
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        return Shape(numbers[0], _DENSE), b""
    return pack(numbers)


def unpack(shape: Shape, blob: bytes, count: int) -> Sequence[int]:
    """The numbers that `pack` or `pack_rising` stored."""
    if shape.code == _EQUAL:
        return [shape.base] * count
    if shape.code == _DENSE:
        return range(shape.base, shape.base + count)
    numbers = array(shape.code)
    numbers.frombytes(blob)
    base = shape.base
    return [base + number for number in _little_endian(numbers)]


def lengths(strings: Sequence[bytes | None]) -> list[int]:
    """The length of each, -1 for None."""
    try:
        return list(map(len, strings))  # type: ignore[arg-type]
    except TypeError:
        return [-1 if string is None else len(string) for string in strings]


def join(strings: Sequence[bytes | None]) -> bytes:
    """All of them in one."""
    return b"".join(filter(None, strings))


def split(blob: bytes, start: int, sizes: Sequence[int]) -> list[bytes | None]:
    """The byte strings of these lengths that lie behind each other in `blob` from `start` on."""
    if not sizes or min(sizes) >= 0:
        ends = accumulate(sizes, initial=start)
        return [blob[end : end + size] for end, size in zip(ends, sizes, strict=False)]
    ends = accumulate([max(size, 0) for size in sizes], initial=start)
    return [None if size < 0 else blob[end : end + size] for end, size in zip(ends, sizes, strict=False)]


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
