"""The bridge's HTTP: `/healthz`, `/readyz`, `/metrics`, `/api/lanes`. It reads a Snapshot and has nothing that acts.

It runs in a thread of its own, so that it answers also when the bridge's loop does not turn. Without a host in the
address it listens on loopback only. A port in use is an error at the start, never a silent retry.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable

import msgspec
import tornado.httpserver
import tornado.web

from bridge.errors import ConfigurationError, LanebridgeError
from bridge.ops.health import Verdict
from bridge.ops.metrics import CONTENT_TYPE, Metrics
from bridge.ops.snapshot import Snapshot

__all__ = ["HttpAddressUnavailable", "HttpServer", "Snapshot", "parse_address"]

LOOPBACK = "127.0.0.1"

#: seconds that the end waits for answers under way
STOP_TIMEOUT = 5.0

JSON = "application/json; charset=utf-8"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

PAGES = {
    "/healthz": "200 while the bridge's loop turns, else 503: restart the process",
    "/readyz": "200 while it is assigned and moving, else 503 with the reasons",
    "/metrics": "for Prometheus: docs/metrics.md names each",
    "/api/lanes": "the state of every lane of this bridge",
}


class HttpAddressUnavailable(LanebridgeError):
    """The bridge's HTTP address cannot be used."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`, `:port` or `port`; without a host it is loopback. Raises ConfigurationError."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ConfigurationError(
            f"http={text!r} (BRIDGE_HTTP) is not an address: write host:port, for example {LOOPBACK}:8080, "
            "or nothing to serve no HTTP"
        )
    return host or LOOPBACK, int(port)


class HttpServer:
    """Serves a snapshot on `address` (as `parse_address` reads it; port 0 takes a free one)."""

    def __init__(self, address: str, snapshot: Snapshot, clock: Callable[[], float] = time.monotonic) -> None:
        self._option = address
        self._wanted = parse_address(address)
        self._app = _application(snapshot, clock)
        self._socket: socket.socket | None = None
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    def start(self) -> None:
        """Listen, then serve in the thread. Raises HttpAddressUnavailable."""
        try:
            self._socket = _listen(*self._wanted)
        except OSError as error:
            why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise HttpAddressUnavailable(
                f"http={self._option!r} (BRIDGE_HTTP): cannot listen there: {why}. Two bridges on "
                "one machine need two ports; choose a free one, or set BRIDGE_HTTP to nothing to serve no HTTP"
            ) from None
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._serve, args=(loop, self._socket), name="http", daemon=True)
        self._running = (loop, thread)
        thread.start()

    @property
    def url(self) -> str:
        """Where it listens; with the true port after `start`."""
        host, port = self._wanted if self._socket is None else self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def stop(self) -> None:
        """Stop listening and end the thread; harmless when it was never started."""
        if self._running is not None:
            loop, thread = self._running
            loop.call_soon_threadsafe(loop.stop)
            thread.join(STOP_TIMEOUT)
            self._running = None

    def _serve(self, loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
        asyncio.set_event_loop(loop)
        server = tornado.httpserver.HTTPServer(self._app)
        server.add_socket(listening)
        try:
            loop.run_forever()
        finally:
            server.stop()
            loop.run_until_complete(server.close_all_connections())
            loop.close()


def _listen(host: str, port: int) -> socket.socket:
    """A name that stands for several addresses (`localhost`) means its IPv4 one."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listening = socket.create_server(address[:2], family=family, backlog=128)
    listening.setblocking(False)
    return listening


def _application(snapshot: Snapshot, clock: Callable[[], float]) -> tornado.web.Application:
    context: dict[str, object] = {"snapshot": snapshot, "clock": clock}
    routes: list[tuple[str, type[Page], dict[str, object]]] = [
        ("/", Index, context),
        ("/healthz", Healthz, context),
        ("/readyz", Readyz, context),
    ]
    routes.append(("/api/lanes", Lanes, context))
    routes.append(("/metrics", Scrape, {**context, "metrics": Metrics(snapshot, clock)}))
    return tornado.web.Application(
        routes, default_handler_class=NotFound, default_handler_args=context, log_function=_log_nothing
    )


def _log_nothing(page: tornado.web.RequestHandler) -> None:
    """Probes come every few seconds, and a 503 is what they ask for."""


class Page(tornado.web.RequestHandler):
    """What all pages share: security headers, errors as JSON, GET and HEAD only."""

    def initialize(self, snapshot: Snapshot, clock: Callable[[], float]) -> None:
        """Called by tornado for each request."""
        self.snapshot = snapshot
        self.clock = clock

    def set_default_headers(self) -> None:
        """Also on errors."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def head(self) -> None:
        """As GET, without the body."""
        self.get()

    def answer(self, body: bytes, status: int = 200, content_type: str = JSON) -> None:
        """Send it."""
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.finish(body)

    def judge(self, verdict: Verdict) -> None:
        """Send a verdict."""
        self.answer(msgspec.json.encode(verdict) + b"\n", 200 if verdict.ok else 503)

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """Errors say what there is instead."""
        self.answer(msgspec.json.encode({"error": self._reason, "pages": PAGES}), status_code)


class Index(Page):
    """What there is."""

    def get(self) -> None:
        """The pages with what they say."""
        self.answer(msgspec.json.encode(PAGES) + b"\n")


class Healthz(Page):
    """The process."""

    def get(self) -> None:
        """Is it alive?"""
        self.judge(self.snapshot.liveness(self.clock()))


class Readyz(Page):
    """Assigned and moving."""

    def get(self) -> None:
        """Is it ready?"""
        self.judge(self.snapshot.readiness(self.clock()))


class Lanes(Page):
    """The state model."""

    def get(self) -> None:
        """Of this bridge, as it published it last."""
        self.answer(self.snapshot.lanes_json)


class Scrape(Page):
    """For Prometheus."""

    def initialize(self, snapshot: Snapshot, clock: Callable[[], float], metrics: Metrics | None = None) -> None:
        """Called by tornado for each request."""
        super().initialize(snapshot, clock)
        self.metrics = metrics

    def get(self) -> None:
        """Every metric, as it is now."""
        assert self.metrics is not None
        self.answer(self.metrics.text(), content_type=CONTENT_TYPE)


class NotFound(Page):
    """Everything else."""

    def prepare(self) -> None:
        """There is no such page."""
        raise tornado.web.HTTPError(404)
