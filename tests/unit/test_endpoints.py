"""The addresses that the endpoints listen on: IPv4 and IPv6, or what exists."""

import asyncio
import errno
import socket
from typing import Any

import pytest
from aiohttp import ClientSession, web

from support.waiting import soon
from zitadel_notification_operator.telemetry.endpoints import (
    health_app,
    metrics_app,
    serve,
)


def app() -> web.Application:
    """Return a health endpoint that reports success."""
    return health_app(alive=str, ready=str)


async def status(url: str) -> int:
    """Return the HTTP status of a GET; 0 if nobody listens."""
    async with ClientSession() as session:
        try:
            async with session.get(url) as answer:
                return answer.status
        except OSError:
            return 0


async def test_one_port_for_both_families() -> None:
    """This also holds for a free port that the kernel picks."""
    runner, port = await serve(app(), "", 0)
    assert await status(f"http://127.0.0.1:{port}/healthz") == 200
    assert await status(f"http://[::1]:{port}/healthz") == 200
    await runner.cleanup()
    assert await status(f"http://127.0.0.1:{port}/healthz") == 0


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nothing"])
@pytest.mark.clock
async def test_no_connection_stays_open(path: str) -> None:
    """An open connection's task would delay the end of the process."""
    metrics = metrics_app(lambda: iter([b"one 1\n", b"two 2\n"]))
    served = metrics if path == "/metrics" else app()
    before = asyncio.all_tasks()
    runner, port = await serve(served, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 2)
    assert answer.startswith(b"HTTP/1.1 404" if path == "/nothing" else b"HTTP/1.1 200")
    await soon(lambda: asyncio.all_tasks() <= before)
    writer.close()
    await runner.cleanup()


async def test_a_name_with_several_addresses_has_one_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On most machines `localhost` is 127.0.0.1 and ::1; 0 picks one port for both."""
    names = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: names)
    runner, port = await serve(app(), "localhost", 0)
    assert await status(f"http://127.0.0.1:{port}/healthz") == 200
    assert await status(f"http://[::1]:{port}/healthz") == 200
    await runner.cleanup()


@pytest.mark.parametrize(
    "number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL], ids=["no family", "no address"]
)
async def test_a_kernel_without_ipv6_serves_ipv4(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Either the socket type is missing (ipv6.disable=1) or the address (a sandbox)."""

    class Kernel(socket.socket):
        def __init__(self, family: int = socket.AF_INET, *rest: Any, **kw: Any) -> None:
            if family == socket.AF_INET6 and number == errno.EAFNOSUPPORT:
                raise OSError(number, "no such family")
            super().__init__(family, *rest, **kw)

        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(number, "no such address")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Kernel)
    runner, port = await serve(app(), "", 0)
    monkeypatch.undo()
    assert await status(f"http://127.0.0.1:{port}/healthz") == 200
    assert await status(f"http://[::1]:{port}/healthz") == 0
    await runner.cleanup()


async def test_half_a_port_is_none() -> None:
    """A port that is taken in one family counts as taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await serve(app(), "", taken.getsockname()[1])
