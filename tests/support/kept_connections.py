"""HTTPS connections to API servers that are kept open for the next call.

A test asks the API server a few times each second. To open a connection for each
question costs both sides more processor time than all the rest of the question.
"""

import atexit
import http.client
import select
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cache
from pathlib import Path

from zitadel_notification_operator.demo.control_plane import ControlPlane

TIMEOUT = 30.0
"""Seconds that a server may take to accept a connection, or for a part of an answer."""
KEPT = 60.0
"""Seconds after which an unused connection is not used again. kube-apiserver closes it
after 90, and a call that it closes half-way may or may not have had its effect."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has answered."""

    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class _Idle:
    """A connection that nobody uses, and since when."""

    connection: http.client.HTTPSConnection
    since: float

    def is_usable(self) -> bool:
        """Return whether the server has neither closed it nor is about to do so.

        What can be read where nothing was asked is the end of the connection.
        """
        socket = self.connection.sock
        if socket is None or time.monotonic() - self.since > KEPT:
            return False
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return not poll.poll(0)


_lock = threading.Lock()
_idle: dict[tuple[Path, str], list[_Idle]] = {}


def call(
    plane: ControlPlane, verb: str, path: str, body: bytes | None, content: str
) -> Answer:
    """Make a call as the administrator of a control plane, and return the answer.

    Raises:
        OSError: The server cannot be reached, or has closed the connection.
        HTTPException: It has answered something else than HTTP, or not all of it.
    """
    headers = {
        "Authorization": f"Bearer {plane.token}",
        "Content-Type": content,
        "User-Agent": "kubectl of the test",
    }
    with _connection(plane) as connection:
        connection.request(verb, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


@contextmanager
def _connection(plane: ControlPlane) -> Iterator[http.client.HTTPSConnection]:
    """Yield a connection for one call, and keep it unless the call fails."""
    place = (plane.folder, plane.url)
    connection = _kept(place)
    if connection is None:
        host, _, port = plane.url.removeprefix("https://").rpartition(":")
        connection = http.client.HTTPSConnection(
            host, int(port), timeout=TIMEOUT, context=_trusting(plane.folder / "ca.crt")
        )
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
    with _lock:
        _idle.setdefault(place, []).append(_Idle(connection, time.monotonic()))


def _kept(place: tuple[Path, str]) -> http.client.HTTPSConnection | None:
    """Return a connection that was kept and is usable, or None.

    Where there is none, those of other servers are looked through, too, so that nothing
    stays open to a server that has ended.
    """
    with _lock:
        kept = _idle.get(place, [])
        while kept:
            last = kept.pop()
            if last.is_usable():
                return last.connection
            last.connection.close()
        for other in list(_idle):
            usable = [one for one in _idle[other] if one.is_usable()]
            for one in _idle.pop(other):
                if one not in usable:
                    one.connection.close()
            if usable:
                _idle[other] = usable
    return None


@atexit.register
def _close_all() -> None:
    """Close what is still kept when the process ends; Python would warn of each."""
    with _lock:
        for kept in _idle.values():
            for one in kept:
                one.connection.close()
        _idle.clear()


@cache
def _trusting(roots: Path) -> ssl.SSLContext:
    """Return a TLS context that trusts these roots; each plane has its own."""
    return ssl.create_default_context(cafile=str(roots))
