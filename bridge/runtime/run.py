"""Runs one bridge process: builds the parts, turns the loop, ends in order.

SIGTERM or SIGINT: nothing is dispatched or fetched any more, the last commit is submitted and waited for (at most
`shutdown_timeout` seconds), the group is left, exit 0; chains in flight stay in the ledger for the next owner. A
second signal ends the process at once, without loss. Exit codes: 0, 1 fatal, 3 and 4 from `--until-idle`.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import secrets
import signal
import socket
import threading
import time
from types import FrameType

from bridge.core.bridge import Core
from bridge.core.events import Stop, Tick
from bridge.errors import LanebridgeError
from bridge.records import TopicPartition
from bridge.runtime.assembly import Parts, assemble
from bridge.runtime.loop import GaveUp
from bridge.runtime.memory import keep_freed_memory
from bridge.runtime.plan import Plan
from bridge.runtime.startup import Interrupted
from bridge.runtime.watching import Watching

logger = logging.getLogger(__name__)

CLEAN, FATAL = 0, 1

#: when the garbage collector looks for cycles: after so many new objects, and how often it looks at older ones
COLLECTOR_THRESHOLDS = (50_000, 20, 100)


class Ending:
    """Whether, and how, the process is to end; set from signal handlers and other threads."""

    def __init__(self) -> None:
        self._flag = threading.Event()
        self.code = CLEAN
        self.error: BaseException | None = None

    @property
    def asked(self) -> bool:
        """Somebody wants the process to end."""
        return self._flag.is_set()

    def ask(self, code: int = CLEAN) -> None:
        """End with this exit code, unless an end was asked for before."""
        if not self._flag.is_set():
            self.code = code
            self._flag.set()

    def broken(self, error: BaseException) -> None:
        """A thread has failed: end with an error."""
        self.error = self.error or error
        self.ask(FATAL)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks; the second one does not wait."""
        if self.asked:
            os._exit(FATAL)
        self.ask()


def bridge_id() -> str:
    """A name for this process, unique for ever, without characters that mean something to Redis."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def run(plan: Plan, *, until_idle: bool = False) -> int:
    """Run the bridge until a signal, or until all work is done; returns the exit code. SIGTERM and SIGINT are ignored
    from then on: the process is meant to end with that code.

    Raises LanebridgeError when it cannot begin or go on (exit code 1).
    """
    ending = Ending()
    before = {number: signal.signal(number, ending.on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _run(plan, ending, until_idle=until_idle)
    except Interrupted:
        return CLEAN
    except GaveUp as error:
        raise LanebridgeError(str(error)) from None
    finally:
        for number, handler in before.items():
            # all is done, only the process's own end is left: a late second signal must not make it look killed
            signal.signal(number, signal.SIG_IGN if ending.asked else handler)


def _run(plan: Plan, ending: Ending, *, until_idle: bool) -> int:
    keep_freed_memory()
    parts = assemble(plan, bridge_id(), ending.broken)
    watching = Watching(plan, parts, ending, until_idle=until_idle)

    def stopping() -> bool:
        watching.look_at_start()
        return ending.asked

    try:
        watching.introduce()
        parts.begin(stopping)
        watching.start()
        _collect_rarely()
        while not ending.asked:
            parts.loop.turn()
            watching.look()
        _finish(parts, plan.settings.shutdown_timeout)
    finally:
        watching.stop()
        parts.end(plan.settings.shutdown_timeout)
    if ending.error is not None:
        raise LanebridgeError(f"a thread of the bridge failed: {ending.error!r}")
    return ending.code


def _collect_rarely() -> None:
    """Rows come and go by the hundred thousand and are in no cycle: looking for cycles after every 700 of them, the
    default, takes a fifth of the loop's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _finish(parts: Parts, timeout: float) -> None:
    """Submit the last commit and wait for it; dead letters that are being written may end, and are settled then."""
    logger.info("stopping: no new batches, last commit", extra={"action": "stopping"})
    loop, core = parts.loop, parts.loop.core
    loop.handle(Stop())
    parts.writer.end_soon()
    deadline = time.monotonic() + timeout
    targets = {tp: (p.serial, p.position) for tp, p in core.partitions.items() if p.is_active}
    is_writing = True
    while time.monotonic() < deadline and (is_writing or not _confirmed(core, targets)):
        is_writing = parts.writer.is_writing  # before the turn, which then takes the answer
        loop.handle(Tick())
        loop.drain()
    if _confirmed(core, targets):
        logger.info("the last commit is confirmed; leaving the group", extra={"action": "stopping"})
    else:
        text = "the last commit was not confirmed within shutdown_timeout=%g s; the ledger still knows what is finished"
        logger.warning(text, timeout, extra={"action": "stopping"})


def _confirmed(core: Core, targets: dict[TopicPartition, tuple[int, int]]) -> bool:
    for tp, partition in core.partitions.items():
        serial, position = targets.get(tp, (-1, -1))
        if partition.serial == serial and partition.is_active and partition.confirmed < position:
            return False
    return True
