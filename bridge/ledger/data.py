"""What a link returned for each record, as bytes for the next link.

Rules: msgpack's own types, datetime, Decimal and UUID come back as they were, tuples as lists, a time zone as its
offset; subclasses as their base. Anything else is refused: a value that silently turned into another is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import msgpack

from bridge.ledger.formats import LedgerError

#: msgpack extension types
_DATETIME, _DECIMAL, _UUID = 1, 2, 3

#: what is stored as it is
_SCALARS = frozenset((type(None), bool, int, float, str, bytes))

_encoder = msgpack.Encoder()


class UnserialisableData(LedgerError):
    """What a link returned for a record cannot be carried to the next link."""

    def __init__(self, offset: int, type_name: str, why: str = "") -> None:
        super().__init__(
            f"record {offset}: {type_name} cannot be carried to the next link{f' ({why})' if why else ''}. "
            f"Remedy: return None, bool, int, float, str, bytes, datetime, Decimal, UUID, or lists and dicts of these."
        )
        self.offset = offset
        self.type_name = type_name


class _RefusedError(Exception):
    def __init__(self, value: object) -> None:
        super().__init__(type(value).__name__)


def encode_data(data: Sequence[object], offsets: Sequence[int]) -> bytes:
    """One value for each record as bytes. Raises UnserialisableData for the first that cannot be carried."""
    try:
        if _SCALARS.issuperset(map(type, data)):
            return _encoder.encode(list(data))
        return _encoder.encode([_plain(value) for value in data])
    except (_RefusedError, OverflowError, ValueError, RecursionError):
        for offset, value in zip(offsets, data, strict=True):
            _check(offset, value)
        raise


def decode_data(blob: bytes | memoryview) -> list[Any]:
    """The values that `encode_data` stored."""
    return _decoder.decode(blob)


def _check(offset: int, value: object) -> None:
    try:
        _encoder.encode(_plain(value))
    except _RefusedError as error:
        raise UnserialisableData(offset, str(error)) from None
    except (OverflowError, ValueError, RecursionError) as error:
        raise UnserialisableData(offset, type(value).__name__, f"{type(error).__name__}: {error}") from None


def _plain(value: object) -> object:
    kind = type(value)
    if kind in _SCALARS:
        return value
    convert = _CONVERSIONS.get(kind)
    if convert is None:
        convert = next((_CONVERSIONS[base] for base in kind.__mro__ if base in _CONVERSIONS), None)
    if convert is None:
        raise _RefusedError(value)
    return convert(value)


def _list(value: Sequence[object]) -> Sequence[object]:
    if _SCALARS.issuperset(map(type, value)):
        return list(value)
    return [_plain(item) for item in value]


def _dict(value: dict[object, object]) -> dict[object, object]:
    if _SCALARS.issuperset(map(type, value)) and _SCALARS.issuperset(map(type, value.values())):
        return dict(value)
    return {_key(key): _plain(item) for key, item in value.items()}


def _key(key: object) -> object:
    plain = _plain(key)
    if type(plain) not in _SCALARS:
        raise _RefusedError(key)
    return plain


_CONVERSIONS: dict[type, Callable[[Any], object]] = {
    list: _list,
    tuple: _list,
    dict: _dict,
    datetime: lambda value: msgpack.Ext(_DATETIME, value.isoformat().encode()),
    Decimal: lambda value: msgpack.Ext(_DECIMAL, str(value).encode()),
    UUID: lambda value: msgpack.Ext(_UUID, value.bytes),
    str: str.__str__,
    bytes: bytes.__bytes__,
    int: int.__int__,
    float: float.__float__,
}


def _extension(code: int, blob: memoryview) -> object:
    if code == _UUID:
        return UUID(bytes=bytes(blob))
    text = str(blob, "ascii")
    return datetime.fromisoformat(text) if code == _DATETIME else Decimal(text)


_decoder = msgpack.Decoder(list[Any], ext_hook=_extension)
