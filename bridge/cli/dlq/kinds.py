"""What is written on the command line: moments, offset ranges, places of records. Each is a callback of an option."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import get_args

import click

from bridge.entries import Disposition
from bridge.records import TopicPartition

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: what the header lanebridge.disposition may say
DISPOSITIONS: tuple[Disposition, ...] = get_args(Disposition)
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def topic_names(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of topics, or regular expressions that begin with ^."""
    for name in names:
        try:
            re.compile(name if name.startswith("^") else "")
        except re.error as error:
            raise click.BadParameter(f"{name!r} is no regular expression ({error})") from None
    return names


def moment(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """`2026-11-24T09:30`, local time unless it says otherwise, or how long ago: `90s`, `30m`, `2h`, `7d`. In
    milliseconds."""
    if text is None:
        return None
    if found := _AGE.fullmatch(text):
        return round((time.time() - float(found[1]) * _UNITS[found[2]]) * 1000)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{text!r}: write 2026-11-24T09:30 (local time), 2026-11-24T09:30Z, or how long ago: 2h"
        ) from None


def offset_range(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[int, int | None]:
    """`10-20` with both, `10-` from 10 on, `10` alone: as [first, end)."""
    if text is None:
        return 0, None
    found = re.fullmatch(r"(\d+)(-(\d+)?)?", text)
    if found is None or (found[3] and int(found[3]) < int(found[1])):
        raise click.BadParameter(f"{text!r}: write 10-20, 10- or 10")
    first = int(found[1])
    if found[2] is None:
        return first, first + 1
    return first, int(found[3]) + 1 if found[3] else None


def place(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[TopicPartition, int] | None:
    """`TOPIC/PARTITION/OFFSET`: partition and offset."""
    if text is None:
        return None
    found = re.fullmatch(r"([^/]+)/(\d+)/(\d+)", text)
    if found is None:
        raise click.BadParameter(f"{text!r}: write TOPIC/PARTITION/OFFSET, orders/3/1042")
    return TopicPartition(found[1], int(found[2])), int(found[3])
