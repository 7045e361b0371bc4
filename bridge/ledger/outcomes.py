"""Outcomes and attempt counters as bytes (msgpack). Rule: the same value gives the same bytes, for compare-and-set."""

from __future__ import annotations

from msgspec import msgpack

from bridge.entries import Counters, Outcome

_encoder = msgpack.Encoder()
_outcomes = msgpack.Decoder(Outcome)
_counters = msgpack.Decoder(Counters)


def encode_outcome(outcome: Outcome) -> bytes:
    """The bytes that the ledger stores."""
    return _encoder.encode(outcome)


def decode_outcome(blob: bytes) -> Outcome:
    """The outcome that `encode_outcome` turned into `blob`. Raises msgspec.DecodeError on other bytes."""
    return _outcomes.decode(blob)


def encode_counters(counters: Counters) -> bytes:
    """The bytes that the ledger stores."""
    return _encoder.encode(counters)


def decode_counters(blob: bytes) -> Counters:
    """The counters that `encode_counters` turned into `blob`. Raises msgspec.DecodeError on other bytes."""
    return _counters.decode(blob)
