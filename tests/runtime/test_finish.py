"""How a bridge ends: what is being written may end, and is taken note of."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.core import events as ev
from bridge.core.bridge import Core, CoreConfig
from bridge.kafka.consumer import Fetch
from bridge.records import PipelineRules, TopicPartition
from bridge.runtime.loop import Loop
from bridge.runtime.mail import Mailbox
from bridge.runtime.run import _finish

WRITTEN = ev.DeadLettersWritten(TopicPartition("t", 0), 1, 0, 1, is_owner=True)


class Writer:
    """Answers in the mailbox after `turns` looks at it, as if that long were needed."""

    def __init__(self, mailbox: Mailbox, turns: int) -> None:
        self._mailbox = mailbox
        self._left = turns
        self.is_ending = False

    def end_soon(self) -> None:
        self.is_ending = True

    @property
    def is_writing(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self._mailbox.post(WRITTEN)
        return self._left > 0


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bridge without partitions, whose loop notes the events that it handles."""
    mailbox = Mailbox()
    config = CoreConfig("g", lambda topic: PipelineRules("t"), lambda tp, lane, link: "lane-0")
    stations: Any = dict.fromkeys(("publisher", "asker", "sweeper", "revoker", "letters"), [].append)
    loop = Loop(Core(config), mailbox, **stations, left_out=lambda topic: False)
    loop.attach(SimpleNamespace(poll_only=Fetch))  # type: ignore[arg-type]
    handled: list[ev.Event] = []
    handle = loop.handle

    def note(event: ev.Event) -> None:
        handled.append(event)
        handle(event)

    monkeypatch.setattr(loop, "handle", note)
    return SimpleNamespace(loop=loop, writer=Writer(mailbox, 3), handled=handled)


def test_the_answer_of_what_is_being_written_is_taken_before_the_end(parts: Any) -> None:
    _finish(parts, 60.0)

    assert parts.writer.is_ending
    assert WRITTEN in parts.handled


def test_what_takes_too_long_is_not_waited_for(parts: Any) -> None:
    parts.writer._left = 10**9

    _finish(parts, 0.05)

    assert WRITTEN not in parts.handled


#: a bridge that ends by SIGTERM, and gets a second one when it has ended in order
_SIGNALLED_LATE = """
import os, signal, sys
from bridge.runtime import run
def ended(plan, ending, *, until_idle):
    os.kill(os.getpid(), signal.SIGTERM)
    return ending.code
run._run = ended
code = run.run(None)
os.kill(os.getpid(), signal.{second})
sys.exit(code)
"""


@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT"])
def test_a_second_signal_does_not_change_the_exit_code_of_a_bridge_that_has_ended_in_order(second: str) -> None:
    script = _SIGNALLED_LATE.format(second=second)

    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stderr) == (0, "")
