"""The session of kopf's watches: when it waits, and what it passes to kopf."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest
from aiohttp import (
    ClientConnectionError,
    ClientResponse,
    ClientTimeout,
    StreamReader,
    web,
)
from kopf._cogs.clients.api import iter_jsonlines

from support.apiserver import ApiServer, access_to, status, version
from zitadel_notification_operator.cluster.calls import call
from zitadel_notification_operator.cluster.names import GROUP, VERSION
from zitadel_notification_operator.cluster.unknown_events import ShortWatch
from zitadel_notification_operator.cluster.unknown_items import ShortAnswer
from zitadel_notification_operator.cluster.watching import WatchSession
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import POLICY, Kind, ObjectKey

LIST = "/apis/g/v1/things"
WATCH = f"{LIST}?watch=true"
Reply = Callable[[], web.StreamResponse]
Closing = list[Callable[[], Awaitable[None]]]


class Server(ApiServer):
    """Gives the responses of a list, then good ones."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__(answer=self._next)
        self._replies = list(replies)

    async def _next(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._replies:
            return self._replies.pop(0)()
        return await version(request)

    async def get(self, watcher: WatchSession, path: str) -> ClientResponse:
        """Make a request as kopf does, whose answer stays whole."""
        answer = await self.ask(watcher, path)
        assert isinstance(answer, ClientResponse)
        return answer

    async def listed(self, watcher: WatchSession, path: str) -> ShortAnswer:
        """Make a request as kopf does, whose answer is a LIST of one of our kinds."""
        answer = await self.ask(watcher, path)
        assert isinstance(answer, ShortAnswer)
        return answer

    async def ask(
        self, watcher: WatchSession, path: str
    ) -> ClientResponse | ShortAnswer | ShortWatch:
        """Make a request as kopf does."""
        timeout = ClientTimeout(total=10)
        url = self.url + path
        return await watcher.request(method="get", url=url, timeout=timeout)


class Waits(list[float]):
    """Records waits; `until` cancels one of them as an impatient caller would."""

    until: int | None = None

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        if seconds > 0:
            self.append(seconds)
        if self.until is not None and len(self) >= self.until:
            raise TimeoutError

    def monotonic(self) -> float:
        """Return the time that has passed by waits only."""
        return sum(self)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Replace the clock of the waits."""
    waits = Waits()
    module = "zitadel_notification_operator.cluster.watching"
    monkeypatch.setattr(f"{module}.asyncio", waits)
    monkeypatch.setattr(f"{module}.time", waits)
    return waits


@pytest.fixture
async def closing() -> AsyncIterator[Closing]:
    """Close at the end what a test has opened."""
    made: Closing = []
    yield made
    for close in made:
        await close()


def html(code: int, text: str = "<html>log in</html>") -> web.Response:
    return web.Response(status=code, text=text, content_type="text/html")


PASSING: dict[str, Reply] = {
    "401": lambda: status(401),
    "403": lambda: status(403),
    "429": lambda: status(429),
    "500": lambda: status(500),
    "503 of a proxy": lambda: html(503),
    "404 of a proxy": lambda: html(404),
    "410 of a proxy": lambda: html(410),
    "a login page": lambda: html(200),
    "400 of a proxy": lambda: html(400, "bad request"),
}


@pytest.mark.parametrize("case", PASSING)
async def test_what_may_pass_is_waited_for(
    case: str, quick: Waits, caplog: pytest.LogCaptureFixture, closing: Closing
) -> None:
    """kopf gets a good response; the log has the cause and its end."""
    caplog.set_level(logging.INFO)
    async with Server(*[PASSING[case]] * 7) as server:
        access = access_to(server.url)
        watcher = access.watcher()
        closing += [access.api.close, watcher.close]
        answer = await server.get(watcher, WATCH)
        assert (await answer.json())["major"] == "1"
        assert len(server.requests) == 8
    waits = list(quick)
    assert len(waits) == 7
    assert waits[0] < 2
    assert 20 < waits[-1] < 30.1
    assert sum(waits) > 60
    warned = [line for line in caplog.records if line.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "GET /apis/g/v1/things" in warned[0].getMessage()
    over = [line for line in caplog.messages if "takes calls again" in line]
    assert len(over) == 1


@pytest.mark.parametrize(
    "reply",
    [
        lambda: status(404),
        lambda: status(410),
        lambda: web.Response(status=404, text="404 page not found\n"),
    ],
)
async def test_what_kubernetes_says_of_a_kind_or_version_is_handed_on(
    reply: Reply, quick: Waits, closing: Closing
) -> None:
    async with Server(reply) as server:
        access = access_to(server.url)
        watcher = access.watcher()
        closing += [access.api.close, watcher.close]
        answer = await server.get(watcher, LIST)
        assert answer.status in {404, 410}
        assert len(server.requests) == 1
        assert await answer.read()
    assert not quick


async def test_retry_after_is_waited_for(quick: Waits, closing: Closing) -> None:
    async with Server(lambda: status(429, **{"Retry-After": "45"})) as server:
        access = access_to(server.url)
        watcher = access.watcher()
        closing += [access.api.close, watcher.close]
        await server.get(watcher, LIST)
    assert [round(wait) for wait in quick] == [45]


async def test_waits_outlast_a_caller_that_gives_up(
    quick: Waits, closing: Closing
) -> None:
    """kopf times out after 70 silent seconds; its next call continues the wait."""
    async with Server(*[lambda: status(401)] * 8) as server:
        access = access_to(server.url)
        watcher = access.watcher()
        closing += [access.api.close, watcher.close]
        quick.until = 5
        with pytest.raises(TimeoutError):
            await server.get(watcher, WATCH)
        quick.until = None
        before = list(quick)
        await server.get(watcher, WATCH)
    assert len(quick) == 8
    assert min(quick[len(before) :]) > max(before[:-1])


async def test_requests_that_bring_nothing_are_made_less_often(
    quick: Waits, closing: Closing
) -> None:
    """A few come at once, then with backoff; pages of one LIST do not count."""
    async with Server() as server:
        access = access_to(server.url)
        watcher = access.watcher()
        closing += [access.api.close, watcher.close]
        for number in range(30):
            await server.get(watcher, f"{LIST}?limit=1&continue={number}")
        assert not quick
        for _ in range(8):
            await server.get(watcher, WATCH)
    waits = list(quick)
    assert 2 <= len(waits) <= 5
    assert waits == sorted(waits)


@pytest.mark.usefixtures("quick")
async def test_one_cause_is_reported_once_by_calls_and_watches(
    caplog: pytest.LogCaptureFixture, closing: Closing
) -> None:
    async with Server(*[lambda: status(401)] * 4) as server:
        access = access_to(server.url)
        watcher = access.watcher()
        closing += [access.api.close, watcher.close]
        with pytest.raises(ClusterError) as caught:
            await call(access.api, "GET", LIST)
        assert caught.value.claim_logging()
        await server.get(watcher, WATCH)
    assert not [line for line in caplog.records if line.levelno == logging.WARNING]


async def test_many_namespaces_may_be_watched(closing: Closing) -> None:
    """A watch stays open, so none waits for the end of another."""
    count = 120
    held = asyncio.Event()

    async def hold(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        await held.wait()
        return answer

    async with ApiServer(answer=hold) as server:
        access = access_to(server.url)
        watcher = access.watcher()
        closing += [access.api.close, watcher.close]
        timeout = ClientTimeout(total=60)
        urls = [f"{server.url}/namespaces/n{n}/x?watch=true" for n in range(count)]
        watches = [watcher.request(method="get", url=u, timeout=timeout) for u in urls]
        answers = await asyncio.gather(*watches)
        assert len(server.requests) == count
        held.set()
        for answer in answers:
            assert isinstance(answer, ClientResponse)
            answer.close()


async def test_a_watch_ends_with_its_session() -> None:
    """When kopf ends, an open watch must neither wait nor log in."""
    async with ApiServer() as server:
        access = access_to(server.url)
        watcher = access.watcher()
        await watcher.close()
        assert not watcher.closed
        with pytest.raises(asyncio.CancelledError):
            await watcher.request(
                method="get", url=f"{server.url}/x", timeout=ClientTimeout(total=10)
            )
        await access.api.close()


def policies(*versions: str) -> web.Response:
    """Respond to a LIST with a policy of each of these versions."""
    items = [
        {"metadata": {"namespace": "ns", "name": f"p{v}", "uid": f"u{v}"}}
        for v in versions
    ]
    for item, found in zip(items, versions, strict=True):
        item["metadata"]["resourceVersion"] = found
    metadata = {"resourceVersion": "9", "continue": "more"}
    return web.json_response({"kind": "List", "metadata": metadata, "items": items})


@pytest.mark.parametrize("root", ["", "/k8s/clusters/c"])
@pytest.mark.parametrize("namespace", ["", "/namespaces/ns"])
async def test_what_is_known_is_left_out_of_a_list(
    namespace: str, root: str, closing: Closing
) -> None:
    """kopf gets the rest, and all that it needs to go on from there."""
    asked: list[tuple[Kind, ObjectKey, str, str]] = []

    def is_known(kind: Kind, key: ObjectKey, uid: str, version: str) -> bool:
        asked.append((kind, key, uid, version))
        return version != "2"

    path = f"{root}/apis/{GROUP}/{VERSION}{namespace}/{POLICY.plural}?limit=500"
    async with Server(lambda: policies("1", "2", "3")) as server:
        access = access_to(server.url)
        watcher = access.watcher(is_known)
        closing += [access.api.close, watcher.close]
        async with await server.listed(watcher, path) as answer:
            assert answer.status == 200
            found = await answer.json()
    assert [item["metadata"]["name"] for item in found["items"]] == ["p2"]
    assert found["metadata"] == {"resourceVersion": "9", "continue": "more"}
    assert asked == [
        (POLICY, ObjectKey("ns", f"p{v}"), f"u{v}", v) for v in ("1", "2", "3")
    ]


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        (f"/apis/{GROUP}/{VERSION}/{POLICY.plural}", lambda: status(410)),
        (f"/apis/{GROUP}/{VERSION}/{POLICY.plural}", lambda: status(404)),
        (f"/apis/{GROUP}/{VERSION}", lambda: policies("1")),
        ("/apis/other.example/v1/notificationpolicies", lambda: policies("1")),
        (f"/apis/{GROUP}/{VERSION}/{POLICY.plural}?watch=true", lambda: status(410)),
    ],
)
async def test_all_other_answers_stay_whole(
    path: str, reply: Reply, closing: Closing
) -> None:
    async with Server(reply) as server:
        access = access_to(server.url)
        watcher = access.watcher(lambda *_: True)
        closing += [access.api.close, watcher.close]
        answer = await server.get(watcher, path)
        whole = reply()
        assert isinstance(whole, web.Response)
        assert await answer.json() == json.loads(whole.text or "")


def event(kind: str, version: str, **metadata: str) -> bytes:
    """Return the line of a watch about a policy."""
    found = {"namespace": "ns", "name": "p", "uid": "u", "resourceVersion": version}
    return json.dumps({"type": kind, "object": {"metadata": found | metadata}}).encode()


def bookmark(version: str) -> bytes:
    """Return the line that says how far a watch has come."""
    metadata = {"resourceVersion": version}
    return json.dumps({"type": "BOOKMARK", "object": {"metadata": metadata}}).encode()


async def test_kopf_learns_the_version_of_what_is_left_out(closing: Closing) -> None:
    """Otherwise it would ask for all of it again, each time that a watch is cut."""
    body = b"".join(event("MODIFIED", str(number)) + b"\n" for number in range(5, 10))
    path = f"/apis/{GROUP}/{VERSION}/{POLICY.plural}?watch=true"
    async with Server(
        lambda: web.Response(body=body, content_type="application/json")
    ) as server:
        access = access_to(server.url)
        watcher = access.watcher(lambda *_: True)
        closing += [access.api.close, watcher.close]
        answer = await server.ask(watcher, path)
        assert isinstance(answer, ShortWatch)
        async with answer:
            content = cast("StreamReader", answer.content)
            found = [line async for line in iter_jsonlines(content)]
    assert found == [bookmark("9")]


async def test_what_is_known_is_left_out_of_a_watch(closing: Closing) -> None:
    """kopf gets all that is news, also deletions, bookmarks and what is no event."""
    news = [
        event("ADDED", "2"),
        event("DELETED", "1"),
        event("BOOKMARK", "1"),
        b'{"type":"ERROR","object":{"kind":"Status","code":410}}',
        b'{"type":"ADDED","object":[]}',
        b'["ADDED"]',
        b"no JSON",
        event("MODIFIED", "2", long="x" * 300_000),
        event("MODIFIED", "2")[:-1],
    ]
    old = [event("ADDED", "1"), event("MODIFIED", "1", long="x" * 300_000)]
    lines = [line for one in news[:-1] for line in (*old, one)] + news[-1:]
    asked: set[tuple[Kind, ObjectKey, str, str]] = set()

    def is_known(kind: Kind, key: ObjectKey, uid: str, version: str) -> bool:
        asked.add((kind, key, uid, version))
        return version == "1"

    path = f"/apis/{GROUP}/{VERSION}/{POLICY.plural}?watch=true"
    body = b"\n".join(lines)
    async with Server(
        lambda: web.Response(body=body, content_type="application/json")
    ) as server:
        access = access_to(server.url)
        watcher = access.watcher(is_known)
        closing += [access.api.close, watcher.close]
        answer = await server.ask(watcher, path)
        assert isinstance(answer, ShortWatch)
        async with answer:
            content = cast("StreamReader", answer.content)
            found = [line async for line in iter_jsonlines(content, 1000)]
    # Where kopf would wait after what was left out, it gets to know the version.
    marks = [line for line in found if line == bookmark("1")]
    assert [line for line in found if line not in marks] == news
    assert asked == {(POLICY, ObjectKey("ns", "p"), "u", v) for v in ("1", "2")}


async def test_a_watch_without_what_is_known_can_be_closed(closing: Closing) -> None:
    """kopf closes it to stop, while the server sends nothing."""
    path = f"/apis/{GROUP}/{VERSION}/{POLICY.plural}?watch=true"

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(event("ADDED", "2") + b"\n")
        await asyncio.sleep(60)
        return response

    async with ApiServer(answer=endless) as server:
        access = access_to(server.url)
        watcher = access.watcher(lambda *_: False)
        closing += [access.api.close, watcher.close]
        answer = await watcher.request(
            method="get", url=server.url + path, timeout=ClientTimeout(total=10)
        )
        assert isinstance(answer, ShortWatch)
        asyncio.get_running_loop().call_later(0.2, answer.close)
        chunks = answer.content.iter_chunked(1000)
        assert await anext(chunks) == event("ADDED", "2") + b"\n"
        with pytest.raises(ClientConnectionError):
            await anext(chunks)


async def test_a_list_of_kopf_goes_on_at_the_token_of_an_expired_one(
    closing: Closing,
) -> None:
    """kopf never sees the 410, which would end it, and watches from the first page."""

    def expired() -> web.Response:
        metadata = {"continue": "a/b=+ "}
        body = {"kind": "Status", "code": 410, "metadata": metadata}
        return web.json_response(body, status=410)

    def later() -> web.Response:
        content = json.loads(policies("5").text or "")
        content["metadata"] = {"resourceVersion": "77"}
        return web.json_response(content)

    path = f"/apis/{GROUP}/{VERSION}/{POLICY.plural}?limit=500"
    async with Server(lambda: policies("1"), expired, later) as server:
        access = access_to(server.url)
        watcher = access.watcher(lambda *_: False)
        closing += [access.api.close, watcher.close]
        first = await (await server.listed(watcher, path)).json()
        second = await (await server.listed(watcher, f"{path}&continue=more")).json()
        tokens = [request.query.get("continue") for request in server.requests]
    assert tokens == [None, "more", "a/b=+ "]
    assert [item["metadata"]["name"] for item in second["items"]] == ["p5"]
    assert first["metadata"]["resourceVersion"] == "9"
    assert second["metadata"]["resourceVersion"] == "9"
