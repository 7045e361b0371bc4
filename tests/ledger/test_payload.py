"""Payloads: byte for byte what Kafka delivered, through any number of links."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.entries import BatchHeader, Failure, Outcome, Rejection
from bridge.ledger.compression import Compression
from bridge.ledger.formats import LedgerError, UnknownFormat, check_format
from bridge.ledger.payload import Carried, PayloadHeader, decode, encode
from bridge.records import Record, Row

INT64 = st.integers(-(2**63), 2**63 - 1)
BYTES = st.none() | st.binary(max_size=300)
HEADERS = st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=3).map(tuple)
#: mostly as Kafka has them: a few milliseconds apart, or none
TIMESTAMPS = st.one_of(st.just(-1), st.integers(1_700_000_000_000, 1_700_000_100_000), INT64)

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-3, minutes=-30)))),
)
KEYS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=4) | st.binary(max_size=4)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


COMPRESSIONS: st.SearchStrategy[Compression] = st.sampled_from(["none", "lz4", "zstd"])
in_each_way = pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
compressed = pytest.mark.parametrize("compression", ["lz4", "zstd"])


@st.composite
def rows(draw: st.DrawFn, max_size: int = 40) -> list[Row]:
    """Records in offset order, mostly without gaps."""
    gaps = draw(st.lists(st.just(1) | st.integers(1, 2**40), max_size=max_size))
    offset = draw(st.integers(0, 2**62))
    few_headers = draw(st.just(st.just(())) | st.just(HEADERS))
    found = []
    for gap in gaps:
        offset += gap
        found.append((offset, draw(TIMESTAMPS), draw(BYTES), draw(BYTES), draw(few_headers)))
    return found


def header_of(found: Sequence[Row], *, batches: tuple[BatchHeader, ...] = (), **fields: Any) -> PayloadHeader:
    first, last = (found[0][0], found[-1][0]) if found else (0, 0)
    spans = batches or (BatchHeader(first, last, len(found), "size"),)
    return PayloadHeader("orders", 3, 1, "chain", 2, 1_795_000_000_001, 3, spans, **fields)


def records_of(found: Sequence[Row], data: Sequence[Any] | None = None) -> list[Record]:
    """The records that a task must see."""
    values = [None] * len(found) if data is None else data
    return [Record("orders", 3, *row, data=value, attempt=2) for row, value in zip(found, values, strict=True)]


@given(rows(), COMPRESSIONS)
def test_records_come_out_byte_for_byte(found: list[Row], compression: Compression) -> None:
    payload = decode(encode(header_of(found), found, compression=compression))

    assert payload.header == header_of(found)
    assert len(payload) == len(payload.records()) == len(found)
    assert list(payload.records()) == records_of(found)


@given(rows(max_size=8), COMPRESSIONS, st.data())
def test_what_a_link_returned_travels_with_its_record(
    found: list[Row], compression: Compression, draw: st.DataObject
) -> None:
    data = draw.draw(st.lists(DATA, min_size=len(found), max_size=len(found)))

    payload = decode(encode(header_of(found), found, data, compression=compression))

    assert list(payload.records()) == records_of(found, data)
    assert [typed(record.data) for record in payload.records()] == [typed(value) for value in data]


def typed(value: Any) -> Any:
    """A value with the types of all its parts: 1, 1.0 and True are equal, and so are a datetime's two ways."""
    if isinstance(value, dict):
        return [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), str(value)


@given(rows(), st.data())
def test_records_are_the_same_one_by_one_and_all_at_once(found: list[Row], draw: st.DataObject) -> None:
    expected = records_of(found)
    records = decode(encode(header_of(found), found)).records()

    for index in draw.draw(st.lists(st.integers(-len(found), len(found) - 1), max_size=5)) if found else []:
        assert records[index] == expected[index]
    start, stop = draw.draw(st.tuples(st.integers(-5, 45), st.integers(-5, 45)))
    assert records[start:stop] == expected[start:stop]
    assert list(records) == list(reversed(list(reversed(records)))) == expected
    for index in range(len(found)):
        assert records[index] == expected[index]


