"""Calls to the API server, and each of their failures as one of our errors."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientTimeout, web
from aiohttp.test_utils import TestServer

from support.apiserver import access_to
from zitadel_notification_operator.cluster import calls, connection, connection_config
from zitadel_notification_operator.cluster.calls import (
    Expired,
    Forbidden,
    Refused,
    Unauthorized,
    call,
)
from zitadel_notification_operator.cluster.connection import (
    ClusterAccess,
    NoCluster,
    connect,
)
from zitadel_notification_operator.cluster.connection_config import config_of_pod
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.demo.control_plane import ControlPlane

STATUS = '{"kind": "Status", "message": "made up"}'
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer], Awaitable[ClusterAccess]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start an API server that gives the same response to every request."""
    closing: list[Callable[[], Awaitable[None]]] = []

    async def start(answer: Answer) -> ClusterAccess:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = TestServer(app)
        await server.start_server()
        access = access_to(str(server.make_url("")).rstrip("/"))
        closing.extend([server.close, access.api.close])
        return access

    yield start
    for close in reversed(closing):
        await close()


@pytest.fixture
def pod(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Give the process the files and variables of a pod; return its token file."""
    token = tmp_path / "token"
    token.write_text(f"{control_plane.token}\n")
    (tmp_path / "ca.crt").write_text((control_plane.folder / "ca.crt").read_text())
    host, port = control_plane.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(
        connection, "config_of_pod", partial(config_of_pod, folder=tmp_path)
    )
    return token


@pytest.fixture
def minute_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the minute pass after which a token file is read again."""

    def pass_it() -> None:
        monkeypatch.setattr(connection_config, "TOKEN_AGE", -1.0)

    return pass_it


async def test_the_pod_s_own_account_comes_first(
    pod: Path, control_plane: ControlPlane, minute_later: Callable[[], None]
) -> None:
    """A rotated token is read again, for calls and for watches."""
    access = await connect(None)
    watcher = access.watcher()
    try:
        assert access.server == control_plane.url
        assert (await call(access.api, "GET", "/version"))["major"] == "1"
        pod.write_text("rotated")
        # The known token is used for a minute.
        assert (await call(access.api, "GET", "/version"))["major"] == "1"
        minute_later()
        with pytest.raises(Unauthorized, match="401"):
            await call(access.api, "GET", "/version")
        # A refused token is read again at once.
        pod.write_text(control_plane.token)
        answer = await watcher.request(
            method="get", url=f"{access.server}/version", timeout=ClientTimeout(10)
        )
        assert isinstance(answer, ClientResponse)
        assert (await answer.json())["major"] == "1"
    finally:
        await watcher.close()
        await access.api.close()


async def test_files_of_a_pod_that_are_being_written(
    pod: Path, minute_later: Callable[[], None]
) -> None:
    """The former content is used until the files have content again."""
    access = await connect(None)
    try:
        pod.write_text("")
        (pod.parent / "ca.crt").unlink()
        minute_later()
        assert (await call(access.api, "GET", "/version"))["major"] == "1"
    finally:
        await access.api.close()


async def test_a_pod_without_an_authority_is_reported(pod: Path) -> None:
    (pod.parent / "ca.crt").write_text("none")
    with pytest.raises(NoCluster, match=r"no certificate in .*ca\.crt"):
        await connect(None)


async def test_without_any_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets an error, because there is nothing to connect to."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    absent = str(tmp_path / "absent")
    monkeypatch.setattr(connection, "DEFAULT_KUBECONFIG", absent)
    assert "KUBERNETES_SERVICE_HOST" not in os.environ
    with pytest.raises(NoCluster):
        await connect(None)


async def test_no_proxy_is_used(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment is for ZITADEL, not for the API server."""
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
        (401, '{"message": "Unauthorized"}', Unauthorized),
        (403, STATUS, Forbidden),
        (403, "<html>", Refused),
        (404, "404 page not found", ObjectGone),
        (404, STATUS, ObjectGone),
        (404, '{"message": "no such route"}', Refused),
        (404, "<html>", Refused),
        (409, STATUS, ObjectChanged),
        (409, "<html>", Refused),
        (410, STATUS, Expired),
        (410, "<html>", Refused),
        (422, STATUS, ObjectChanged),
        (422, "", Refused),
        (429, "", Refused),
        (500, '["not", "a", "status"]', Refused),
        (503, "<html>", Refused),
        (200, "<html>", Refused),
    ],
)
async def test_an_answer_maps_to_one_error(
    serve: Serve, status: int, text: str, error: type[ClusterError]
) -> None:
    """The status decides on the most exact class, with Kubernetes' message.

    A proxy's response says nothing about an object, so it does not mean that one is
    gone.
    """

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=text)

    access = await serve(answer)
    with pytest.raises(ClusterError) as caught:
        await call(access.api, "GET", "/x")
    assert type(caught.value) is error


async def test_a_slow_server_is_trouble(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call has a timeout."""
    monkeypatch.setattr(calls, "TIMEOUT", 0.1)

    async def answer(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    access = await serve(answer)
    with pytest.raises(ClusterError, match="in time"):
        await call(access.api, "GET", "/x")


async def test_a_cut_answer_is_trouble(serve: Serve) -> None:
    """Half a response counts as none."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
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
    """A port where nobody listens is an error, too."""
    access = access_to("http://127.0.0.1:9")
    try:
        with pytest.raises(ClusterError, match="not reached"):
            await call(access.api, "GET", "/x")
    finally:
        await access.api.close()


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Retry-After": "7"}, "", 7.0),
        ({}, '{"details": {"retryAfterSeconds": 3}}', 3.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "<html>", None),
        ({"Retry-After": "-1"}, '{"details": "none"}', None),
        ({"Retry-After": "1e9"}, "", 300.0),
        ({}, "", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_what_kubernetes_asks_us_to_wait(
    serve: Serve,
    status: int,
    headers: dict[str, str],
    body: str,
    expected: float | None,
) -> None:
    """Retry-After comes from the response or from its Status, within bounds."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, headers=headers, text=body)

    access = await serve(answer)
    with pytest.raises(Refused) as caught:
        await call(access.api, "GET", "/x")
    assert caught.value.retry_after == expected


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/version", "GET /version"),
        ("/api/v1/namespaces/a/secrets/b", "GET /api/v1/namespaces/a/secrets"),
        ("/apis/g/v1/things", "GET /apis/g/v1/things"),
        ("/apis/g/v1/things/t/status", "GET /apis/g/v1/things/status"),
        (
            "/apis/g/v1/namespaces/a/things/t/status",
            "GET /apis/g/v1/namespaces/a/things/status",
        ),
        ("/apis/g/v1", "GET /apis/g/v1"),
    ],
)
def test_the_place_of_a_call(path: str, place: str) -> None:
    """A missing right concerns all objects of a kind in a namespace."""
    assert calls.place_of("GET", path) == place


async def test_a_cause_is_reported_once(serve: Serve) -> None:
    """The first call that meets it logs it; a cause that is over can come again."""
    refusing = 401

    async def answer(_: web.BaseRequest) -> web.Response:
        body = {"kind": "Status", "message": "made up"}
        return web.json_response(body, status=refusing)

    access = await serve(answer)

    async def fail(path: str) -> bool:
        with pytest.raises(ClusterError) as caught:
            await call(access.api, "GET", path)
        return caught.value.claim_logging()

    things, others = "/apis/g/v1/namespaces/{}/things/{}", "/apis/g/v1/others/{}"
    assert await fail(things.format("a", "1"))
    assert not await fail(things.format("b", "2"))
    assert not await fail(others.format("1"))
    refusing = 503
    assert await fail(things.format("a", "1"))
    assert not await fail(things.format("b", "2"))
    assert await fail(others.format("1"))
    refusing = 403
    assert await fail(things.format("a", "1"))
    assert not await fail(things.format("a", "2"))
    assert await fail(things.format("b", "1"))


async def test_the_end_of_a_reported_cause_is_reported(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, also for a cause that comes and goes at each try."""
    caplog.set_level("INFO")
    codes = [401, 200] * 20

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({}, status=codes.pop(0))

    access = await serve(answer)
    logged = 0
    while codes:
        try:
            await call(access.api, "GET", "/x")
        except ClusterError as error:
            logged += error.claim_logging()
    assert logged == 1
    over = [line for line in caplog.messages if "takes calls again" in line]
    assert over == ["Kubernetes takes calls again, after: 401 Unauthorized"]
