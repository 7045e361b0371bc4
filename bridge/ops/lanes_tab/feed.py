"""One loop for all viewers: it reads the group once a second, and keeps what has changed since the second before.

Rules: all but the reading happens on Flower's event loop; a viewer that missed a tick gets the whole picture again;
when Redis is silent the last picture stays, with the reason and since when.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from bridge.core.view import LaneState
from bridge.instructions import AuditLine, Pause, Request
from bridge.ops.lanes_tab.reading import Reading, Unreadable
from bridge.ops.lanes_tab.rows import Row, Rows
from bridge.ops.lanes_tab.series import Point, Series
from bridge.ops.lanes_tab.summary import Summary, summarize
from bridge.ops.state import WORST_FIRST, Bridge, Lane

logger = logging.getLogger(__name__)

#: seconds between readings
INTERVAL_S = 1.0


class Tick(msgspec.Struct, frozen=True):
    """What a viewer is sent: all rows (`full`), or those that changed and the keys of those that are gone. `trouble`
    says why `at_ms`, the time of the picture, is not now."""

    number: int
    full: bool
    at_ms: int
    now_ms: int
    trouble: str
    group: str
    order: tuple[LaneState, ...]
    summary: Summary
    rows: tuple[Row, ...]
    gone: tuple[str, ...]
    bridges: tuple[Bridge, ...]
    pauses: tuple[Pause, ...]
    requests: tuple[Request, ...]
    audit: tuple[AuditLine, ...]
    point: Point | None
    since_ms: int


class Feed:
    """The picture of the group, renewed once a second. `read` blocks and raises Unreadable."""

    def __init__(self, group: str, read: Callable[[], Reading], wall: Callable[[], float] = time.time) -> None:
        self._group = group
        self._read = read
        self._wall = wall
        self._executor = ThreadPoolExecutor(1, "lanes-reader")
        self._rows_maker = Rows()
        self._rows: dict[str, Row] = {}
        self._number = 0
        self._trouble = "the ledger has not been read yet"
        self._summary = summarize(Reading().state, group, None)
        self._change = b""
        self._whole = b""
        self._ticked = asyncio.Event()
        self.reading = Reading()
        self.series = Series(self._now_ms())

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                reading = await loop.run_in_executor(self._executor, self._read)
            except Unreadable as error:
                self._fail(str(error))
            else:
                self._take(reading)
            due = max(due + INTERVAL_S, loop.time())
            await asyncio.sleep(due - loop.time())

    async def next(self, seen: int) -> tuple[int, bytes]:
        """The next tick after number `seen` (0: none) as JSON, with its number: what changed if that is the one after
        `seen`, else the whole."""
        while self._number <= seen:
            await self._ticked.wait()
        if seen and seen + 1 == self._number:
            return self._number, self._change
        if not self._whole:
            self._whole = msgspec.json.encode(self._tick(tuple(self._rows.values()), (), None, full=True))
        return self._number, self._whole

    def lane(self, topic: str, partition: int, lane: int) -> tuple[Lane, Row] | None:
        """What is known of a lane, None: no bridge has it."""
        row = self._rows.get(f"{topic}/{partition}/{lane}")
        for found in self.reading.state.lanes:
            if row is not None and (found.topic, found.partition, found.lane) == (topic, partition, lane):
                return found, row
        return None

    def _take(self, reading: Reading) -> None:
        if self._trouble and self._number:
            logger.info("the ledger answers again", extra={"action": "lanes_tab"})
        self.reading, self._trouble = reading, ""
        point = self.series.take(reading.state, reading.at_ms)
        before = self._rows
        self._rows = self._rows_maker.make(reading.state, reading.instructions, reading.at_ms)
        self._summary = summarize(reading.state, self._group, self.series.rate)
        changed = tuple(row for key, row in self._rows.items() if before.get(key) != row)
        self._publish(changed, tuple(before.keys() - self._rows.keys()), point)

    def _fail(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("the Lanes tab stands still: %s", trouble, extra={"action": "lanes_tab"})
        self._trouble = trouble
        self._publish((), (), None)

    def _publish(self, rows: tuple[Row, ...], gone: tuple[str, ...], point: Point | None) -> None:
        self._number += 1
        self._change, self._whole = msgspec.json.encode(self._tick(rows, gone, point, full=False)), b""
        ticked, self._ticked = self._ticked, asyncio.Event()
        ticked.set()

    def _tick(self, rows: tuple[Row, ...], gone: tuple[str, ...], point: Point | None, *, full: bool) -> Tick:
        reading = self.reading
        return Tick(
            number=self._number,
            full=full,
            at_ms=reading.at_ms,
            now_ms=self._now_ms(),
            trouble=self._trouble,
            group=self._group,
            order=WORST_FIRST,
            summary=self._summary,
            rows=rows,
            gone=gone,
            bridges=reading.state.bridges,
            pauses=reading.instructions.pauses,
            requests=reading.instructions.requests,
            audit=reading.audit,
            point=point,
            since_ms=self.series.since_ms,
        )

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)