def test_an_index_beyond_the_batch_is_an_error_before_and_after_the_records_were_made() -> None:
    found = [(5, -1, b"k", b"v", ())]
    records = decode(encode(header_of(found), found)).records()

    for _ in range(2):
        with pytest.raises(IndexError):
            records[1]
        with pytest.raises(IndexError):
            records[-2]
        assert list(records) == records_of(found)


@given(rows(), COMPRESSIONS, st.data())
def test_a_cut_keeps_the_chosen_records_and_what_the_link_returned_for_them(
    found: list[Row], compression: Compression, draw: st.DataObject
) -> None:
    keep = sorted(draw.draw(st.sets(st.sampled_from(range(len(found)))))) if found else []
    before = draw.draw(st.none() | st.just([f"before {n}" for n in range(len(found))]))
    after = draw.draw(st.none() | st.just([{"after": n} for n in range(len(keep))]))
    carried = Carried(Failure(7, named=True), (Rejection(6, "bad"),), 2.5)

    first = encode(header_of(found), found, before, compression=compression)
    blob = decode(first).cut(keep, data=after, carried=carried)

    kept = [found[index] for index in keep]
    data = after if after is not None else [before[index] for index in keep] if before is not None else None
    (batch,) = decode(blob).header.batches
    assert list(decode(blob).records()) == records_of(kept, data)
    assert decode(blob).header == header_of(found, carried=carried, batches=(batch,))
    assert batch == replace(header_of(found).batches[0], count=len(keep))
    assert blob == encode(decode(blob).header, kept, data, compression=compression)


def test_a_cut_carries_along_what_it_was_given_before() -> None:
    found = [(offset, offset, None, b"", ()) for offset in (5, 6, 9)]
    carried = Carried(rejected=(Rejection(4, "bad"),))
    payload = decode(encode(header_of(found, carried=carried), found))

    assert decode(payload.cut([0, 1, 2])).header.carried == carried
    assert decode(payload.cut([1])).header.carried == carried


def test_a_payload_holds_several_batches_each_with_its_records() -> None:
    found = [(offset, 0, None, b"%d" % offset, ()) for offset in range(10, 17)]
    spans = (BatchHeader(10, 12, 3, "size"), BatchHeader(13, 13, 1, "timeout"), BatchHeader(14, 16, 3, "flush"))
    payload = decode(encode(header_of(found, batches=spans), found))

    batches = payload.batches()

    assert [batch for batch, _ in batches] == list(spans)
    assert [[record.offset for record in records] for _, records in batches] == [[10, 11, 12], [13], [14, 15, 16]]
    assert (batches[1][1][0].value, batches[2][1][-1].value, len(batches[1][1])) == (b"13", b"16", 1)

    cut = decode(payload.cut([1, 2, 4]))
    assert [batch.count for batch, _ in cut.batches()] == [2, 0, 1]
    assert [[record.offset for record in records] for _, records in cut.batches()] == [[11, 12], [], [14]]


def test_a_payload_without_headers_and_data_costs_little_more_than_its_bytes() -> None:
    found = [(offset, 1_700_000_000_000 + offset, b"key%04d" % offset, bytes(100), ()) for offset in range(1000)]

    blob = encode(header_of(found), found)

    assert len(blob) < 1000 * (100 + 7 + 14)  # 9 of them are the timestamp
    assert len(blob) + 1000 <= len(encode(header_of(found), [(*row[:4], (("h", b""),)) for row in found]))


def test_none_and_empty_bytes_stay_apart() -> None:
    found: list[Row] = [
        (0, -1, None, None, ()),
        (1, -1, b"", b"", (("a", None), ("a", b""), ("a", b"x"))),
        (2, -1, None, b"v", ()),
    ]

    records = decode(encode(header_of(found), found)).records()

    assert [(record.key, record.value) for record in records] == [(None, None), (b"", b""), (None, b"v")]
    assert records[1].headers == (("a", None), ("a", b""), ("a", b"x"))
    assert records[0].headers == ()


