"""HTTP in and out: the order of ZITADEL's checks, health, discovery, faults.

The order (ZITADEL: interceptors of its API server; the first failure answers): route,
JSON, host, token header, token, organization, membership, permission, the call.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from zitadel_notification_operator.emulator.access import INSTANCE, User, may
from zitadel_notification_operator.emulator.answers import Refusal, encode
from zitadel_notification_operator.emulator.calls import Call, Context, decode, find
from zitadel_notification_operator.emulator.control import PREFIX, Control
from zitadel_notification_operator.emulator.faults import Fault, Faults
from zitadel_notification_operator.emulator.zitadel import Zitadel

_SENT_ALWAYS = {
    "Cache-Control": "no-store",
    "Set-Cookie": "zitadel.quota.exhausted=; Path=/; Max-Age=0; SameSite=Lax",
}
_ORIGIN = (
    "unable to set instance using origin &{{{host}  http}} "
    "(ExternalDomain is localhost): "
)
_DATABASE = _ORIGIN + (
    "ID=QUERY-d3fas Message=An internal error occurred Parent=(unable to get instance "
    "by host: instanceHost {host}, publicHost : ID=QUERY-d3fas Message=Errors.Internal)"
)
_HOST = _ORIGIN + (
    "ID=QUERY-1kIjX Message=Instance not found. Make sure you got the domain right."
)
_NOT_FOUND, _REFUSED, _UNKNOWN = 5, 7, 16


@dataclass(slots=True)
class Emulator:
    """A running emulator, as its context manager gives it.

    Attributes:
        url: Where it listens, http on loopback.
        token: Of an IAM_OWNER.
        requests: One dict a request: method, path, organization, status, time.
    """

    token: str
    zitadel: Zitadel
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

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
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        org = request.headers.get("x-zitadel-orgid", "").strip()
        entry = {
            "method": request.method,
            "path": request.path,
            "organization": org,
            "status": 0,
            "time": time.time(),
        }
        self.requests.append(entry)
        fault = self.faults.take(request.method, request.path, org)
        if fault is None:
            response = await self._answer(request)
            entry["status"] = response.status
            return response
        return await self._misbehave(request, fault)

    async def _misbehave(
        self, request: web.Request, fault: Fault
    ) -> web.StreamResponse:
        await asyncio.sleep(fault.latency)
        if fault.hang:
            if fault.after:
                await self._answer(request)
            # Ends by cancellation: when the client leaves, or at the end.
            await asyncio.Event().wait()
        instead = fault.status is not None or fault.body is not None
        if instead and not fault.after:
            response = web.Response(status=fault.status or 200, text=fault.body or "")
        elif fault.reset and not fault.after:
            response = web.Response()
        else:
            response = await self._answer(request)
            if instead:
                response = web.Response(
                    status=fault.status or 200, text=fault.body or ""
                )
        response.headers.update(fault.headers)
        if fault.reset and request.transport is not None:
            request.transport.abort()
        elif fault.truncate is not None:
            return await _truncated(request, response, fault.truncate)
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        if plain := self._health(request):
            return plain
        try:
            status, content = await self._checked(request)
        except Refusal as refusal:
            return _refusal(refusal)
        return _json(status, content)

    def _health(self, request: web.Request) -> web.Response | None:
        match request.path:
            case "/debug/healthz":
                return web.Response(text="ok")
            case "/debug/ready" if self.zitadel.database_down:
                text = "ID=API-F24h2 Message=DB CONNECTION ERROR"
                return web.Response(status=412, text=text)
            case "/debug/ready":
                return web.json_response("ok")
            case "/healthz":
                return web.json_response({"status": "SERVING"})
            case "/.well-known/openid-configuration":
                return self._discovery(request)
            case _:
                return None

    def _discovery(self, request: web.Request) -> web.Response:
        try:
            self._check_host(request)
        except Refusal as refusal:
            return web.Response(status=404, text=refusal.text)
        issuer = f"http://{request.headers.get('Host', '')}"
        names = {
            "authorization_endpoint": "/oauth/v2/authorize",
            "token_endpoint": "/oauth/v2/token",
            "introspection_endpoint": "/oauth/v2/introspect",
            "userinfo_endpoint": "/oidc/v1/userinfo",
            "revocation_endpoint": "/oauth/v2/revoke",
            "end_session_endpoint": "/oidc/v1/end_session",
            "jwks_uri": "/oauth/v2/keys",
        }
        urls = {name: issuer + path for name, path in names.items()}
        return web.json_response({"issuer": issuer, **urls})

    async def _checked(self, request: web.Request) -> tuple[int, dict[str, Any]]:
        call, parts = find(request.method, request.path)
        body = decode((await request.read()).decode("utf-8", "replace"))
        self._check_host(request)
        if call.permission is None:
            return call.act(Context(self.zitadel, "", "", body, parts))
        user = self._authenticate(request)
        org = self._organization(request, user)
        self._authorize(call, call.permission, user, org)
        return call.act(Context(self.zitadel, org, user.id, body, parts))

    def _check_host(self, request: web.Request) -> None:
        named = request.headers.get("x-zitadel-instance-host")
        host: str = named or request.headers.get("Host", "") or ""
        if self.zitadel.database_down:
            raise Refusal(_NOT_FOUND, _DATABASE.format(host=host))
        if _without_port(host) not in self.zitadel.domains:
            raise Refusal(_NOT_FOUND, _HOST.format(host=host))

    def _authenticate(self, request: web.Request) -> User:
        header = request.headers.get("Authorization")
        if not header:
            raise Refusal(_UNKNOWN, "auth header missing")
        scheme, _, token = header.partition(" ")
        if scheme != "Bearer" or not token:
            raise Refusal(_UNKNOWN, "invalid auth header", "AUTH-toLo1")
        user = self.zitadel.access.user(token)
        if user is None:
            raise Refusal(_UNKNOWN, "Errors.Token.Invalid", "AUTH-7fs1e")
        return user

    def _organization(self, request: web.Request, user: User) -> str:
        org = request.headers.get("x-zitadel-orgid", "").strip() or user.organization
        if not self.zitadel.exists(org):
            raise Refusal(_REFUSED, "Organisation doesn't exist", "AUTH-Bs7Ds")
        return org

    def _authorize(self, call: Call, permission: str, user: User, org: str) -> None:
        roles = user.memberships(org, self.zitadel.removed)
        instance_wide = call.path.pattern.startswith("/admin/")
        if not roles:
            # A membership anywhere in the caller's own context lets it past here.
            raise Refusal(_NOT_FOUND, "membership not found", "AUTHZ-cdgFk")
        if instance_wide:
            roles = user.roles.get(INSTANCE, set())
        if not may(roles, permission):
            raise Refusal(_REFUSED, "No matching permissions found", "AUTH-5mWD2")


@asynccontextmanager
async def serve(
    emulator: Emulator, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Emulator]:
    """Serve an emulator for as long as the block lasts.

    Args:
        emulator: Its `url` is set.
        host: Where to listen.
        port: 0 picks a free one.

    Raises:
        OSError: The address is taken.
    """
    runner = web.AppRunner(
        emulator.application(), access_log=None, shutdown_timeout=0.5
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        actual = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        emulator.url = f"http://{shown}:{actual}"
        yield emulator
    finally:
        await runner.cleanup()


def new_emulator(token: str, organizations: int = 2) -> Emulator:
    """Return an emulator that does not serve yet."""
    return Emulator(token, Zitadel(token, organizations))


def is_control(path: str) -> bool:
    """Return whether a path is the emulator's own, not ZITADEL's."""
    return path.startswith(PREFIX)


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status,
        text=encode(content),
        content_type="application/json",
        headers=_SENT_ALWAYS,
    )


def _refusal(refusal: Refusal) -> web.Response:
    response = _json(refusal.status, refusal.body())
    if refusal.code == _UNKNOWN:
        response.headers["WWW-Authenticate"] = str(refusal)
    return response


async def _truncated(
    request: web.Request, response: web.Response, size: int
) -> web.StreamResponse:
    """Promise the whole body, send a part of it, cut the connection."""
    body = response.body if isinstance(response.body, bytes) else b""
    partial = web.StreamResponse(status=response.status, headers=response.headers)
    partial.content_length = len(body)
    await partial.prepare(request)
    await partial.write(body[:size])
    if request.transport is not None:
        request.transport.close()
    return partial


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
