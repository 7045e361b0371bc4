"""The records of a chain as bytes, between the bridge and each link: columns, so that neither side works per record.

Rules: byte for byte what Kafka delivered, None and b"" apart; headers and data only when there are some; a record
object is made only when a task touches it. Layout: "LB", format, length of the head, head, columns, each of them an
array of msgpack's: written and read in C, in a fraction of what counting, joining and cutting by size would take.

The columns may be compressed, the head never. Decompressed is everything at once, before the task's code runs: that
might catch what a spoilt payload raises, and go on without the records. The upper half of the format says how they are
compressed: a worker from before there was compression, which would take what it finds for columns, refuses such a
format (17, 33) as unknown; a payload that is not compressed stays what it was, format 1, like handle and hash.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise, repeat
from operator import itemgetter
from typing import Any, TypeVar, overload

import msgspec

from bridge.entries import FORMAT, BatchHeader, Failure, Outcome, Rejection
from bridge.ledger.compression import Body, Compression, format_of, read_body, split_format, stored, stored_data
from bridge.ledger.data import decode_data, encode_data
from bridge.ledger.formats import LedgerError, check_format
from bridge.records import HEADERS, KEY, OFFSET, TIMESTAMP, VALUE, Headers, Record, Row

T = TypeVar("T")

_PREFIX = struct.Struct("<2sBI")
_MAGIC = b"LB"

#: a record's parts behind its offset
_COLUMNS_OF_ROWS = tuple(map(itemgetter, (TIMESTAMP, KEY, VALUE, HEADERS)))

#: what reading other bytes than were written may raise
_UNREADABLE = (msgspec.MsgspecError, struct.error, ValueError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Carried:
    """What earlier links of the chain met, for the chain's outcome: the failure that cut the batch short (with the
    wait, in seconds, that the task asked for), and the records that were rejected before it."""

    failure: Failure | None = None
    rejected: tuple[Rejection, ...] = ()
    delay: float | None = None


_NOTHING_CARRIED = Carried()


class PayloadHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a link must know beside the records; `attempt` counts from 1, `batches` are consecutive. `judged`: the link
    is the pipeline's `on_failed` task, the records are those at stake in this outcome. (A Struct: what is not set is
    not sent.)"""

    topic: str
    partition: int
    lane: int
    chain: str
    attempt: int
    token: int
    links: int
    batches: tuple[BatchHeader, ...]
    carried: Carried = _NOTHING_CARRIED
    judged: Outcome | None = None


class _Layout(msgspec.Struct, frozen=True, array_like=True):
    """Where the columns lie; sizes in bytes, 0 for a column that is not there. Without one, offsets follow each other
    from `first` on, and every timestamp is `timestamp`."""

    count: int
    first: int
    timestamp: int
    offsets: int
    timestamps: int
    keys: int
    values: int
    headers: int
    data: int

    def sizes(self) -> tuple[int, ...]:
        """The sizes of the columns, in their order."""
        return self.offsets, self.timestamps, self.keys, self.values, self.headers, self.data


class _Head(msgspec.Struct, frozen=True, array_like=True):
    header: PayloadHeader
    layout: _Layout


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(_Head)
_numbers_decoder = msgspec.msgpack.Decoder(list[int])
_bytes_decoder = msgspec.msgpack.Decoder(list[bytes | None])
_headers_decoder = msgspec.msgpack.Decoder(list[Headers])


def encode(
    header: PayloadHeader,
    rows: Sequence[Row],
    data: Sequence[object] | None = None,
    *,
    compression: Compression = "none",
) -> bytes:
    """The payload of consecutive records of a lane, with what a link returned for each in `data`.

    Raises UnserialisableData when that cannot be carried.
    """
    # not zip(*rows): it has an iterator for each row, and from some hundred on the garbage collector looks at them
    timestamps, keys, values, headers = (list(map(column, rows)) for column in _COLUMNS_OF_ROWS)
    return _encode_columns(compression, header, _offsets_of(rows), timestamps, keys, values, headers, data)


def _offsets_of(rows: Sequence[Row]) -> Sequence[int]:
    if rows and rows[-1][OFFSET] - rows[0][OFFSET] == len(rows) - 1:
        return range(rows[0][OFFSET], rows[-1][OFFSET] + 1)
    return [row[OFFSET] for row in rows]


