"""How the columns of a payload are stored: as they are, or compressed.

Rules: the payload says it itself, who reads it needs no option. Compressed are the columns of the records together,
behind the size of the result, and `data` by itself: a link that returned something compresses that alone.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import lz4.block
import zstandard

Compression = Literal["none", "lz4", "zstd"]

_COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)

#: what a compression's number is multiplied with in a payload's format
_STEP = 16

#: the next levels take longer and make a payload hardly smaller
_ZSTD_LEVEL = 1

_SIZE = struct.Struct("<I")


class Body(NamedTuple):
    """Where the columns of a payload are: to be read, in `columns` from `start` on; as they are stored, in the payload
    from `stored` on, `data` from `stored_data` on."""

    compression: Compression
    columns: bytes
    start: int
    stored: int
    stored_data: int


def format_of(compression: Compression) -> int:
    """What is added to the format of a payload."""
    return _STEP * _COMPRESSIONS.index(compression)


def split_format(number: int) -> tuple[Compression, int]:
    """The compression that was added to a format, and the format; an unknown one stays as it is."""
    index, rest = divmod(number, _STEP)
    return (_COMPRESSIONS[index], rest) if index < len(_COMPRESSIONS) else ("none", number)


def stored(compression: Compression, columns: Sequence[bytes]) -> Sequence[bytes]:
    """The columns of the records as they are stored, one part behind the other."""
    if compression == "none":
        return columns
    block = _compress(compression, b"".join(columns))
    return _SIZE.pack(len(block)), block


def stored_data(compression: Compression, column: bytes) -> bytes:
    """The last column as it is stored."""
    return column if compression == "none" or not column else _compress(compression, column)


def read_body(payload: bytes, start: int, compression: Compression, sizes: Sequence[int]) -> Body:
    """The columns of these sizes, which are stored in the payload from `start` on to its end.

    Raises ValueError or struct.error when they are not.
    """
    *of_records, of_data = sizes
    if compression == "none":
        if start + sum(sizes) != len(payload):
            raise ValueError("its columns have another size")
        return Body(compression, payload, start, start, len(payload) - of_data)
    (size,) = _SIZE.unpack_from(payload, start)
    first, end = start + _SIZE.size, start + _SIZE.size + size
    view = memoryview(payload)
    columns = _decompress(compression, view[first:end], sum(of_records))
    if of_data:
        columns += _decompress(compression, view[end:], of_data)
    elif end != len(payload):
        raise ValueError(f"{compression}: its columns have another size")
    return Body(compression, columns, 0, start, end)


class _Zstd(threading.local):
    """Made once in each thread: it may not be shared, and making it anew takes as long as compressing some KB."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


def _compress(compression: Compression, blob: bytes) -> bytes:
    if compression == "zstd":
        return _zstd.compress(blob)
    block: bytes = lz4.block.compress(blob, store_size=False)
    return block


def _decompress(compression: Compression, block: memoryview, size: int) -> bytes:
    try:
        blob = _unzstd(block, size) if compression == "zstd" else lz4.block.decompress(block, uncompressed_size=size)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, OverflowError) as error:
        raise ValueError(f"{compression}: {error}") from error
    if len(blob) != size:
        raise ValueError(f"{compression}: {len(blob)} bytes instead of {size}")
    return blob


def _unzstd(block: memoryview, size: int) -> bytes:
    if zstandard.frame_content_size(block) != size:  # so much memory would be taken at once
        raise ValueError("zstd: its columns have another size")
    return _zstd.decompress(block, allow_extra_data=False)
