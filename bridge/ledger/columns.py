"""Columns of numbers and of byte strings: the two shapes that a payload is made of.

Rules: no Python call per element; numbers are stored as a base and the narrowest differences (signed, little endian),
equal or consecutive ones as nothing at all; None among byte strings has the size -1.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

#: how the differences to the base are stored: all are 0, each is one more than that before, or an array's type
_EQUAL, _DENSE, _NARROW, _WIDEST = "=", "+", ("b", "h", "i"), "q"
_SIZES = {_EQUAL: 0, _DENSE: 0} | {code: array(code).itemsize for code in (*_NARROW, _WIDEST)}


class Shape(NamedTuple):
    """How a column of numbers is stored."""

    base: int
    code: str

    def size(self, count: int) -> int:
        """Bytes that `count` numbers take."""
        return _SIZES[self.code] * count


def pack(numbers: Sequence[int], base: int) -> tuple[Shape, bytes]:
    """Numbers (64 bits, signed) as bytes; `base` is near most of them."""
    if not numbers or numbers.count(numbers[0]) == len(numbers):
        return Shape(numbers[0] if numbers else 0, _EQUAL), b""
    differences = [number - base for number in numbers] if base else numbers
    for code in _NARROW:
        try:
            return Shape(base, code), _little_endian(array(code, differences)).tobytes()
        except OverflowError:
            continue
    return Shape(0, _WIDEST), _little_endian(array(_WIDEST, numbers)).tobytes()


def pack_rising(numbers: Sequence[int]) -> tuple[Shape, bytes]:
    """Numbers of which each is higher than that before, as bytes."""
    first = numbers[0] if numbers else 0
    if numbers and numbers[-1] - first == len(numbers) - 1:
        return Shape(first, _DENSE), b""
    return pack(numbers, first)


def unpack(shape: Shape, blob: bytes, count: int) -> Sequence[int]:
    """The numbers that `pack` or `pack_rising` stored."""
    if shape.code == _EQUAL:
        return [shape.base] * count
    if shape.code == _DENSE:
        return range(shape.base, shape.base + count)
    numbers = array(shape.code)
    numbers.frombytes(blob)
    base = shape.base
    return [base + number for number in _little_endian(numbers)] if base else _little_endian(numbers).tolist()


def join(strings: Sequence[bytes | None]) -> tuple[list[int], bytes]:
    """The size of each byte string, -1 for None, and all of them in one."""
    try:
        return list(map(len, strings)), b"".join(strings)  # type: ignore[arg-type]
    except TypeError:  # there is a None
        return [-1 if string is None else len(string) for string in strings], b"".join(filter(None, strings))


def split(blob: bytes, start: int, sizes: Sequence[int]) -> Sequence[bytes | None]:
    """The byte strings of these sizes that lie behind each other in `blob` from `start` on."""
    if not sizes or min(sizes) >= 0:
        return _split(blob, start, sizes)
    strings = _split(blob, start, [max(size, 0) for size in sizes])
    return [None if size < 0 else string for size, string in zip(sizes, strings, strict=True)]


def _split(blob: bytes, start: int, sizes: Sequence[int]) -> tuple[bytes, ...]:
    # struct cuts in C, a third faster than slices; an object of our own keeps each pattern out of its cache
    return Struct("%ds" * len(sizes) % tuple(sizes)).unpack_from(blob, start)


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
