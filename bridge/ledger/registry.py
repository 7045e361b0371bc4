"""Who lives: workers and bridges say so again and again, and what they said expires with them.

Rules: one key per member, with an expiry, and an index that drops who is gone; the keyspace is never scanned; times
are the server's. A full server still accepts a member's words.
"""

from __future__ import annotations

from typing import NamedTuple

import redis

from bridge.ledger.keys import registry_key
from bridge.ledger.script import Script, run

_REGISTER = Script("register")
_REGISTERED = Script("registered")


class Words(NamedTuple):
    """What a member said, and when by the server's clock (milliseconds)."""

    written_ms: int
    blob: bytes


class Registry:
    """Members of one kind. Raises redis' errors unchanged."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self._client = client
        self._index = registry_key(name)

    def write(self, member: str, blob: bytes, expiry_s: float) -> None:
        """`member` lives, and says `blob`; it counts as gone after `expiry_s` seconds without another word."""
        run(
            self._client,
            _REGISTER.command((self._index, self._key(member)), (member, int(expiry_s * 1000), blob)),
        )

    def read(self) -> dict[str, Words]:
        """What each living member said last."""
        answer = run(self._client, _REGISTERED.command((self._index,), ()))
        return {member.decode(): _words(words) for member, words in zip(answer[::2], answer[1::2], strict=True)}

    def forget(self, member: str) -> None:
        """`member` ends."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.delete(self._key(member))
            pipeline.zrem(self._index, member)
            pipeline.execute()

    def has(self, member: str) -> bool:
        """Whether `member` lives."""
        return bool(self._client.exists(self._key(member)))

    def _key(self, member: str) -> str:
        return f"{self._index}:{member}"


def _words(text: bytes) -> Words:
    written_ms, _, blob = text.partition(b"\n")
    return Words(int(written_ms), blob)