def decode(blob: bytes) -> Payload:
    """The payload that `encode` or `cut` made. Raises UnknownFormat, or LedgerError for bytes of another kind."""
    if len(blob) < _PREFIX.size or not blob.startswith(_MAGIC):
        raise LedgerError(f"not a payload: {blob[:16]!r}. Remedy: leave the keys under lanebridge: to lanebridge.")
    _, found, length = _PREFIX.unpack_from(blob)
    compression, number = split_format(found)
    check_format("the payload of a link", number)
    start = _PREFIX.size + length
    try:
        head = _head_decoder.decode(memoryview(blob)[_PREFIX.size : start])
        body = read_body(blob, start, compression, head.layout.sizes())
    except _UNREADABLE as error:
        raise _spoilt(error) from error
    if sum(batch.count for batch in head.header.batches) != head.layout.count:
        raise _spoilt("its batches have another number of records")
    return Payload(blob, head, body)


def _spoilt(why: object) -> LedgerError:
    return LedgerError(
        f"the payload of a link cannot be read: {why}. Remedy: its records are sent again; if that does not help, see "
        "whether something else writes under lanebridge: in the ledger's Redis."
    )


def _encode_columns(
    compression: Compression,
    header: PayloadHeader,
    offsets: Sequence[int],
    timestamps: Sequence[int],
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers],
    data: Sequence[object] | None,
) -> bytes:
    count = len(offsets)
    first, timestamp = (offsets[0], timestamps[0]) if count else (0, 0)
    has_gaps = count and offsets[-1] - first >= count
    columns = (
        _encoder.encode(offsets) if has_gaps else b"",
        _encoder.encode(timestamps) if _differ(timestamps) else b"",
        _encoder.encode(keys),
        _encoder.encode(values),
        _encoder.encode(headers) if any(headers) else b"",
        b"" if data is None else encode_data(data, offsets),
    )
    layout = _Layout(count, first, timestamp, *map(len, columns))
    *of_records, of_data = columns
    return _assemble(compression, header, layout, *stored(compression, of_records), stored_data(compression, of_data))


def _differ(numbers: Sequence[int]) -> bool:
    return bool(numbers) and (numbers[-1] != numbers[0] or numbers.count(numbers[0]) < len(numbers))


def _assemble(compression: Compression, header: PayloadHeader, layout: _Layout, *body: bytes) -> bytes:
    head = _encoder.encode(_Head(header, layout))
    return b"".join((_PREFIX.pack(_MAGIC, FORMAT + format_of(compression), len(head)), head, *body))


