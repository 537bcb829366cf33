"""HTTP in and out: serves an emulator, keeps the request log, carries out faults."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from zitadel_notification_operator.emulator.answers import Reply, plain
from zitadel_notification_operator.emulator.checks import Incoming, answer
from zitadel_notification_operator.emulator.control import Control
from zitadel_notification_operator.emulator.events import Clock, utc_now
from zitadel_notification_operator.emulator.faults import Fault, Faults
from zitadel_notification_operator.emulator.hosts import without_port
from zitadel_notification_operator.emulator.probes import probe
from zitadel_notification_operator.emulator.tokens import token
from zitadel_notification_operator.emulator.zitadel import Zitadel

LONGEST_LOG = 100_000
"""So many requests are remembered; then the older half is forgotten."""

_GRACE = 0.5
"""Seconds that running requests may take to end when the emulator stops."""


_Connection = ssl.SSLObject | ssl.SSLSocket


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for serving https.

    Attributes:
        certificate: PEM, with intermediate certificates behind it if there are any.
        key: PEM, not encrypted.
    """

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what the server needs.

        Raises:
            OSError: A file cannot be read.
            ssl.SSLError: They are no certificate and key, or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Without a password of our own, OpenSSL would ask the terminal for one.
        context.load_cert_chain(self.certificate, self.key, password="")
        return context


@dataclass(slots=True)
class Emulator:
    """A running emulator, as its context manager gives it.

    Attributes:
        token: Of an IAM_OWNER.
        zitadel: The instance: its log, users, organizations and switches.
        faults: The faults in force.
        requests: One dict a request, oldest first: method, path, organization (the
            header), status (0 while no answer was sent), time (seconds since 1970),
            host (the Host header), server_name (of the TLS handshake; empty without).
        url: Where it listens, http on loopback unless `Tls` is given.
    """

    token: str
    zitadel: Zitadel
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _server_names: WeakKeyDictionary[_Connection, str] = field(
        default_factory=WeakKeyDictionary
    )

    def calls(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Return the requests so far, of one verb or one path if named."""
        return [
            request
            for request in self.requests
            if method in {"", request["method"]} and path in {"", request["path"]}
        ]

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        Control(self.zitadel, self.faults, self.requests).add_routes(app)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.on_shutdown.append(self._close)
        return app

    def note_server_name(
        self, connection: _Connection, name: str | None, _: ssl.SSLContext
    ) -> None:
        """Keep the name that a TLS client asked for (`SSLContext.sni_callback`)."""
        self._server_names[connection] = name or ""

    async def _close(self, _: web.Application) -> None:
        self._closing.set()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        incoming = Incoming(
            request.method, request.path, request.headers, body, request.query
        )
        connection = request.get_extra_info("ssl_object")
        name = self._server_names.get(connection, "") if connection else ""
        entry = self._log(incoming, name)
        at = (incoming.method, incoming.path, incoming.organization)
        fault = self.faults.take(*at) or Fault()
        await asyncio.sleep(fault.latency)
        reply = self._answer(incoming) if fault.keeps_call else plain("")
        if fault.is_silent:
            return await self._fall_silent(request, fault)
        if fault.replaces:
            reply = plain(fault.body or "", fault.status or 200)
        entry["status"] = reply.status
        if self.zitadel.behavior.clock_skew_milliseconds:
            date = format_datetime(self.zitadel.now(), usegmt=True)
            reply.headers.setdefault("Date", date)
        response = _response(reply, fault)
        if fault.drip:
            return await _dripping(request, response, fault.drip)
        if fault.truncate is None:
            return response
        return await _truncated(request, response, fault.truncate)

    def _log(self, request: Incoming, server_name: str) -> dict[str, Any]:
        if len(self.requests) >= LONGEST_LOG:
            del self.requests[: LONGEST_LOG // 2]
        entry: dict[str, Any] = {
            "method": request.method,
            "path": request.path,
            "organization": request.organization,
            "status": 0,
            "time": time.time(),
            "host": request.headers.get("Host", ""),
            "server_name": server_name,
        }
        self.requests.append(entry)
        return entry

    def _answer(self, request: Incoming) -> Reply:
        at = (request.method, request.path, request.headers)
        return (
            probe(self.zitadel, *at)
            or token(self.zitadel, request)
            or answer(self.zitadel, request)
        )

    async def _fall_silent(
        self, request: web.Request, fault: Fault
    ) -> web.StreamResponse:
        if fault.hang:
            # Also ends by cancellation: aiohttp cancels us when the client leaves.
            await self._closing.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


@asynccontextmanager
async def serve(
    emulator: Emulator,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: Tls | None = None,
) -> AsyncIterator[Emulator]:
    """Serve an emulator for as long as the block lasts.

    Args:
        emulator: Its `url` is set; it answers to that host, too.
        host: Where to listen.
        port: 0 picks a free one.
        tls: Serve https with these files; http when None.

    Raises:
        OSError: The address is taken or may not be used, or a file of `tls`.
    """
    context = tls.context() if tls else None
    if context:
        context.sni_callback = emulator.note_server_name
    runner = web.AppRunner(
        emulator.application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GRACE,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        actual = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        emulator.zitadel.domains.add(without_port(shown))
        emulator.zitadel.secure = context is not None
        emulator.url = f"{'https' if context else 'http'}://{shown}:{actual}"
        yield emulator
    finally:
        await runner.cleanup()


def new_emulator(
    token: str,
    organizations: int = 2,
    clock: Clock = utc_now,
    domains: Collection[str] = (),
) -> Emulator:
    """Return an emulator that does not serve yet.

    Args:
        token: The personal access token of an IAM_OWNER.
        organizations: How many there are besides the credential's own.
        clock: The time of day, for events and the end of tokens.
        domains: More hosts that the instance answers to, without ports.
    """
    zitadel = Zitadel(token, organizations, clock)
    for domain in domains:
        zitadel.add_domain(domain)
    return Emulator(token, zitadel)


def _response(reply: Reply, fault: Fault) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body.encode())
    response.headers.update({**reply.headers, **fault.headers})
    return response


async def _dripping(
    request: web.Request, response: web.Response, pause: float
) -> web.StreamResponse:
    """Send the headers at once, and the body byte by byte."""
    body = response.body if isinstance(response.body, bytes) else b""
    slow = web.StreamResponse(status=response.status, headers=response.headers)
    slow.content_length = len(body)
    await slow.prepare(request)
    for byte in body:
        await slow.write(bytes([byte]))
        await asyncio.sleep(pause)
    return slow


async def _truncated(
    request: web.Request, response: web.Response, size: int
) -> web.StreamResponse:
    """Promise the whole body, send a part of it, cut the connection."""
    body = response.body if isinstance(response.body, bytes) else b""
    partial = web.StreamResponse(status=response.status, headers=response.headers)
    # One byte more than there is, so that even an empty body comes short.
    partial.content_length = max(len(body), size + 1)
    await partial.prepare(request)
    await partial.write(body[:size])
    if request.transport is not None:
        request.transport.close()
    return partial
