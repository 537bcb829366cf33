"""A proxy in front of the API server that can be told to fail, call by call.

One operator is led through it by a kubeconfig. It knows HTTP: a trouble is for calls of
a method, a path, a content type, a body. Watches are passed on as they come, and those
that are open can be cut, silenced, or told that their version is too old.
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

_KINDS = ("notificationpolicies", "zitadelinstances")
_NOT_PASSED_ON = {
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
class Trouble:
    """What happens to calls, and to which.

    Attributes:
        method: Whose; empty is any.
        path: Found in the path with its query, as a regular expression.
        content: In the content type.
        body: In the body.
        times: To how many of them.
        status: Answered, with a Kubernetes Status, instead of passing the call on.
        headers: Of that answer.
        hang: Answer nothing until the client leaves.
        reset: Reset the connection.
        after: Pass the call on before that, and throw its answer away.
        delay: Seconds before it is passed on.
        cut: Of the answer only so many bytes, then a reset.
        expired: A watch's first and last word is that its version is too old.
        hits: How many calls it was for so far.
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

    def takes(self, request: web.BaseRequest, body: bytes) -> bool:
        """Return whether it is for this call; counts it then."""
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
    """A call that came, at a time of `time.monotonic()`."""

    time: float
    method: str
    path: str


def lists(**what: Any) -> list[Trouble]:
    """Return a trouble for LISTs of each kind."""
    return [Trouble(path=rf"/{kind}\?(?!.*watch=)", **what) for kind in _KINDS]


def watches(**what: Any) -> list[Trouble]:
    """Return a trouble for WATCHes of each kind."""
    return [Trouble(path=rf"/{kind}\?.*watch=true", **what) for kind in _KINDS]


class ApiProxy:
    """Passes calls on to an API server; use it as a `with` block.

    Attributes:
        port: Where it listens, on loopback.
        troubles: What is to happen; the first one that takes a call has it.
        calls: All calls that came.
        accepts: Asked about the bearer token of each call; 401 where it says no. None:
            the API server itself is asked.
        refused: How many calls it has said no to.
    """

    def __init__(
        self, plane: ControlPlane, instances: str = "", pair: Path | None = None
    ) -> None:
        """Stand in front of a control plane.

        Args:
            plane: Its administrator makes the calls.
            instances: A label selector: no other instances are listed and watched, so
                that several operators can share a control plane.
            pair: Certificate and key to show; None: plain HTTP is spoken.
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
        self.troubles: list[Trouble] = []
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
        """Write a kubeconfig that leads here; return its path.

        Args:
            path: Of the file.
            cluster: Fields of the cluster, beside its server.
            user: In place of the administrator.
        """
        made = json.loads(self._plane.kubeconfig.read_text())
        url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"
        made["clusters"][0]["cluster"] = {"server": url, **(cluster or {})}
        if user is not None:
            made["users"][0]["user"] = user
        path.write_text(json.dumps(made))
        return path

    def show(self, pair: Path) -> None:
        """Show another certificate from now on, and reset all connections."""
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

    def add(self, *troubles: Trouble) -> None:
        """Have troubles happen from now on."""
        self.troubles = [*self.troubles, *troubles]

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._streams)

    def cut(self) -> None:
        """Reset all open watches, in the middle of a line."""
        self._to_streams(_Stream.cut)

    def expire(self) -> None:
        """Tell all open watches that their version is too old."""
        self._to_streams(_Stream.expire)

    def silence(self) -> None:
        """Leave all open watches open, and pass nothing more on."""
        self._to_streams(_Stream.silence)

    def _to_streams(self, what: Callable[["_Stream"], None]) -> None:
        told = Event()

        def tell() -> None:
            for stream in list(self._streams):
                what(stream)
            told.set()

        self._loop.call_soon_threadsafe(tell)
        assert told.wait(10)

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
            return _refusal(Trouble(status=401))
        trouble = next((t for t in self.troubles if t.takes(request, body)), None)
        if trouble is None:
            return await self._pass_on(request, body, None)
        await asyncio.sleep(trouble.delay)
        if trouble.after:
            async with self._forward(request, body) as answer:
                await answer.read()
        if trouble.hang:
            await asyncio.Event().wait()
        if trouble.status:
            return _refusal(trouble)
        if trouble.reset:
            return _reset(request)
        return await self._pass_on(request, body, trouble)

    async def _pass_on(
        self, request: web.BaseRequest, body: bytes, trouble: Trouble | None
    ) -> web.StreamResponse:
        try:
            async with self._forward(request, body) as answer:
                made = web.StreamResponse(
                    status=answer.status, headers=_kept(answer.headers.items())
                )
                stream = _Stream(request, made)
                await made.prepare(request)
                await self._copy(answer, stream, trouble)
                if not stream.is_cut:
                    await made.write_eof()
                return made
        except aiohttp.ClientError:
            return _reset(request)

    async def _copy(
        self,
        answer: aiohttp.ClientResponse,
        stream: "_Stream",
        trouble: Trouble | None,
    ) -> None:
        if trouble is not None and trouble.expired:
            await stream.put(_expiry())
            return
        if "watch=true" in stream.path:
            self._streams.add(stream)
        if trouble is not None:
            stream.left = trouble.cut
        try:
            await stream.copy(answer.content)
        finally:
            self._streams.discard(stream)

    def _forward(self, request: web.BaseRequest, body: bytes) -> Any:
        path = request.path_qs
        if self._instances and re.search(r"/zitadelinstances(\?|$)", path):
            path += f"{'&' if '?' in path else '?'}labelSelector={self._instances}"
        headers = _kept(request.headers.items())
        if self.accepts is not None:
            headers["Authorization"] = f"Bearer {self._plane.token}"
        url = URL(self._plane.url + path, encoded=True)
        return self._session.request(
            request.method, url, headers=headers, data=body or None
        )


class _Stream:
    """An answer on its way to the client."""

    def __init__(self, request: web.BaseRequest, made: web.StreamResponse) -> None:
        self.path = request.path_qs
        self.left: int | None = None
        self.is_cut = False
        self._request = request
        self._made = made
        self._reading: asyncio.Future[bytes] | None = None
        self._silent = False
        self._last_word = b""
        self._rest = b""

    async def copy(self, content: aiohttp.StreamReader) -> None:
        """Pass on what comes, until its end or a trouble."""
        while not self.is_cut:
            self._reading = asyncio.ensure_future(content.readany())
            try:
                data = await self._reading
            except asyncio.CancelledError:
                if not self._last_word:
                    raise
                await self.put(self._last_word)
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
            # A last word comes between two lines, as a real server's does.
            whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
            await self.put(whole + newline)

    async def put(self, data: bytes) -> None:
        """Pass bytes on, unless the client has gone."""
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
        """Say that the version is too old, and end."""
        self._last_word = _expiry()
        self._wake()

    def silence(self) -> None:
        """Pass nothing more on."""
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


def _refusal(trouble: Trouble) -> web.Response:
    told = _status(trouble.status)
    return web.json_response(told, status=trouble.status, headers=trouble.headers)


def _expiry() -> bytes:
    return json.dumps({"type": "ERROR", "object": _status(410)}).encode() + b"\n"


def _status(code: int) -> dict[str, Any]:
    """Return the Status that goes with a code, as Kubernetes words it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"made up by the test: {code}",
        "reason": _REASONS.get(code, "InternalError"),
        "code": code,
    }


def _kept(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {k: v for k, v in headers if k.lower() not in _NOT_PASSED_ON}
