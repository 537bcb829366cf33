"""Refuses connections to other machines, so that no test depends on them."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NotLoopback(AssertionError):
    """A test tried to connect to another machine."""


@contextmanager
def loopback_only() -> Iterator[None]:
    """Refuse connections to anything but loopback and local sockets.

    Only Python's own sockets are checked, not those of programs that tests start or of
    libraries with sockets of their own (uvloop).
    """
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def checked(self: socket.socket, address: Any) -> None:
        _refuse_remote(address)
        connect(self, address)

    def checked_ex(self: socket.socket, address: Any) -> int:
        _refuse_remote(address)
        return connect_ex(self, address)

    # Subclasses of socket.socket inherit these; mypy rejects an assigned method.
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
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
