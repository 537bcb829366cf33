"""An API server that answers what a test wants, in plain HTTP or TLS, and remembers."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import yaml
from aiohttp import web

from zitadel_notification_operator.cluster.connection import ClusterAccess
from zitadel_notification_operator.cluster.connection_config import ConnectionConfig

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def version(_: web.Request) -> web.Response:
    """Answer as `GET /version` is answered."""
    return web.json_response({"major": "1"})


def status(code: int, **headers: str) -> web.Response:
    """Return Kubernetes' own refusal with this code."""
    told = {"kind": "Status", "apiVersion": "v1", "code": code, "message": "made up"}
    return web.json_response(told, status=code, headers=headers)


class FixedWay:
    """A way to an API server that never changes and needs no credentials."""

    def __init__(self, url: str) -> None:
        self._way = ConnectionConfig(url)

    async def present(self) -> ConnectionConfig:
        """Return the way."""
        return self._way

    async def renew(
        self, refused: ConnectionConfig, *, tls: bool = False
    ) -> ConnectionConfig | None:
        """Return None: there is no other way."""
        del refused, tls
        return None


def access_to(url: str) -> ClusterAccess:
    """Return access to an API server that asks for no credentials."""
    return ClusterAccess(url, FixedWay(url))


class ApiServer:
    """Use it as an `async with` block.

    Attributes:
        requests: All that came.
        token: Asked for in each request; empty: none.
        answer: Gives the answer to a request with the right token.
        certificates: What clients showed, as their subjects' common names.
    """

    def __init__(self, pair: Path | None = None, answer: Answer = version) -> None:
        self.requests: list[web.Request] = []
        self.certificates: list[str] = []
        self.token = ""
        self.answer = answer
        self._context: ssl.SSLContext | None = None
        self.port = 0
        if pair is not None:
            self.show(pair)

    def show(self, pair: Path) -> None:
        """Show this certificate from the next `restart` on."""
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair)
        # The certificates of our clients are odd, too.
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def ask_for_certificates(self, authority: str) -> None:
        """Ask clients for a certificate of this authority."""
        assert self._context is not None
        self._context.load_verify_locations(cadata=authority)
        self._context.verify_mode = ssl.CERT_OPTIONAL

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def restart(self) -> None:
        """Cut all connections and come back on the same port."""
        await self._runner.cleanup()
        await self._start()

    async def _start(self) -> None:
        server = web.Server(self._handle)  # type: ignore[arg-type]
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self.port,
            ssl_context=self._context,
            reuse_address=True,
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        transport = request.transport
        assert transport is not None
        shown = transport.get_extra_info("peercert") or {}
        for ((key, value),) in shown.get("subject", ()):
            if key == "commonName":
                self.certificates.append(value)
        wanted = f"Bearer {self.token}"
        if self.token and request.headers.get("Authorization") != wanted:
            return status(401)
        return await self.answer(request)


def kubeconfig(
    path: Path,
    server: str,
    *,
    cluster: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
) -> Path:
    """Write a kubeconfig with these fields; return its path."""
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path


def login_program(folder: Path, text: str) -> str:
    """Write a program for `exec`, which counts its runs; return its path."""
    path = folder / "login-program"
    path.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{text}\n")
    path.chmod(0o700)
    return str(path)


def runs(folder: Path) -> int:
    """Return how often the program has run."""
    path = folder / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def credential(**told: Any) -> str:
    """Return what a program writes, as a shell command."""
    body = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": told,
    }
    return f"cat <<'END'\n{json.dumps(body)}\nEND"


async def until(ask: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not ask():  # noqa: ASYNC110 - what is asked about knows no events
            await asyncio.sleep(0.02)
