"""A proxy in front of the API server that makes chosen calls fail.

One operator reaches the API server through it, because its kubeconfig says so. The
proxy understands HTTP: a fault applies to calls with a method, a path, a content type
or a body. Watches are streamed through, and the open ones can be cut, silenced, or
ended with "resource version too old".
"""

import asyncio
import json
import re
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self
from weakref import WeakSet

import aiohttp
from aiohttp import web
from yarl import URL

from zitadel_notification_operator.demo.control_plane import ControlPlane

_KINDS = ("notificationpolicies", "notificationpolicysets", "zitadelinstances")
_HOP_BY_HOP_HEADERS = {
    *("connection", "keep-alive", "transfer-encoding", "content-length"),
    *("host", "accept-encoding", "content-encoding"),
}
_REASONS = {
    401: "Unauthorized",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
}


@dataclass
class ApiFault:
    """A fault: which calls it applies to, and what happens to them.

    Attributes:
        method: The method that it applies to; empty means any.
        path: A regular expression that is searched for in the path with its query.
        content: A part of the content type.
        body: A part of the body.
        times: The number of calls that it applies to.
        status: The HTTP status of a Kubernetes Status that is returned instead of
            forwarding the call.
        headers: The headers of that response.
        hang: Send no response until the client closes the connection.
        reset: Reset the connection.
        after: Forward the call before that, and discard the response.
        delay: Seconds to wait before the call is forwarded.
        cut: The number of bytes of the response to send before a reset.
        expired: The only event of a watch says that its version is too old.
        hits: The number of calls that it has applied to so far.
    """

    method: str = ""
    path: str = ""
    content: str = ""
    body: str = ""
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    reset: bool = False
    after: bool = False
    delay: float = 0.0
    cut: int | None = None
    expired: bool = False
    hits: int = 0

    def matches(self, request: web.BaseRequest, body: bytes) -> bool:
        """Return whether the fault applies to this call, and count it if so."""
        found = (
            self.hits < self.times
            and self.method in {"", request.method}
            and self.content in request.headers.get("Content-Type", "")
            and self.body.encode() in body
            and re.search(self.path, request.path_qs) is not None
        )
        self.hits += found
        return found


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was received, at a time of `time.monotonic()`."""

    time: float
    method: str
    path: str


def lists(**what: Any) -> list[ApiFault]:
    """Return a fault for the LISTs of each kind."""
    return [ApiFault(path=rf"/{kind}\?(?!.*watch=)", **what) for kind in _KINDS]


def watches(**what: Any) -> list[ApiFault]:
    """Return a fault for the WATCHes of each kind."""
    return [ApiFault(path=rf"/{kind}\?.*watch=true", **what) for kind in _KINDS]


class ApiProxy:
    """Forwards calls to an API server; a context manager.

    Attributes:
        port: The port on loopback where it listens.
        troubles: The faults; the first one that matches a call applies to it.
        calls: All calls that were received.
        accepts: Returns whether a call's bearer token is valid; if not, the response is
            HTTP 401. None leaves the decision to the API server.
        refused: The number of calls that were rejected for their token.
    """

    def __init__(
        self, plane: ControlPlane, instances: str = "", pair: Path | None = None
    ) -> None:
        """Prepare a proxy for a control plane.

        Args:
            plane: The control plane; the proxy calls it as its administrator.
            instances: A label selector. Only matching instances are listed and watched,
                so that several operators can share a control plane.
            pair: The file with the server's certificate and key; None serves plain
                HTTP.
        """
        self.accepts: Callable[[str], bool] | None = None
        self.refused = 0
        self._connections: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._tls: ssl.SSLContext | None = None
        if pair is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(pair)
        self._plane = plane
        self._instances = instances
        self.port = 0
        self.faults: list[ApiFault] = []
        self.calls: list[Call] = []
        self._streams: set[_Stream] = set()
        self._loop = asyncio.new_event_loop()
        self._started = Event()
        self._over = asyncio.Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def kubeconfig(
        self,
        path: Path,
        cluster: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
    ) -> Path:
        """Write a kubeconfig whose server is this proxy; return its path.

        Args:
            path: Where to write it.
            cluster: Fields of the cluster entry in addition to `server`.
            user: The user entry, instead of the administrator's.
        """
        made = json.loads(self._plane.kubeconfig.read_text())
        url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"
        made["clusters"][0]["cluster"] = {"server": url, **(cluster or {})}
        if user is not None:
            made["users"][0]["user"] = user
        path.write_text(json.dumps(made))
        return path

    def show(self, pair: Path) -> None:
        """Serve another certificate from now on, and reset all connections."""
        assert self._tls is not None
        self._tls.load_cert_chain(pair)
        self.drop()

    def drop(self) -> None:
        """Reset all connections."""

        def abort() -> None:
            for transport in list(self._connections):
                if isinstance(transport, asyncio.Transport):
                    transport.abort()

        self._loop.call_soon_threadsafe(abort)

    def add(self, *faults: ApiFault) -> None:
        """Add faults, which apply from now on."""
        self.faults = [*self.faults, *faults]

    @property
    def watches(self) -> int:
        """The number of open watches."""
        return len(self._streams)

    def cut(self) -> None:
        """Reset all open watches, in the middle of a line."""
        self._to_streams(_Stream.cut)

    def expire(self) -> None:
        """End all open watches with the event that their version is too old."""
        self._to_streams(_Stream.expire)

    def silence(self) -> None:
        """Keep all open watches open, but send no further event on them."""
        self._to_streams(_Stream.silence)

    def _to_streams(self, what: Callable[["_Stream"], None]) -> None:
        done = Event()

        def apply() -> None:
            for stream in list(self._streams):
                what(stream)
            done.set()

        self._loop.call_soon_threadsafe(apply)
        assert done.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = web.Server(self._handle, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = runner.addresses[0][1]
        context = ssl.create_default_context(cafile=self._plane.folder / "ca.crt")
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout
        ) as self._session:
            self._started.set()
            await self._over.wait()
            for stream in list(self._streams):
                stream.cut()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = Call(time.monotonic(), request.method, request.path_qs)
        self.calls.append(call)
        if request.transport is not None:
            self._connections.add(request.transport)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.accepts is not None and not self.accepts(bearer):
            self.refused += 1
            return _error_response(ApiFault(status=401))
        fault = next((t for t in self.faults if t.matches(request, body)), None)
        if fault is None:
            return await self._relay(request, body, None)
        await asyncio.sleep(fault.delay)
        if fault.after and not await self._carry_out(request, body):
            return _reset(request)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.status:
            return _error_response(fault)
        if fault.reset:
            return _reset(request)
        return await self._relay(request, body, fault)

    async def _carry_out(self, request: web.BaseRequest, body: bytes) -> bool:
        """Forward a call without its response; return whether the server answered."""
        try:
            async with self._forward(request, body) as response:
                await response.read()
        except aiohttp.ClientError:
            return False
        return True

    async def _relay(
        self, request: web.BaseRequest, body: bytes, fault: ApiFault | None
    ) -> web.StreamResponse:
        try:
            async with self._forward(request, body) as response:
                made = web.StreamResponse(
                    status=response.status,
                    headers=_end_to_end(response.headers.items()),
                )
                stream = _Stream(request, made)
                await made.prepare(request)
                await self._copy(response, stream, fault)
                if not stream.is_cut:
                    await made.write_eof()
                return made
        except aiohttp.ClientError:
            return _reset(request)

    async def _copy(
        self,
        response: aiohttp.ClientResponse,
        stream: "_Stream",
        fault: ApiFault | None,
    ) -> None:
        if fault is not None and fault.expired:
            await stream.put(_expired_event())
            return
        if "watch=true" in stream.path:
            self._streams.add(stream)
        if fault is not None:
            stream.left = fault.cut
        try:
            await stream.copy(response.content)
        finally:
            self._streams.discard(stream)

    def _forward(self, request: web.BaseRequest, body: bytes) -> Any:
        path = request.path_qs
        if self._instances and re.search(r"/zitadelinstances(\?|$)", path):
            path += f"{'&' if '?' in path else '?'}labelSelector={self._instances}"
        headers = _end_to_end(request.headers.items())
        if self.accepts is not None:
            headers["Authorization"] = f"Bearer {self._plane.token}"
        url = URL(self._plane.url + path, encoded=True)
        return self._session.request(
            request.method, url, headers=headers, data=body or None
        )


class _Stream:
    """A response that is being sent to the client."""

    def __init__(self, request: web.BaseRequest, made: web.StreamResponse) -> None:
        self.path = request.path_qs
        self.left: int | None = None
        self.is_cut = False
        self._request = request
        self._made = made
        self._reading: asyncio.Future[bytes] | None = None
        self._silent = False
        self._final_event = b""
        self._rest = b""

    async def copy(self, content: aiohttp.StreamReader) -> None:
        """Forward the content until it ends or a fault applies."""
        while not self.is_cut:
            self._reading = asyncio.ensure_future(content.readany())
            try:
                data = await self._reading
            except asyncio.CancelledError:
                if not self._final_event:
                    raise
                await self.put(self._final_event)
                return
            if not data:
                await self.put(self._rest)
                return
            if self._silent:
                continue
            if self.left is not None and len(data) >= self.left:
                await self.put(data[: self.left])
                await asyncio.sleep(0.05)
                self._reset()
                return
            if self.left is not None:
                self.left -= len(data)
                await self.put(data)
                continue
            # The final event comes between two lines, as with a real server.
            whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
            await self.put(whole + newline)

    async def put(self, data: bytes) -> None:
        """Send bytes, unless the client has closed the connection."""
        if self._request.transport is None:
            self.is_cut = True
            return
        if not data:
            return
        await self._made.write(data)

    def cut(self) -> None:
        """Reset the connection after half a line."""
        if not self.is_cut and self._request.transport is not None:
            half = b'{"type":"MODIFIED","obj'
            self._request.transport.write(b"%x\r\n%b\r\n" % (len(half), half))
            self._request.transport.close()
        self.is_cut = True
        self._wake()

    def expire(self) -> None:
        """Send the event that the version is too old, and end the stream."""
        self._final_event = _expired_event()
        self._wake()

    def silence(self) -> None:
        """Send nothing more."""
        self._silent = True

    def _wake(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def _reset(self) -> None:
        self.is_cut = True
        _reset(self._request)


def _reset(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _error_response(fault: ApiFault) -> web.Response:
    body = _status(fault.status)
    return web.json_response(body, status=fault.status, headers=fault.headers)


def _expired_event() -> bytes:
    return json.dumps({"type": "ERROR", "object": _status(410)}).encode() + b"\n"


def _status(code: int) -> dict[str, Any]:
    """Return the Kubernetes Status object for an HTTP status code."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"made up by the test: {code}",
        "reason": _REASONS.get(code, "InternalError"),
        "code": code,
    }


def _end_to_end(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {k: v for k, v in headers if k.lower() not in _HOP_BY_HOP_HEADERS}
