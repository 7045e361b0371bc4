"""The bad network does what its modes say, for open connections and for new ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bridge.devstack.ports import fresh_port
from tests.faults.proxy import ANSWERS_DROPPED, CUT, PASS, SILENT, Mode, Proxy
from tests.waiting import wait_until


class Echo:
    """A server that sends back what it gets and keeps it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.got = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    self.got += data
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as proxy:
        yield proxy


def client(proxy: Proxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    connection.settimeout(10)
    return connection


def ask(connection: socket.socket, question: bytes) -> bytes:
    connection.sendall(question)
    return receive(connection, len(question))


def receive(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = connection.recv(size - len(found))
        if not data:
            break
        found += data
    return found


def hears_nothing(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        connection.settimeout(10)


def test_a_good_network_carries_everything_both_ways_and_the_end_too(proxy: Proxy) -> None:
    with client(proxy) as connection:
        big = bytes(range(256)) * 4000
        threading.Thread(target=connection.sendall, args=(big,)).start()
        assert receive(connection, len(big)) == big
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_a_cut_resets_open_connections_and_new_ones_and_ends(proxy: Proxy) -> None:
    with client(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.set(CUT)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionResetError), client(proxy) as connection:
        ask(connection, b"in the cut")
    proxy.set(PASS)
    with client(proxy) as connection:
        assert ask(connection, b"after") == b"after"


def test_silence_holds_everything_back_closes_nothing_and_what_was_sent_arrives_afterwards(
    proxy: Proxy, echo: Echo
) -> None:
    with client(proxy) as before:
        assert ask(before, b"1") == b"1"
        with proxy.playing(SILENT), client(proxy) as ended:
            before.sendall(b"2")
            during = client(proxy)
            during.sendall(b"3")
            ended.sendall(b"4")
            ended.close()
            assert hears_nothing(before, 0.3)
            assert hears_nothing(during, 0.1)
            assert echo.got == b"1"
        assert receive(before, 1) == b"2"
        assert receive(during, 1) == b"3"
        during.close()
    wait_until(lambda: sorted(echo.got) == sorted(b"1234"), what="what the closed connection had sent")


def test_when_answers_are_dropped_requests_arrive_and_the_connection_is_reset_afterwards(
    proxy: Proxy, echo: Echo
) -> None:
    with client(proxy) as connection, client(proxy) as idle:
        assert ask(idle, b"i") == b"i"
        with proxy.playing(ANSWERS_DROPPED):
            connection.sendall(b"asked")
            wait_until(lambda: echo.got == b"iasked", what="the request")
            wait_until(lambda: proxy.counts.dropped == 5, what="the answer thrown away")
            assert hears_nothing(connection, 0.2)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        assert ask(idle, b"still open") == b"still open"


def test_latency_delays_each_way_and_keeps_the_order(proxy: Proxy) -> None:
    proxy.set(Mode(latency=0.2))
    with client(proxy) as connection:
        began = time.monotonic()
        for number in range(10):
            connection.sendall(b"%d" % number)
        assert receive(connection, 10) == b"0123456789"
        assert time.monotonic() - began >= 0.4


def test_a_narrow_line_takes_its_time(proxy: Proxy) -> None:
    proxy.set(Mode(rate=100_000))
    with client(proxy) as connection:
        began = time.monotonic()
        assert ask(connection, b"." * 40_000) == b"." * 40_000
        assert time.monotonic() - began >= 0.4


def test_open_connections_can_be_reset_once(proxy: Proxy) -> None:
    with client(proxy) as connection:
        assert ask(connection, b"1") == b"1"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with client(proxy) as connection:
        assert ask(connection, b"2") == b"2"


def test_a_server_that_is_not_there_is_heard_as_a_reset() -> None:
    with Proxy(fresh_port()) as proxy, pytest.raises(ConnectionResetError), client(proxy) as connection:
        ask(connection, b"?")


def test_new_connections_go_to_another_server_when_the_target_is_changed(proxy: Proxy) -> None:
    other = Echo()
    try:
        proxy.target_port = other.port
        with client(proxy) as connection:
            assert ask(connection, b"x") == b"x"
        assert other.got == b"x"
    finally:
        other.close()
