"""Keeps the test process on this machine: no test depends on what is elsewhere."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NotLoopback(AssertionError):
    """A test wanted to talk to another machine."""


@contextmanager
def loopback_only() -> Iterator[None]:
    """Refuse connections to anything but loopback and local sockets.

    Looks at what Python's own sockets connect to; programs that tests start and
    libraries with sockets of their own (uvloop) are not seen.
    """
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def checked(self: socket.socket, address: Any) -> None:
        _refuse_remote(address)
        connect(self, address)

    def checked_ex(self: socket.socket, address: Any) -> int:
        _refuse_remote(address)
        return connect_ex(self, address)

    # Subclasses of socket.socket find these too; mypy minds any assigned method.
    vars_of = {"connect": checked, "connect_ex": checked_ex}
    for name, method in vars_of.items():
        setattr(socket.socket, name, method)
    try:
        yield
    finally:
        for name in vars_of:
            delattr(socket.socket, name)


def _refuse_remote(address: Any) -> None:
    if isinstance(address, tuple) and not _is_loopback(str(address[0])):
        raise NotLoopback(f"A test may connect to this machine only, not to {address}")


def _is_loopback(host: str) -> bool:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    map_transport_errors = getattr(found, "ipv4_mapped", None)
    return (map_transport_errors or found).is_loopback
