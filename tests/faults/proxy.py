"""A TCP proxy on loopback that plays a bad network between one process and one server.

    with Proxy(server_port) as proxy:      # connect to proxy.port
        with proxy.playing(SILENT): ...    # for open connections too; afterwards it passes again

What a mode holds back waits in the sockets, as in a network that sends again; only `answers dropped` loses bytes, and
its connections are reset when answers may pass again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from bridge.devstack.ports import LOOPBACK, fresh_port

Way = Literal["requests", "answers"]

#: bytes that are read at once
_CHUNK = 65_536
#: close() with this sends a RST instead of a FIN
_LINGER_0 = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """What the network does. `cut`: everything is reset, new connections too; `silent`: nothing passes and nothing is
    closed; `answers_dropped`: requests arrive, answers are thrown away; `latency`: seconds each way; `rate`: bytes
    per second each way, of all connections together (0: as fast as it goes)."""

    cut: bool = False
    silent: bool = False
    answers_dropped: bool = False
    latency: float = 0.0
    rate: int = 0


PASS = Mode()
CUT = Mode(cut=True)
SILENT = Mode(silent=True)
ANSWERS_DROPPED = Mode(answers_dropped=True)


@dataclass(slots=True, kw_only=True)
class Counts:
    """What the network has done so far: bytes passed and thrown away, connections accepted and reset."""

    passed: int = 0
    dropped: int = 0
    accepted: int = 0
    reset: int = 0

    @property
    def total(self) -> int:
        """Grows with whatever happens."""
        return self.passed + self.dropped + self.accepted + self.reset


class Proxy:
    """Serves `port` in a thread of its own for as long as the `with` block; `target_port` is where new connections go
    and may be changed at any time."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = fresh_port()
        self.counts = Counts()
        self._mode = PASS
        self._connections: set[_Connection] = set()
        #: per direction, the loop's time at which the line is free again
        self._free_at: dict[Way, float] = {"requests": 0.0, "answers": 0.0}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the proxy does not serve")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    @property
    def mode(self) -> Mode:
        """What the network does now."""
        return self._mode

    def set(self, mode: Mode) -> None:
        """From now on the network does this; it is in force when the call returns."""
        self._do(self._switch(mode))

    def reset(self) -> None:
        """Reset every open connection once; the mode stays."""
        self._do(self._reset_all())

    @contextmanager
    def playing(self, mode: Mode) -> Iterator[None]:
        """The mode for as long as the block; it passes afterwards."""
        self.set(mode)
        try:
            yield
        finally:
            self.set(PASS)

    # --- in the loop's thread ----------------------------------------------------------------------------------------

    def _do(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._passing = asyncio.Event()
        self._passing.set()
        server = await asyncio.start_server(self._accept, LOOPBACK, self.port)
        self._ready.set()
        async with server:
            await self._over.wait()
            server.close()
            await self._reset_all()
            while self._connections:  # each ends by itself: the loop would complain of those that it has to cancel
                await asyncio.sleep(0.01)

    async def _switch(self, mode: Mode) -> None:
        self._mode = mode
        self._free_at = {"requests": 0.0, "answers": 0.0}
        for connection in list(self._connections):
            if mode.cut or (connection.has_lost and not mode.answers_dropped):
                await connection.reset()
        if mode.silent:
            self._passing.clear()
        else:
            self._passing.set()

    async def _reset_all(self) -> None:
        for connection in list(self._connections):
            await connection.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts.accepted += 1
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            if self._mode.cut:
                await connection.reset()
            else:
                await connection.run()
        finally:
            self._connections.discard(connection)

    async def pass_on(self, way: Way, size: int, read_at: float) -> bool:
        """Wait until these bytes may leave; False when they are thrown away."""
        mode, now = self._mode, self._loop.time()
        due = read_at + mode.latency
        if mode.rate:
            due = self._free_at[way] = max(due, self._free_at[way]) + size / mode.rate
        if due > now:
            await asyncio.sleep(due - now)
        await self._passing.wait()
        if way == "answers" and self._mode.answers_dropped:
            self.counts.dropped += size
            return False
        self.counts.passed += size
        return True

    async def may_open(self) -> None:
        """Wait until the server may hear of a new connection."""
        await self._passing.wait()

    @property
    def chunk(self) -> int:
        """How much is read at once: a slow line moves in small steps."""
        return min(_CHUNK, max(512, self._mode.rate // 20)) if self._mode.rate else _CHUNK


#: what was read and when; b"": the side has closed, None: it has reset
_Line = asyncio.Queue[tuple[float, bytes | None]]


class _Connection:
    """One connection through the proxy, in the loop's thread."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]
        self._tasks: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()
        #: answers of it were thrown away: what follows would make no sense to its reader
        self.has_lost = False

    async def run(self) -> None:
        """Carry bytes until one side resets or both have closed."""
        self._tasks = [asyncio.create_task(self._carry())]
        await self._over.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()

    async def reset(self) -> None:
        """RST to both sides."""
        self._proxy.counts.reset += 1
        for writer in self._writers:
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
                writer.transport.abort()
        self._over.set()

    async def _carry(self) -> None:
        try:
            await self._proxy.may_open()
            reader, writer = await asyncio.open_connection(LOOPBACK, self._proxy.target_port)
            self._writers.append(writer)
            both = [self._stream("requests", self._reader, writer), self._stream("answers", reader, self._writers[0])]
            self._tasks += [task for way in both for task in way]
            await asyncio.gather(*self._tasks[1:])
        except OSError:  # a side has reset, or the server is not there: the other side learns it the same way
            await self.reset()
        finally:
            self._over.set()

    def _stream(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        line: _Line = asyncio.Queue(256)
        return asyncio.create_task(self._read(reader, line)), asyncio.create_task(self._write(way, line, writer))

    async def _read(self, reader: asyncio.StreamReader, line: _Line) -> None:
        data: bytes | None = b"?"
        while data:
            try:
                data = await reader.read(self._proxy.chunk)
            except OSError:
                data = None
            await line.put((asyncio.get_running_loop().time(), data))

    async def _write(self, way: Way, line: _Line, writer: asyncio.StreamWriter) -> None:
        while True:
            read_at, data = await line.get()
            if not await self._proxy.pass_on(way, len(data or b""), read_at):
                self.has_lost = True
                continue
            if data is None or (self.has_lost and way == "answers"):
                raise ConnectionResetError
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof() and not writer.transport.is_closing():
            writer.write_eof()
