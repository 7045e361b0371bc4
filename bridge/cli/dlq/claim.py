"""Which of several replays of a dead letter topic may write: the one that began last.

Rules: a run claims its partitions before it reads the progress, and looks before each chunk whether the claim is still
its own. Claims are in a group beside that of the progress: to claim changes no progress.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from bridge.errors import LanebridgeError
from bridge.kafka.dead_letter_reading import DeadLetterReader, Kept
from bridge.records import TopicPartition


class AnotherReplay(LanebridgeError):
    """Another replay of the topic has begun: this one writes nothing more. Run it again when that one has ended."""


class Claim:
    """The claim of one run on these partitions; taken at once. `reader` is of the group for claims.

    Raises KafkaUnavailable.
    """

    def __init__(self, reader: DeadLetterReader, tps: Iterable[TopicPartition]) -> None:
        self._reader = reader
        self._claims = dict.fromkeys(tps, Kept(0, secrets.token_hex(8)))
        reader.keep(self._claims)

    def check(self) -> None:
        """Raises AnotherReplay when it is taken, KafkaUnavailable."""
        if self._reader.kept(self._claims) != self._claims:
            names = ", ".join(sorted({tp.topic for tp in self._claims}))
            raise AnotherReplay(
                f"another replay of {names} has begun: this one writes nothing more; run it again when that one has "
                "ended"
            )