JUDGED = Outcome("partial", 8, Failure(8), (Rejection(6, "bad", exception="ValueError"), Rejection(7, "worse")))


@given(rows())
def test_what_the_link_is_asked_about_travels_with_the_records(found: list[Row]) -> None:
    payload = decode(encode(header_of(found, judged=JUDGED), found))

    assert payload.header.judged == JUDGED
    assert decode(payload.cut([])).header.judged == JUDGED
    assert list(payload.records()) == records_of(found)


def test_a_payload_that_asks_nothing_says_nothing_about_it() -> None:
    found: list[Row] = [(5, -1, b"k", b"v", ())]
    asking, other = encode(header_of(found, judged=JUDGED), found), encode(header_of(found), found)

    assert b"judged" in asking
    assert b"judged" not in other
    assert decode(other).header.judged is None


def test_a_payload_from_before_there_were_questions_is_read() -> None:
    blob = (
        b"LB\x01\xa3\x00\x00\x00\x92\x89\xa5topic\xa6orders\xa9partition\x03\xa4lane\x01\xa5chain\xa5chain\xa7attempt"
        b"\x02\xa5token\xcf\x00\x00\x01\xa1\xeeV^\x01\xa5links\x03\xa7batches\x91\x84\xa5first\x05\xa4last\x05\xa5count"
        b"\x01\xa7trigger\xa4size\xa7carried\x83\xa7failure\xc0\xa8rejected\x90\xa5delay\xc0\x99\x01\x05\xff\x00\x00"
        b"\x04\x04\x00\x00\x91\xc4\x01k\x91\xc4\x01v"
    )
    found: list[Row] = [(5, -1, b"k", b"v", ())]

    assert decode(blob).header == header_of(found)
    assert list(decode(blob).records()) == records_of(found)


@settings(max_examples=25)
@given(st.integers(0, 255).filter(lambda number: number not in (1, 17, 33)))
def test_a_payload_of_another_format_is_refused_with_the_remedy(number: int) -> None:
    found: list[Row] = [(5, -1, None, b"v", ())]
    blob = bytearray(encode(header_of(found), found))
    blob[2] = number

    with pytest.raises(
        UnknownFormat, match=rf"payload of a link has format ({number}|{number % 16}), .* format 1\. Remedy: "
    ):
        decode(bytes(blob))


@pytest.mark.parametrize("blob", [b"", b"LB", b"something else entirely"])
def test_bytes_that_are_no_payload_are_refused(blob: bytes) -> None:
    with pytest.raises(LedgerError, match="not a payload"):
        decode(blob)


def everything_in(blob: bytes) -> list[Record]:
    """The records of a payload, all columns read."""
    payload = decode(blob)
    return [record for _, records in payload.batches() for record in records]


@given(rows(max_size=8), COMPRESSIONS, st.data())
def test_a_payload_that_is_cut_off_or_goes_on_is_refused(
    found: list[Row], compression: Compression, draw: st.DataObject
) -> None:
    data = draw.draw(st.none() | st.just([row[0] for row in found]))
    blob = encode(header_of(found), found, data, compression=compression)
    end = draw.draw(st.integers(0, len(blob) - 1))
    more = draw.draw(st.binary(min_size=1, max_size=9))

    with pytest.raises(LedgerError, match=r"Remedy: "):
        decode(blob[:end])
    with pytest.raises(LedgerError, match=r"Remedy: "):
        decode(blob + more)


@settings(max_examples=500, deadline=None)
@given(rows(max_size=4), COMPRESSIONS, st.data())
def test_a_payload_in_which_a_byte_is_another_is_read_or_refused(
    found: list[Row], compression: Compression, draw: st.DataObject
) -> None:
    data = draw.draw(st.none() | st.lists(DATA, min_size=len(found), max_size=len(found)))
    blob = bytearray(encode(header_of(found), found, data, compression=compression))
    place = draw.draw(st.integers(0, len(blob) - 1))
    blob[place] ^= draw.draw(st.integers(1, 255))

    with suppress(LedgerError):  # and nothing else; a byte of a value may be any other
        assert len(everything_in(bytes(blob))) == len(found)


