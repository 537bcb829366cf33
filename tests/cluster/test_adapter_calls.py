"""The way into the cluster, and every failure of a call as one of our errors."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import incluster_config

from zitadel_notification_operator.cluster import calls
from zitadel_notification_operator.cluster.calls import Expired, Forbidden, call
from zitadel_notification_operator.cluster.connection import (
    ClusterAccess,
    NoCluster,
    connect,
)
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.demo.control_plane import ControlPlane

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer], Awaitable[ClusterAccess]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start an API server that gives one answer to everything."""
    closing: list[Callable[[], Awaitable[None]]] = []

    async def start(answer: Answer) -> ClusterAccess:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = TestServer(app)
        await server.start_server()
        access = ClusterAccess(Configuration(host=str(server.make_url("")).rstrip("/")))
        closing.extend([server.close, access.api.close])
        return access

    yield start
    for close in reversed(closing):
        await close()


@pytest.fixture
def no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing to fall back on."""
    monkeypatch.setattr(
        "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION",
        str(tmp_path / "absent"),
    )


@pytest.fixture
def pod(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Make the process look like a pod; return its token file."""
    token = tmp_path / "token"
    token.write_text(control_plane.token)
    host, port = control_plane.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(
        incluster_config,
        "SERVICE_CERT_FILENAME",
        str(control_plane.folder / "ca.crt"),
    )
    return token


def rotate(token: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write another token, and pass the minute after which the package reads it."""
    token.write_text(text)
    later = datetime.now() + timedelta(minutes=2)  # noqa: DTZ005 - as the package does
    clock = SimpleNamespace(now=lambda: later)
    module = SimpleNamespace(datetime=clock, timedelta=timedelta)
    monkeypatch.setattr(incluster_config, "datetime", module)


async def test_login_of_a_kubeconfig(control_plane: ControlPlane) -> None:
    """The login of kopf gets server, CA and token; the token is asked for again."""
    access = await connect(control_plane.kubeconfig)
    try:
        login = await access.login()
        assert kopf.ConnectionInfo(**asdict(login)).server == control_plane.url
        assert (login.scheme, login.token) == ("Bearer", control_plane.token)
        assert login.ca_path == str(control_plane.folder / "ca.crt")
        assert not login.insecure
        assert login.expiration is not None
        assert login.expiration > datetime.now(UTC)
        assert (await call(access.api, "GET", "/version"))["major"] == "1"
    finally:
        await access.api.close()


async def test_the_pod_s_own_account_comes_first(
    pod: Path, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotated token is read anew, by our calls and for kopf."""
    access = await connect(None)
    try:
        first = await access.login()
        assert first.token == control_plane.token
        assert (await call(access.api, "GET", "/version"))["major"] == "1"
        rotate(pod, "rotated", monkeypatch)
        assert (await access.login()).token == "rotated"
        with pytest.raises(ClusterError, match="401"):
            await call(access.api, "GET", "/version")
    finally:
        await access.api.close()


async def test_an_empty_token_file_is_trouble(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's own errors are mapped like all others."""
    access = await connect(None)
    try:
        rotate(pod, "", monkeypatch)
        with pytest.raises(ClusterError):
            await call(access.api, "GET", "/version")
    finally:
        await access.api.close()


@pytest.mark.usefixtures("no_kubeconfig")
async def test_without_any_configuration() -> None:
    """There is nothing to connect to: the caller is told."""
    assert "KUBERNETES_SERVICE_HOST" not in os.environ
    with pytest.raises(NoCluster):
        await connect(None)


async def test_no_proxy_is_used(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment is for ZITADEL, not for the API server."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    access = await connect(control_plane.kubeconfig)
    try:
        assert (await call(access.api, "GET", "/version"))["major"] == "1"
    finally:
        await access.api.close()


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (401, '{"message": "Unauthorized"}', ClusterError),
        (403, '{"message": "may not"}', Forbidden),
        (404, "404 page not found", ObjectGone),
        (409, '{"message": "conflict"}', ObjectChanged),
        (410, '{"message": "expired"}', Expired),
        (422, '{"message": "the test failed"}', ObjectChanged),
        (429, "", ClusterError),
        (500, '["not", "a", "status"]', ClusterError),
        (503, "<html>", ClusterError),
        (200, "<html>", ClusterError),
    ],
)
async def test_an_answer_maps_to_one_error(
    serve: Serve, status: int, text: str, error: type[ClusterError]
) -> None:
    """By status; the most exact class, with what Kubernetes said."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    access = await serve(answer)
    with pytest.raises(ClusterError) as caught:
        await call(access.api, "GET", "/x")
    assert type(caught.value) is error


async def test_a_slow_server_is_trouble(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call ends in time."""
    monkeypatch.setattr(calls, "TIMEOUT", 0.1)

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    access = await serve(answer)
    with pytest.raises(ClusterError, match="in time"):
        await call(access.api, "GET", "/x")


async def test_a_cut_answer_is_trouble(serve: Serve) -> None:
    """Half an answer is none."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.close()
        return response

    access = await serve(answer)
    with pytest.raises(ClusterError, match="not reached"):
        await call(access.api, "GET", "/x")


async def test_no_server_is_trouble() -> None:
    """So is a port where nobody listens."""
    access = ClusterAccess(Configuration(host="http://127.0.0.1:9"))
    try:
        with pytest.raises(ClusterError, match="not reached"):
            await call(access.api, "GET", "/x")
    finally:
        await access.api.close()
