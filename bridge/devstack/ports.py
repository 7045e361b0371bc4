"""Fresh loopback ports, below the range from which the system takes ports for outgoing connections: a server that is
down for a while gets its own port back, and a client that keeps knocking at it cannot connect to itself.
"""

import random
import socket

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 15_000, 31_999


class NoFreePort(OSError):
    """No free loopback port was found."""


def fresh_port() -> int:
    """A loopback port that nobody listens on, chosen at random so that no two runs meet. Raises NoFreePort."""
    for port in random.sample(range(_FIRST, _LAST + 1), k=200):
        if _is_free(port):
            return port
    raise NoFreePort


def accepts_connections(port: int) -> bool:
    """Whether somebody listens on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
