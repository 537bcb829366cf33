"""Which clients share a connection pool, and when it is closed."""

import asyncio

import pytest
from aiohttp import web

from zitadel.servers import PAT, Server, policy, reply
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.instance_object import Endpoint, RateLimit
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector


async def test_clients_of_one_instance_share_connections(
    connector: ZitadelConnector, server: Server
) -> None:
    """A rotated token opens no new connection; another instance does."""
    server.always(policy())
    endpoint = Endpoint(server.url)
    for token in ("one", "two"):
        await connector.connect("a", endpoint, AccessToken(token), None).observe(
            "org-a"
        )
    assert len(server.peers) == 1
    await connector.connect("b", endpoint, AccessToken("one"), None).observe("org-a")
    assert len(server.peers) == 2
    assert [seen.headers["authorization"] for seen in server.seen] == [
        "Bearer one",
        "Bearer two",
        "Bearer one",
    ]


@pytest.mark.clock
async def test_a_changed_endpoint_lets_old_calls_end(
    connector: ZitadelConnector, server: Server
) -> None:
    """Old clients work for a grace period; the new one is independent."""
    old = connector.connect("a", Endpoint(server.url), PAT, None)
    arrived, go = _held(server)
    under_way = asyncio.create_task(old.observe("org-a"))
    await arrived.wait()
    changed = Endpoint(server.url, rate_limit=RateLimit(1, 1, 1))
    new = connector.connect("a", changed, PAT, None)
    go.set()
    assert await under_way is not None
    assert await new.observe("org-a") is not None
    assert await old.observe("org-a") is not None
    await _refuses(old)


async def test_disconnect_refuses_new_calls_at_once(
    connector: ZitadelConnector, server: Server
) -> None:
    client = connector.connect("a", Endpoint(server.url), PAT, None)
    arrived, go = _held(server)
    under_way = asyncio.create_task(client.observe("org-a"))
    await arrived.wait()
    await connector.disconnect("a")
    await connector.disconnect("a")
    await connector.disconnect("never seen")
    with pytest.raises(TransientError):
        await client.observe("org-a")
    go.set()
    assert await under_way is not None
    again = connector.connect("a", Endpoint(server.url), PAT, None)
    assert await again.observe("org-a") is not None


@pytest.mark.clock
async def test_closing_waits_no_longer_than_a_call(server: Server) -> None:
    connector = ZitadelConnector(call_timeout=0.5, grace=60, allow_local=True)
    client = connector.connect("a", Endpoint(server.url), PAT, None)
    arrived, _go = _held(server)
    under_way = asyncio.create_task(client.observe("org-a"))
    await arrived.wait()
    connector.connect("a", Endpoint(server.url, "auth.example.com"), PAT, None)
    async with asyncio.timeout(2):
        await connector.aclose()
    with pytest.raises(TransientError) as caught:
        await under_way
    assert caught.value.reason is Reason.UNREACHABLE
    with pytest.raises(TransientError):
        await client.observe("org-a")


def _held(server: Server) -> tuple[asyncio.Event, asyncio.Event]:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def answer(_request: web.Request) -> web.StreamResponse:
        arrived.set()
        await go.wait()
        return reply(policy())

    server.answer = answer
    return arrived, go


async def _refuses(client: ZitadelClient) -> None:
    async def until_refused() -> None:
        while True:
            await client.observe("org-a")
            await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        with pytest.raises(TransientError) as caught:
            await until_refused()
    assert caught.value.reason is Reason.UNREACHABLE
