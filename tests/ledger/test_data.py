"""What a link may return for a record, and what it is told when it may not."""

from collections import OrderedDict
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from bridge.ledger.data import UnserialisableData, decode_data, encode_data


class Colour(Enum):
    RED = 1


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    YES = "yes"


class Point(NamedTuple):
    x: int
    y: Decimal


def loop() -> list[Any]:
    """A list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def there_and_back(*values: object) -> list[Any]:
    return decode_data(encode_data(values, range(len(values))))


def test_tuples_come_back_as_lists() -> None:
    assert there_and_back(("2", 4), [(1, (2,))]) == [["2", 4], [[1, [2]]]]


def test_subclasses_come_back_as_their_base() -> None:
    found = there_and_back(Number.ONE, Word.YES, OrderedDict(a=Number.ONE), Point(1, Decimal("0.10")))

    assert found == [1, "yes", {"a": 1}, [1, Decimal("0.10")]]
    assert [type(value) for value in found] == [int, str, dict, list]
    assert (type(found[2]["a"]), str(found[3][1])) == (int, "0.10")


def test_a_time_zone_comes_back_as_its_offset() -> None:
    when = datetime(2026, 7, 1, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))

    (found,) = there_and_back(when)

    assert (found, found.utcoffset(), found.isoformat()) == (when, when.utcoffset(), "2026-07-01T12:00:00+02:00")


def test_decimals_and_uuids_keep_their_form() -> None:
    values = [Decimal("1.500"), Decimal("-0"), Decimal("1E+20"), Decimal("NaN"), UUID(int=7)]

    assert [str(value) for value in there_and_back(*values)] == [str(value) for value in values]


def test_the_values_of_the_caller_are_not_touched() -> None:
    value = {"list": [(1, Decimal(2))], "dict": {"a": 1}}

    encode_data([value], [0])

    assert value == {"list": [(1, Decimal(2))], "dict": {"a": 1}}


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (object(), "object"),
        ({1, 2}, "set"),
        (Colour.RED, "Colour"),
        (date(2026, 7, 1), "date"),
        (bytearray(b"x"), "bytearray"),
        (1j, "complex"),
        ([1, {"a": (object(),)}], "object"),
        ({(1, 2): 3}, "tuple"),
        ({"a": 1, UUID(int=7): 3}, "UUID"),
        (len, "builtin_function_or_method"),
        (2**64, "int"),
        ([-(2**63) - 1], "list"),
        ("\ud800", "str"),
        (loop(), "list"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_record_and_type(value: object, type_name: str) -> None:
    with pytest.raises(UnserialisableData) as caught:
        encode_data(["fine", 1, value, object()], [10, 11, 15, 16])

    assert (caught.value.offset, caught.value.type_name) == (15, type_name)
    assert str(caught.value).startswith(f"record 15: {type_name} cannot be carried to the next link")
    assert "Remedy: return None, bool" in str(caught.value)
