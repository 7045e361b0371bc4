"""A bridge whose fetch is interrupted again and again by the exception of a signal handler, as by Ctrl-C.

The signal strikes at random, and raises when it meets the loop inside the client: what the client has just delivered is
lost then unless the bridge sets it back.
"""

from __future__ import annotations

import random
import signal
from types import FrameType

from bridge.kafka.consumer import Consumer

#: the code in which the client hands out records
_INSIDE = Consumer._take.__code__


class Interruption(Exception):
    """What the handler raises."""


def install(seed: int) -> None:
    """From now on, about ten times a second, 80 times: a signal at the very end would be the process's own end."""
    draw = random.Random(seed)
    left = iter(range(80))

    def strike(number: int, frame: FrameType | None) -> None:
        if next(left, None) is not None:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.01, 0.2))
        if frame is not None and frame.f_code is _INSIDE:
            raise Interruption("a signal in the middle of a fetch")

    signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
