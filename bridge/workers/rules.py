"""What a pipeline's declaration says to the workers of its topics: how records are decoded, and which exceptions are
tried again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.records import Decode, Record, Retry


@dataclass(frozen=True, slots=True)
class TopicRules:
    """The rules of one topic; `decode` None: tasks get the bytes alone."""

    retry: Retry = field(default_factory=Retry)
    decode: Decode | None = None


def read_json(record: Record) -> Any:
    """The value as `json.loads` reads it; None for a record without a value. Raises ValueError."""
    return None if record.value is None else json.loads(record.value)


def decoder(decode: Literal["raw", "json"] | Decode) -> Decode | None:
    """What a pipeline's option stands for."""
    if decode == "raw":
        return None
    return read_json if decode == "json" else decode