class Payload:
    """What a link works on. Columns are split when they are first needed."""

    def __init__(self, blob: bytes, head: _Head, body: Body) -> None:
        self.header = head.header
        self._blob = blob
        self._layout = head.layout
        self._body = body
        self._starts = tuple(accumulate(head.layout.sizes(), initial=body.start))

    def __len__(self) -> int:
        return self._layout.count

    def records(self) -> Records:
        """All records."""
        return Records(self, range(len(self)))

    def batches(self) -> list[tuple[BatchHeader, Records]]:
        """Each batch with its records."""
        ends = accumulate((batch.count for batch in self.header.batches), initial=0)
        ranges = (range(start, stop) for start, stop in pairwise(ends))
        return [(batch, Records(self, own)) for batch, own in zip(self.header.batches, ranges, strict=True)]

    def cut(
        self,
        keep: Sequence[int],
        *,
        data: Sequence[object] | None = None,
        carried: Carried | None = None,
    ) -> bytes:
        """The payload of the next link: the records at these indices (rising), with `data` for each of them (None:
        the data they have), and what it must carry along (None: what this one carries). It is compressed as this one.

        Raises UnserialisableData.
        """
        header = msgspec.structs.replace(
            self.header, batches=self._batches_of(keep), carried=self.header.carried if carried is None else carried
        )
        if len(keep) == len(self):
            return self._with_data(header, data)
        return _encode_columns(
            self._body.compression,
            header,
            _pick(self.offsets, keep),
            _pick(self.timestamps, keep),
            _pick(self.keys, keep),
            _pick(self.values, keep),
            () if self.headers is None else _pick(self.headers, keep),
            data if data is not None or self.data is None else _pick(self.data, keep),
        )

    def _with_data(self, header: PayloadHeader, data: Sequence[object] | None) -> bytes:
        """All records again: their columns go over as they are stored."""
        body = self._body
        if data is None:
            return _assemble(body.compression, header, self._layout, self._blob[body.stored :])
        blob = encode_data(data, self.offsets)
        layout = msgspec.structs.replace(self._layout, data=len(blob))
        records = self._blob[body.stored : body.stored_data]
        return _assemble(body.compression, header, layout, records, stored_data(body.compression, blob))

    def _batches_of(self, keep: Sequence[int]) -> tuple[BatchHeader, ...]:
        if len(keep) == len(self):
            return self.header.batches
        ends = accumulate((batch.count for batch in self.header.batches), initial=0)
        places = (bisect_left(keep, end) for end in ends)
        counts = (stop - start for start, stop in pairwise(places))
        return tuple(replace(batch, count=count) for batch, count in zip(self.header.batches, counts, strict=True))

    # --- columns -----------------------------------------------------------------------------------------------------

    @cached_property
    def offsets(self) -> Sequence[int]:
        """The records' offsets."""
        layout = self._layout
        if not layout.offsets:
            return range(layout.first, layout.first + layout.count)
        return self._column(_OFFSETS, _numbers_decoder.decode)

    @cached_property
    def timestamps(self) -> Sequence[int]:
        """The records' timestamps in milliseconds, -1 where there is none."""
        layout = self._layout
        return (
            self._column(_TIMESTAMPS, _numbers_decoder.decode) if layout.timestamps else [layout.timestamp] * len(self)
        )

    @cached_property
    def keys(self) -> Sequence[bytes | None]:
        """The records' keys."""
        return self._column(_KEYS, _bytes_decoder.decode)

    @cached_property
    def values(self) -> Sequence[bytes | None]:
        """The records' values."""
        return self._column(_VALUES, _bytes_decoder.decode)

    @cached_property
    def headers(self) -> Sequence[Headers] | None:
        """The records' headers; None when no record has any."""
        return self._column(_HEADERS, _headers_decoder.decode) if self._layout.headers else None

    @cached_property
    def data(self) -> Sequence[Any] | None:
        """What the previous link returned for the records; None when there is no such column."""
        return self._column(_DATA, decode_data) if self._layout.data else None

    def _column(self, index: int, read: Callable[[memoryview], list[T]]) -> list[T]:
        try:
            column = read(memoryview(self._body.columns)[self._starts[index] : self._starts[index + 1]])
        except _UNREADABLE as error:
            raise _spoilt(error) from error
        if len(column) != len(self):
            raise _spoilt("a column has another number of records")
        return column

    def record(self, index: int) -> Record:
        """One record."""
        header = self.header
        return Record(
            header.topic,
            header.partition,
            self.offsets[index],
            self.timestamps[index],
            self.keys[index],
            self.values[index],
            () if self.headers is None else self.headers[index],
            None if self.data is None else self.data[index],
            header.attempt,
        )

    def make_records(self, indices: range) -> list[Record]:
        """The records at consecutive indices, at once."""
        header, own = self.header, slice(indices.start, indices.stop)
        return list(
            map(
                Record,
                repeat(header.topic, len(indices)),
                repeat(header.partition),
                self.offsets[own],
                self.timestamps[own],
                self.keys[own],
                self.values[own],
                repeat(()) if self.headers is None else self.headers[own],
                repeat(None) if self.data is None else self.data[own],
                repeat(header.attempt),
            )
        )


class Records(Sequence[Record]):
    """Records of a payload: made one by one when they are asked for, all at once when they are gone through."""

    __slots__ = ("_indices", "_made", "_payload")

    def __init__(self, payload: Payload, indices: range) -> None:
        self._payload = payload
        self._indices = indices
        self._made: list[Record] | None = None

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        if self._made is not None or isinstance(index, slice):
            return self._all()[index]
        return self._payload.record(self._indices[index])

    def _all(self) -> list[Record]:
        if self._made is None:
            self._made = self._payload.make_records(self._indices)
        return self._made


def _pick(column: Sequence[Any], keep: Sequence[int]) -> list[Any]:
    return [column[index] for index in keep]


_OFFSETS, _TIMESTAMPS, _KEYS, _VALUES, _HEADERS, _DATA = range(6)
