"""How the threads talk: everything that happens reaches the loop as an event in its mailbox.

One thread, the loop's, owns the consumer and the core. All others get effects through queues of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from bridge.core.events import Event

logger = logging.getLogger(__name__)

Post = Callable[[Event], None]

T = TypeVar("T")


class Mailbox:
    """Events for the loop, from any thread."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event] = SimpleQueue()

    def post(self, event: Event) -> None:
        """Leave an event; never blocks."""
        self._queue.put(event)

    def take_all(self, timeout: float = 0.0) -> list[Event]:
        """Every event that is there, oldest first; waits `timeout` seconds for the first one."""
        events: list[Event] = []
        if timeout > 0.0:
            try:
                events.append(self._queue.get(timeout=timeout))
            except Empty:
                return events
        while True:
            try:
                events.append(self._queue.get_nowait())
            except Empty:
                return events


class Watcher:
    """A thread that runs `watch(ended)` until that returns, which it does soon after `ended` is set. An exception
    that comes out of it is a defect, and is handed to `broken`."""

    def __init__(
        self, name: str, watch: Callable[[threading.Event], None], broken: Callable[[BaseException], None]
    ) -> None:
        self._watch = watch
        self._broken = broken
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End, waiting at most `timeout` seconds. May come before `start`."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._watch(self._ended)
        except BaseException as error:
            logger.exception("thread %s failed", threading.current_thread().name, extra={"action": "defect"})
            self._broken(error)


class Station(Generic[T]):
    """A thread that works off what is given to it, in order. It ends with the process or by `stop`.

    `work` gets everything that has gathered since its last call. It must turn the failures that it expects into
    events; an exception that comes out of it is a defect, and is handed to `broken`.
    """

    def __init__(self, name: str, work: Callable[[list[T]], None], broken: Callable[[BaseException], None]) -> None:
        self._queue: SimpleQueue[T | None] = SimpleQueue()
        self._work = work
        self._broken = broken
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def give(self, item: T) -> None:
        """One more thing to do; never blocks."""
        self._queue.put(item)

    def stop(self, timeout: float) -> bool:
        """Finish what was given and end; returns whether it did within `timeout` seconds. May come before `start`."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            items, last = self._take()
            try:
                if items:
                    self._work(items)
            except BaseException as error:
                logger.exception("thread %s failed", threading.current_thread().name, extra={"action": "defect"})
                self._broken(error)
                return
            if last:
                return

    def _take(self) -> tuple[list[T], bool]:
        items: list[T] = []
        item = self._queue.get()
        while item is not None:
            items.append(item)
            try:
                item = self._queue.get_nowait()
            except Empty:
                return items, False
        return items, True
