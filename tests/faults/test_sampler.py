"""What the sampler notes of a bridge's health, and what becomes of a look that fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.faults.rig import Process
from tests.faults.sampler import Sampler
from tests.faults.stage import Stage


class Answers(BaseHTTPRequestHandler):
    """Ready, not ready, then an answer that ends in its middle."""

    plan: Iterator[tuple[int, bytes, int]]

    def do_GET(self) -> None:
        code, body, length = next(self.plan)
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where such answers are given."""
    body = b'{"reasons": ["why"]}'
    Answers.plan = iter([(200, body, len(body)), (503, body, len(body)), (200, b"{", 100)])
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_health_is_noted_with_its_code_and_an_answer_that_is_cut_off_is_none(port: int) -> None:
    notes: list[dict[str, Any]] = []
    stage = SimpleNamespace(port_of=lambda name: port, note=lambda event, **about: notes.append(about))
    sampler, process = Sampler(cast("Stage", stage)), cast("Process", SimpleNamespace(pid=7))
    for _ in range(3):
        sampler._look_at_health("b0", process)
    assert [(note["bridge"], note["code"]) for note in notes] == [(7, 200), (7, 503), (7, 0)]
    assert notes[1]["reasons"] == ["why"]


class Unseen:
    """A stage that cannot be looked at."""

    @property
    def rig(self) -> object:
        raise LookupError("there is no rig")


def test_a_look_that_fails_is_raised_when_the_sampler_is_stopped() -> None:
    with pytest.raises(LookupError, match="there is no rig"), Sampler(cast("Stage", Unseen())) as sampler:
        sampler.stop()


def test_a_look_that_fails_does_not_hide_what_has_ended_the_stage() -> None:
    with pytest.raises(KeyError, match="first"), Sampler(cast("Stage", Unseen())):
        raise KeyError("first")
