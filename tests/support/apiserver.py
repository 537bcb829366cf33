"""An API server, in plain HTTP or TLS, whose responses a test chooses."""

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

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def version(_: web.BaseRequest) -> web.Response:
    """Respond as Kubernetes does to `GET /version`."""
    return web.json_response({"major": "1"})


def status(code: int, **headers: str) -> web.Response:
    """Return an error response with this HTTP status, in the form of Kubernetes."""
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "message": "made up"}
    return web.json_response(body, status=code, headers=headers)


class FixedConnection:
    """A connection configuration that never changes and has no credentials."""

    def __init__(self, url: str) -> None:
        self._config = ConnectionConfig(url)

    async def present(self) -> ConnectionConfig:
        """Return the configuration."""
        return self._config

    async def renew(
        self, refused: ConnectionConfig, *, tls: bool = False
    ) -> ConnectionConfig | None:
        """Return None: there is no other configuration."""
        del refused, tls
        return None


def access_to(url: str) -> ClusterAccess:
    """Return access to an API server that requires no credentials."""
    return ClusterAccess(url, FixedConnection(url))


class ApiServer:
    """An API server on loopback; an async context manager.

    Attributes:
        requests: All requests that were received.
        token: The bearer token that each request must have; empty accepts any.
        answer: Returns the response to a request with the right token.
        certificates: The common names of the client certificates that were presented.
    """

    def __init__(self, pair: Path | None = None, answer: Answer = version) -> None:
        self.requests: list[web.BaseRequest] = []
        self.certificates: list[str] = []
        self.token = ""
        self.answer = answer
        self._context: ssl.SSLContext | None = None
        self.port = 0
        if pair is not None:
            self.show(pair)

    def show(self, pair: Path) -> None:
        """Serve this certificate from the next `restart` on."""
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair)
        # The client certificates of the tests lack what the strict check requires.
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def ask_for_certificates(self, authority: str) -> None:
        """Request a client certificate that this authority has signed."""
        assert self._context is not None
        self._context.load_verify_locations(cadata=authority)
        self._context.verify_mode = ssl.CERT_OPTIONAL

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def restart(self) -> None:
        """Close all connections and serve on the same port again."""
        await self._runner.cleanup()
        await self._start()

    async def _start(self) -> None:
        server = web.Server(self._handle)
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

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
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
    """Write a program for `exec` of a kubeconfig, which counts its runs."""
    path = folder / "login-program"
    path.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{text}\n")
    path.chmod(0o700)
    return str(path)


def runs(folder: Path) -> int:
    """Return how often the program of `login_program` has run."""
    path = folder / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def credential(**status: Any) -> str:
    """Return a shell command that prints an ExecCredential with this status."""
    body = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": status,
    }
    return f"cat <<'END'\n{json.dumps(body)}\nEND"


async def until(ask: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not ask():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
