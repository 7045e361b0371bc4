"""How the threads talk: everything that happens reaches the loop as an event in its mailbox.

One thread, the loop's, owns the consumer and the core. All others get effects through queues of their own.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from bridge.core.events import DispatchAnswer, Dispatched, Event, Published

logger = logging.getLogger(__name__)

Post = Callable[[Event], None]

T = TypeVar("T")


class Mailbox:
    """Events for the loop, from any thread. To be woken costs the loop more than an event does: those that only confirm
    what it takes for granted lie there until another one comes, or until it looks."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._has_rung = False

    def post(self, event: Event) -> None:
        """Leave an event; never blocks."""
        self._events.append(event)
        if not (self._has_rung or _only_confirms(event)):
            self._has_rung = True  # two threads may both come here: one ring too many does no harm
            self._bell.put(None)

    def take_all(self, timeout: float = 0.0) -> list[Event]:
        """Every event that is there, oldest first; waits `timeout` seconds for one that matters."""
        with suppress(Empty):
            self._bell.get(timeout > 0.0, timeout)
        self._has_rung = False  # before the events are taken: whoever comes later rings again
        events: list[Event] = []
        while self._events:
            events.append(self._events.popleft())
        return events


def _only_confirms(event: Event) -> bool:
    """The chain is on its way: its outcome is what is waited for."""
    if isinstance(event, Dispatched):
        return event.answer is DispatchAnswer.OK
    return isinstance(event, Published) and event.sure


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
