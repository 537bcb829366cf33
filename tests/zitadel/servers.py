"""Servers that respond as no good ZITADEL does."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.errors import OperatorError

CREATED = "2026-01-01T00:00:00.123456Z"
CHANGED = "2026-01-02T00:00:00.12Z"
TOKEN = "canary-7Hq2-token"
PAT = AccessToken(TOKEN)


def details(owner: str = "org-a") -> dict[str, object]:
    return {
        "sequence": "42",
        "creationDate": CREATED,
        "changeDate": CHANGED,
        "resourceOwner": owner,
    }


def policy(owner: str = "org-a", **fields: object) -> dict[str, object]:
    return {"policy": {"details": details(owner), **fields}}


def organization(owner: str = "org-a", **fields: object) -> dict[str, object]:
    return {"org": {"id": owner, "details": details(owner), **fields}}


def refusal(code: int, id_: str = "", text: str = "Some text") -> dict[str, object]:
    """Return an error body; without an id, as before ZITADEL knows its instance."""
    if not id_:
        return {"code": code, "message": text}
    kind = "type.googleapis.com/zitadel.v1.ErrorDetail"
    return {
        "code": code,
        "message": f"{text} ({id_})",
        "details": [{"@type": kind, "id": id_, "message": text}],
    }


def reply(body: object, status: int = 200, **headers: str) -> web.Response:
    """Return a response; anything but text and bytes becomes JSON."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, bytes):
        return web.Response(status=status, body=body, headers=names)
    text = body if isinstance(body, str) else json.dumps(body)
    return web.Response(status=status, text=text, headers=names)


@dataclass
class Seen:
    """A request as received."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    at: float


@dataclass
class Server:
    """Answers all requests with `answer`, and records them."""

    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    peers: set[object] = field(default_factory=set)
    now: int = 0
    most: int = 0

    def always(self, body: object, status: int = 200, **headers: str) -> None:
        """Give every request the same response."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            return reply(body, status, **headers)

        self.answer = answer

    def by_path(self, answers: dict[str, tuple[object, int]]) -> None:
        """Choose body and status by path."""

        async def answer(request: web.Request) -> web.StreamResponse:
            return reply(*answers[request.path])

        self.answer = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record the request, then answer it."""
        loop = asyncio.get_running_loop()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                {name.lower(): value for name, value in request.headers.items()},
                await request.text(),
                loop.time(),
            )
        )
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        assert self.answer is not None
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self.answer(request)
        finally:
            self.now -= 1


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    scheme = "https" if tls else "http"
    server.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering_raw(answer: bytes) -> AsyncIterator[str]:
    """Send these bytes to each client, then close the connection."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def failure(call: Awaitable[object]) -> OperatorError:
    """Return the error of a call, which is one sentence without a full stop."""
    with pytest.raises(OperatorError) as caught:
        await call
    error = caught.value
    assert not error.message.endswith(".")
    assert "\n" not in error.message
    return error
