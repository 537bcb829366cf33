"""The HTTP server of an emulator; it also keeps the request log and applies faults."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from .answers import Reply, plain
from .checks import Incoming, answer, time_limit, too_late
from .control import Control
from .control_input import flags_of
from .events import Clock, utc_now
from .faults import Fault, Faults
from .hosts import without_port
from .messages import Kind
from .probes import probe
from .tokens import token
from .zitadel import Zitadel

LONGEST_LOG = 100_000
"""The maximum size of the request log; when it is full, the older half is deleted."""

_GRACE = 0.5
"""Seconds that running requests get to finish when the emulator stops."""


_Connection = ssl.SSLObject | ssl.SSLSocket


@dataclass(frozen=True, slots=True)
class Tls:
    """The files for serving https.

    Attributes:
        certificate: The certificate in PEM, followed by any intermediate certificates.
        key: The private key in PEM, not encrypted.
    """

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return the SSL context for the server.

        Raises:
            OSError: A file cannot be read.
            ssl.SSLError: A file is not a certificate or key, or they do not match.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # If no password is given, OpenSSL asks for that of an encrypted key on the
        # terminal.
        context.load_cert_chain(self.certificate, self.key, password="")
        return context


@dataclass(slots=True)
class Emulator:
    """An emulator, which `serve` runs.

    Attributes:
        token: The personal access token of an IAM_OWNER.
        zitadel: The instance: its log, users, organizations and switches.
        faults: The active faults.
        requests: The request log, oldest first. Each request is a dict with method,
            path, organization (the header), status (0 if no answer was sent), time
            (seconds since 1970), host and user_agent (the headers) and server_name
            (from the TLS handshake; empty without TLS).
        url: The base URL while the emulator is served; empty before.
    """

    token: str
    zitadel: Zitadel
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    _host: str = ""
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _server_names: WeakKeyDictionary[_Connection, str] = field(
        default_factory=WeakKeyDictionary
    )

    def calls(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Return the requests so far, only those with the verb or path if given."""
        return [
            request
            for request in self.requests
            if method in {"", request["method"]} and path in {"", request["path"]}
        ]

    def reset(self) -> None:
        """Start anew: with a new instance, and without faults and past requests.

        Requests that hang are cut. The URL and the token stay.
        """
        host, secure = self._host, self.zitadel.secure
        self.zitadel = self.zitadel.anew()
        self.place(host, secure=secure)
        self.faults.clear()
        self.requests.clear()
        self._closing.set()
        self._closing = asyncio.Event()

    def place(self, host: str, *, secure: bool) -> None:
        """Tell the instance the host under which it is served, and whether by https."""
        self._host = host
        self.zitadel.domains.add(host)
        self.zitadel.secure = secure

    def application(self) -> web.Application:
        """Return the aiohttp application with all routes."""
        app = web.Application()
        Control(self).add_routes(app)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.on_shutdown.append(self._close)
        return app

    def note_server_name(
        self, connection: _Connection, name: str | None, _: ssl.SSLContext
    ) -> None:
        """Record the server name that a TLS client sent (`SSLContext.sni_callback`)."""
        self._server_names[connection] = name or ""

    async def _close(self, _: web.Application) -> None:
        self._closing.set()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        begin = asyncio.get_running_loop().time()
        body = await request.read()
        incoming = Incoming(
            request.method, request.path, request.headers, body, request.query
        )
        connection = request.get_extra_info("ssl_object")
        name = self._server_names.get(connection, "") if connection else ""
        entry = self._log(incoming, name)
        at = (incoming.method, incoming.path, incoming.organization)
        fault = self.faults.take(*at) or Fault()
        if await _is_too_late(fault, time_limit(incoming), begin):
            reply, fault = too_late(), Fault()
        else:
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
            "user_agent": request.headers.get("User-Agent", ""),
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
            # aiohttp cancels this handler when the client disconnects.
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
    """Serve an emulator until the block ends.

    Args:
        emulator: The emulator to serve. Its `url` is set, and its instance accepts
            requests for the host it listens on.
        host: The address to listen on.
        port: The port to listen on; 0 picks a free one.
        tls: The files for serving https; None serves http.

    Raises:
        OSError: The address is in use or not permitted, or a file of `tls` is invalid.
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
        emulator.place(without_port(shown), secure=context is not None)
        emulator.url = f"{'https' if context else 'http'}://{shown}:{actual}"
        yield emulator
    finally:
        await runner.cleanup()


def new_emulator(
    token: str,
    organizations: int = 2,
    clock: Clock = utc_now,
    domains: Collection[str] = (),
    policy_flags: Collection[str] = (),
) -> Emulator:
    """Return an emulator, which `serve` can run.

    Args:
        token: The personal access token of an IAM_OWNER.
        organizations: How many organizations to create besides the credential's own.
        clock: Returns the current time, for events and the expiration of tokens.
        domains: More hosts that the instance accepts, without ports.
        policy_flags: Names of boolean flags that policies have besides
            `passwordChange`.

    Raises:
        BadControl: The name of a flag is not allowed.
    """
    flags = flags_of(dict.fromkeys(policy_flags, Kind.BOOL))
    return Emulator(token, Zitadel(token, organizations, clock, domains, flags))


def _response(reply: Reply, fault: Fault) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body.encode())
    response.headers.update({**reply.headers, **fault.headers})
    return response


async def _is_too_late(fault: Fault, limit: float | None, begin: float) -> bool:
    """Wait for the delay of a fault, but not longer than the time limit of the call.

    Args:
        fault: The fault that affects the call.
        limit: The time limit of the call in seconds, or None.
        begin: When the call began, by the clock of the event loop.

    Returns:
        Whether the call has reached its time limit.
    """
    if limit is not None:
        left = begin + limit - asyncio.get_running_loop().time()
        if left <= fault.delay:
            await asyncio.sleep(max(left, 0))
            return True
    await asyncio.sleep(fault.latency)
    return False


async def _dripping(
    request: web.Request, response: web.Response, pause: float
) -> web.StreamResponse:
    """Send the headers at once, and the body byte by byte."""
    body = response.body if isinstance(response.body, bytes) else b""
    slow = web.StreamResponse(status=response.status, headers=response.headers)
    slow.content_length = len(body)
    with suppress(ConnectionResetError):  # the client has left, as it may at any time
        await slow.prepare(request)
        for byte in body:
            await slow.write(bytes([byte]))
            await asyncio.sleep(pause)
    return slow


async def _truncated(
    request: web.Request, response: web.Response, size: int
) -> web.StreamResponse:
    """Announce the length of the whole body, send a part, and close the connection."""
    body = response.body if isinstance(response.body, bytes) else b""
    partial = web.StreamResponse(status=response.status, headers=response.headers)
    # The length is at least one byte more than is sent, so that even an empty body is
    # incomplete.
    partial.content_length = max(len(body), size + 1)
    await partial.prepare(request)
    await partial.write(body[:size])
    if request.transport is not None:
        request.transport.close()
    return partial
