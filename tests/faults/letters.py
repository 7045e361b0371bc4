"""Dead letters as a plain client reads them, and the rules that they keep, as pure functions."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tests.faults import sums
from tests.faults.checker import Partition, handled
from tests.faults.history import Run
from tests.faults.places import Place


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the record that it was, why it is here, when it was written (wall clock, milliseconds), and the
    sum of what the record carried."""

    place: Place
    disposition: str
    value: bytes | None = None
    at_ms: int = 0
    sum: int = 0


class Letters:
    """Everything that a dead letter topic holds; each `read` asks for what has been written since."""

    def __init__(self, servers: str, topic: str) -> None:
        self._client = Consumer({"bootstrap.servers": servers, "group.id": "letters", "log_level": 0})
        self._topic = topic
        self._next: dict[int, int] = {}
        self._found: list[Letter] = []

    def read(self) -> list[Letter]:
        """All letters up to now; none when there is no such topic."""
        known = self._client.list_topics(timeout=10).topics.get(self._topic)
        for number in sorted(known.partitions) if known is not None else ():
            start = self._next.get(number, 0)
            end = self._end(TopicPartition(self._topic, number))
            if start < end:
                self._read_partition(number, start, end)
                self._next[number] = end
        return list(self._found)

    def _end(self, place: TopicPartition) -> int:
        """A partition that has just been created, or whose broker was restarted, may have no leader yet."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return self._client.get_watermark_offsets(place, 10)[1]
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def _read_partition(self, number: int, start: int, end: int) -> None:
        self._client.assign([TopicPartition(self._topic, number, start)])
        at = start
        while at < end:
            message = self._client.poll(1.0)
            if message is None or message.error() is not None or message.partition() != number:
                continue
            self._found.append(_letter(message))
            at = (message.offset() or 0) + 1

    def close(self) -> None:
        """End the connections."""
        self._client.close()


def _letter(message: Message) -> Letter:
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    about = {name: (value or b"").decode() for name, value in headers if name.startswith(sums.ADDED)}
    topic, partition, offset = (about[f"__dlq.errors.{name}"] for name in ("topic", "partition", "offset"))
    place = (topic, int(partition), int(offset))
    return Letter(
        place, about["lanebridge.disposition"], message.value(), message.timestamp()[1], sums.of_letter(message)
    )


def wrong_letters(
    letters: Sequence[Letter], wanted: Mapping[Place, str], values: Mapping[Place, bytes], copies: int = 0
) -> list[str]:
    """Exactly the `wanted` records are there, each with its disposition and value, in the order of their partition, and
    none of them more than `copies` times too often."""
    counts = Counter(letter.place for letter in letters)
    found = [f"P1 {place} is not in the dead letter topic" for place in wanted if place not in counts]
    found += [f"P6 {place} is in the dead letter topic" for place in counts if place not in wanted]
    found += [f"{place} is {n} times in the dead letter topic" for place, n in counts.items() if n > 1 + copies]
    for letter in letters:
        if letter.place in wanted and letter.disposition != wanted[letter.place]:
            found.append(f"{letter.place} is {letter.disposition} instead of {wanted[letter.place]}")
        if letter.place in values and letter.value != values[letter.place]:
            found.append(f"P7 {letter.place}: another value than that of the record")
    return found + _out_of_order(letters)


def _out_of_order(letters: Sequence[Letter]) -> list[str]:
    firsts: dict[Partition, list[int]] = defaultdict(list)
    for letter in letters:
        topic, partition, offset = letter.place
        if offset not in firsts[topic, partition]:
            firsts[topic, partition].append(offset)
    return [
        f"P2 dead letters of {tp}: {next((a, b) for a, b in pairwise(offsets) if a > b)}"
        for tp, offsets in firsts.items()
        if offsets != sorted(offsets)
    ]


def committed_early(
    committed: Mapping[Partition, int],
    runs: Sequence[Run],
    letters: Sequence[Letter],
    link: str,
    skipped: Collection[Place] = (),
) -> list[str]:
    """Everything below a committed offset was handled in the last link, or is in the dead letter topic. What was done
    must have been looked up after the offsets were."""
    done = set(handled(runs, link)) | {letter.place for letter in letters} | set(skipped)
    return [
        f"P6 committed {upto} of {topic}[{partition}], but {offset} was neither handled nor dead-lettered"
        for (topic, partition), upto in committed.items()
        for offset in range(upto)
        if (topic, partition, offset) not in done
    ]
