"""Rate, concurrency and pauses, measured at the server."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from zitadel.servers import PAT, TOKEN, Server, policy, refusal, reply
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.instance_object import Endpoint, RateLimit
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector
from zitadel_notification_operator.zitadel.retry_after import parse_retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.clock
async def test_the_rate_holds_for_all_clients_of_an_instance(
    connector: ZitadelConnector, server: Server
) -> None:
    """5 at once, then 2 a second: 9 calls take two seconds."""
    server.always(policy())
    endpoint = Endpoint(server.url, rate_limit=RateLimit(2, 5, 8))
    clients = [
        connector.connect("a", endpoint, AccessToken(f"{TOKEN}{n}"), None)
        for n in range(3)
    ]
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(clients[n % 3].observe("org-a") for n in range(9)))
    arrivals = [seen.at - began for seen in server.seen]
    assert 1.9 < arrivals[-1] < 4
    # Without a burst the fifth would come after two seconds.
    assert arrivals[4] < 1.5


@pytest.mark.clock
async def test_no_more_calls_at_once_than_allowed(
    connector: ZitadelConnector, server: Server
) -> None:
    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return reply(policy())

    server.answer = slow
    endpoint = Endpoint(server.url, rate_limit=RateLimit(1000, 1000, 3))
    client = connector.connect("a", endpoint, PAT, None)
    await asyncio.gather(*(client.observe("org-a") for _ in range(12)))
    assert server.most == 3
    assert len(server.peers) == 3


@pytest.mark.clock
async def test_waiting_for_a_turn_is_no_timeout(server: Server) -> None:
    """The timeout begins after the wait in the queue."""
    connector = ZitadelConnector(call_timeout=1.5, allow_local=True)

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.45)
        return reply(policy())

    server.answer = slow
    endpoint = Endpoint(server.url, rate_limit=RateLimit(1000, 1000, 1))
    client = connector.connect("a", endpoint, PAT, None)
    seen = await asyncio.gather(*(client.observe("org-a") for _ in range(4)))
    await connector.aclose()
    assert None not in seen


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, refusal(8, "QUOTA-vjAy8"), Reason.RATE_LIMITED),
        (503, "<html>maintenance</html>", Reason.SERVER_ERROR),
    ],
)
@pytest.mark.clock
async def test_retry_after_holds_for_the_whole_instance(
    connector: ZitadelConnector,
    server: Server,
    status: int,
    body: object,
    reason: Reason,
) -> None:
    """Other clients of the instance wait; other instances do not."""
    server.always(body, status, Retry_After="1")
    endpoint = Endpoint(server.url)
    one = connector.connect("a", endpoint, PAT, None)
    two = connector.connect("a", endpoint, AccessToken("another-token"), None)
    first = await _failure(one)
    second = await _failure(two)
    assert (first.reason, first.retry_after) == (reason, 1.0)
    assert (second.reason, second.message) == (reason, first.message)
    assert second.retry_after is not None
    assert 0 < second.retry_after <= 1
    assert len(server.seen) == 1
    await _failure(connector.connect("b", endpoint, PAT, None))
    assert len(server.seen) == 2
    server.always(policy())
    await asyncio.sleep(1.05)
    assert await two.observe("org-a") is not None


async def test_calls_that_wait_for_their_turn_see_the_pause(
    connector: ZitadelConnector, server: Server
) -> None:
    server.always(refusal(8), 429, Retry_After="60")
    endpoint = Endpoint(server.url, rate_limit=RateLimit(1000, 1000, 1))
    client = connector.connect("a", endpoint, PAT, None)
    troubles = await asyncio.gather(*(_failure(client) for _ in range(5)))
    assert {failure.reason for failure in troubles} == {Reason.RATE_LIMITED}
    assert len(server.seen) == 1


async def test_a_pause_outlives_new_limits_but_not_a_new_url(
    connector: ZitadelConnector, server: Server
) -> None:
    server.always(refusal(8), 429, Retry_After="60")
    await _failure(connector.connect("a", Endpoint(server.url), PAT, None))
    slower = Endpoint(server.url, rate_limit=RateLimit(1, 1, 1))
    await _failure(connector.connect("a", slower, PAT, None))
    assert len(server.seen) == 1
    server.always(policy())
    moved = Endpoint(server.url.replace("127.0.0.1", "localhost"))
    assert await connector.connect("a", moved, PAT, None).observe("org-a")


@pytest.mark.parametrize("header", [None, "soon", "-1", "0", "1.5", "", "\u0662"])
async def test_without_a_usable_retry_after_there_is_no_pause(
    client: ZitadelClient, server: Server, header: str | None
) -> None:
    headers = {} if header is None else {"Retry_After": header}
    server.always(refusal(8), 429, **headers)
    assert (await _failure(client)).retry_after is None
    assert (await _failure(client)).retry_after is None
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 30 ", 30.0),
        ("301", 300.0),
        ("9" * 5000, 300.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 300.0),
        (format_datetime(NOW - timedelta(seconds=1), usegmt=True), None),
        ("Thu, 01 Jan 2026 12:00:10", 10.0),
        ("Thu, 99 Foo 2026 99:00:10 GMT", None),
        ("Thu, 01 Jan 0000 12:00:10 GMT", None),
        ("٣", None),
        ("1e3", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, NOW) == seconds


async def _failure(client: ZitadelClient) -> TransientError:
    with pytest.raises(TransientError) as caught:
        await client.observe("org-a")
    return caught.value