# --- compression -----------------------------------------------------------------------------------------------------

MANY: list[Row] = [
    (offset, 1_700_000_000_000 + offset, b"key%04d" % offset, b'{"status": "sent", "id": %d}' % offset, ())
    for offset in range(300)
]


@given(rows(), st.data())
def test_a_payload_that_is_not_compressed_has_no_word_of_it(found: list[Row], draw: st.DataObject) -> None:
    data = draw.draw(st.none() | st.just([row[0] for row in found]))

    blob = encode(header_of(found), found, data, compression="none")

    assert blob == encode(header_of(found), found, data)
    assert blob[2] == 1


@compressed
def test_a_compressed_payload_is_smaller_and_its_head_is_readable(compression: Compression) -> None:
    blob, plain = encode(header_of(MANY), MANY, compression=compression), encode(header_of(MANY), MANY)
    head = plain[7 : 7 + int.from_bytes(plain[3:7], "little")]

    assert len(blob) < len(plain) / 2
    assert blob[7:].startswith(head)
    assert list(decode(blob).records()) == records_of(MANY)


@in_each_way
def test_every_link_of_a_chain_passes_on_what_it_was_given_in_the_same_way(compression: Compression) -> None:
    numbers, texts = list(range(300)), [f"order {number}" for number in range(100)]
    first = decode(encode(header_of(MANY), MANY, compression=compression))

    second = first.cut(range(300), data=numbers)
    assert list(decode(second).records()) == records_of(MANY, numbers)
    third = decode(second).cut(range(100), data=texts)
    assert list(decode(third).records()) == records_of(MANY[:100], texts)
    fourth = decode(third).cut(range(50, 100))
    assert list(decode(fourth).records()) == records_of(MANY[50:100], texts[50:])

    for blob, found, data in ((second, MANY, numbers), (third, MANY[:100], texts), (fourth, MANY[50:100], texts[50:])):
        assert blob == encode(decode(blob).header, found, data, compression=compression)


@compressed
def test_a_link_that_passes_on_every_record_compresses_what_it_returned_alone(compression: Compression) -> None:
    blob = encode(header_of(MANY), MANY, compression=compression)
    of_records = blob[7 + int.from_bytes(blob[3:7], "little") :]

    passed_on = decode(blob).cut(range(300), data=list(range(300)))

    assert of_records in passed_on
    assert decode(passed_on).cut(range(300), data=[None] * 300).count(of_records) == 1


@compressed
def test_a_worker_from_before_there_was_compression_refuses_with_the_remedy(compression: Compression) -> None:
    blob = encode(header_of(MANY), MANY, compression=compression)

    with pytest.raises(UnknownFormat, match=rf"has format {blob[2]}, .* Remedy: run the same version of lanebridge"):
        check_format("the payload of a link", blob[2])


@pytest.mark.parametrize("says", ["none", "lz4", "zstd"])
@in_each_way
def test_a_payload_that_says_another_compression_is_refused_before_a_record_is_touched(
    compression: Compression, says: Compression
) -> None:
    blob = bytearray(encode(header_of(MANY), MANY, compression=compression))
    blob[2] = encode(header_of(MANY), MANY, compression=says)[2]

    if says == compression:
        assert len(decode(bytes(blob))) == 300
    else:
        with pytest.raises(
            LedgerError, match=r"payload of a link cannot be read: .* Remedy: its records are sent again"
        ):
            decode(bytes(blob))


@in_each_way
def test_threads_do_not_disturb_each_other(compression: Compression) -> None:
    def run(number: int) -> bool:
        found = [(*row[:3], b"%d " % number * 500, ()) for row in MANY]
        blob = encode(header_of(found), found, compression=compression)
        return list(decode(blob).records()) == records_of(found)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(64)))
