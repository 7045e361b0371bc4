"""Signals for the tests of the Kafka adapter."""

import random
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import pytest


class Interrupted(Exception):
    """Raised by a signal handler, as a time-out library or a user's code might do it."""


@pytest.fixture
def alarms() -> Iterator[Callable[[], None]]:
    """Each call sets an alarm some milliseconds ahead; its handler raises out of whatever the client is doing."""
    rolls = random.Random(7)

    def ring(number: int, frame: FrameType | None) -> None:
        if frame is not None and "bridge/kafka" in frame.f_code.co_filename:  # not in the test's own code
            raise Interrupted

    before = signal.signal(signal.SIGALRM, ring)

    def set_alarm() -> None:
        signal.setitimer(signal.ITIMER_REAL, rolls.uniform(0.0005, 0.004))

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
