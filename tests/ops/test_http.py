"""The bridge's own HTTP, asked through a real port."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from bridge.errors import ConfigurationError
from bridge.ops.http import HEADERS, HttpAddressUnavailable, HttpServer, parse_address
from bridge.ops.snapshot import Snapshot
from tests.ops.samples import ACTIVE, document, with_lane
from tests.ops.test_health import NOW, STUCK, WELL


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str = "GET") -> Answer:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return Answer(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, dict(error.headers), error.read())


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot(started=NOW)


@pytest.fixture
def server(snapshot: Snapshot) -> Iterator[HttpServer]:
    server = HttpServer(":0", snapshot, clock=lambda: NOW)
    server.start()
    yield server
    server.stop()


def test_healthz_is_200_while_the_loop_turns_and_503_with_the_reason_when_not(
    server: HttpServer, snapshot: Snapshot
) -> None:
    assert ask(f"{server.url}/healthz").status == 200
    snapshot.update(document(ACTIVE), STUCK)
    answer = ask(f"{server.url}/healthz")
    assert answer.status == 503
    assert answer.json == {
        "ok": False,
        "reasons": ["the bridge's loop has not turned for 20 s (limit 20 s); restart the process"],
        "notes": [],
    }


def test_readyz_is_503_until_the_group_has_answered_and_names_the_lanes_that_stand(
    server: HttpServer, snapshot: Snapshot
) -> None:
    assert ask(f"{server.url}/readyz").status == 503
    snapshot.update(document(ACTIVE), WELL)
    assert ask(f"{server.url}/readyz") == (200, *ask(f"{server.url}/readyz")[1:])
    snapshot.update(with_lane(state="stalled", reason="no worker consumes lane-0"), WELL)
    answer = ask(f"{server.url}/readyz")
    assert (answer.status, answer.json["reasons"]) == (503, ["orders[1] lane 0 is stalled: no worker consumes lane-0"])


def test_api_lanes_is_the_state_as_it_was_published(server: HttpServer, snapshot: Snapshot) -> None:
    published = snapshot.update(document(ACTIVE), WELL)
    answer = ask(f"{server.url}/api/lanes")
    assert (answer.status, answer.body) == (200, published)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_the_root_lists_the_pages(server: HttpServer) -> None:
    assert set(ask(server.url).json) == {"/healthz", "/readyz", "/metrics", "/api/lanes"}


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/nothing", "/api/lanes"])
def test_every_answer_carries_the_security_headers(server: HttpServer, path: str) -> None:
    headers = ask(server.url + path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers


def test_an_unknown_page_is_404_and_says_what_there_is(server: HttpServer) -> None:
    answer = ask(f"{server.url}/<script>")
    assert answer.status == 404
    assert set(answer.json["pages"]) == {"/healthz", "/readyz", "/metrics", "/api/lanes"}
    assert b"<script>" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_acts(server: HttpServer, method: str) -> None:
    assert ask(f"{server.url}/api/lanes", method).status == 405


def test_probes_are_not_logged(server: HttpServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        assert ask(f"{server.url}/readyz").status == 503
        assert ask(f"{server.url}/nothing").status == 404
    assert [record.getMessage() for record in caplog.records if record.name.startswith("tornado")] == []


def test_head_answers_without_a_body(server: HttpServer) -> None:
    answer = ask(f"{server.url}/healthz", "HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_without_a_host_it_listens_on_loopback_only(server: HttpServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")


def test_a_port_in_use_is_an_error_that_names_option_value_and_remedy(snapshot: Snapshot) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = HttpServer(address, snapshot)
        with pytest.raises(HttpAddressUnavailable) as caught:
            server.start()
        server.stop()
    assert str(caught.value) == (
        f"http='{address}' (BRIDGE_HTTP): cannot listen there: Address already in use. Two bridges on one machine need "
        "two ports; choose a free one, or set BRIDGE_HTTP to nothing to serve no HTTP"
    )


def test_a_host_that_is_not_there_is_the_same_error(snapshot: Snapshot) -> None:
    with pytest.raises(HttpAddressUnavailable, match=r"http='no-such-host\.invalid:80' \(BRIDGE_HTTP\): cannot listen"):
        HttpServer("no-such-host.invalid:80", snapshot).start()


def test_after_the_end_the_port_is_free_and_the_thread_is_gone(snapshot: Snapshot) -> None:
    server = HttpServer(":0", snapshot)
    server.start()
    address = server.url.removeprefix("http://")
    server.stop()
    assert "http" not in {thread.name for thread in threading.enumerate()}
    again = HttpServer(address, snapshot)
    again.start()
    again.stop()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        (":8080", ("127.0.0.1", 8080)),
        (" 8080 ", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("bridge.example:0", ("bridge.example", 0)),
    ],
)
def test_addresses_are_host_and_port(text: str, found: tuple[str, int]) -> None:
    assert parse_address(text) == found


@pytest.mark.parametrize("text", ["localhost", "localhost:", "localhost:http", "127.0.0.1:65536", "::1:-2"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"http={text!r} (BRIDGE_HTTP) is not an address")):
        parse_address(text)


def test_hostile_text_in_a_lane_stays_text(server: HttpServer, snapshot: Snapshot) -> None:
    hostile = '</script><script>alert("x")</script>\n'
    snapshot.update(with_lane(reason=hostile, last_error=hostile), replace(WELL, kafka_trouble=hostile))
    lanes, ready = ask(f"{server.url}/api/lanes"), ask(f"{server.url}/readyz")
    assert lanes.json["lanes"][0]["reason"] == hostile
    assert {lanes.headers["Content-Type"], ready.headers["Content-Type"]} == {"application/json; charset=utf-8"}


def test_metrics_are_served_in_prometheus_text_format_with_the_same_headers(
    server: HttpServer, snapshot: Snapshot
) -> None:
    snapshot.update(document(ACTIVE), WELL)
    answer = ask(f"{server.url}/metrics")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'lanebridge_lag{partition="1",topic="orders"} 20.0\n' in answer.body
    assert HEADERS.items() <= answer.headers.items()


def test_metrics_tell_of_a_loop_that_stands(server: HttpServer, snapshot: Snapshot) -> None:
    snapshot.update(document(ACTIVE), STUCK)
    assert b"\nlanebridge_alive 0.0\n" in ask(f"{server.url}/metrics").body
