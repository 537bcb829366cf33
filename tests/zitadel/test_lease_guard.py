"""Writes end before this process may no longer write; reads have the usual time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from support.settings import mails
from zitadel.servers import (
    PAT,
    Server,
    details,
    failure,
    policy,
    refusal,
    reply,
)
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.calls import (
    ORGANIZATION_POLICY,
    PERMISSIONS,
    TOKEN,
    Call,
    limit_header,
    page_call,
)
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import (
    CALL_TIMEOUT,
    ZitadelConnector,
)


class Left:
    """The time that is left of the lease, as a test sets it."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
async def short(left: Left, server: Server) -> AsyncIterator[ZitadelClient]:
    """A client with a timeout of two seconds, or of the time that is left."""
    connector = ZitadelConnector(call_timeout=2.0, allow_local=True, time_left=left)
    yield connector.connect("default", Endpoint(server.url), PAT, None)
    await connector.aclose()


Write = Callable[[ZitadelClient], Awaitable[object]]
WRITES = {
    "create": lambda client: client.write("o", Action.CREATE, settings=mails(True)),
    "update": lambda client: client.write("o", Action.UPDATE, settings=mails(True)),
    "update-instance": lambda client: client.write(
        None, Action.UPDATE, settings=mails(True)
    ),
    "reset": lambda client: client.reset("o"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_no_write_begins_when_nothing_is_left(
    short: ZitadelClient, left: Left, server: Server, write: Write
) -> None:
    """No write is sent; a read works."""
    server.always(policy("o"))
    for seconds in (0.0, -5.0, float("-inf")):
        left.seconds = seconds
        with pytest.raises(TransientError) as raised:
            await write(short)
        assert raised.value.reason is Reason.UNREACHABLE
        assert "lease" in raised.value.message
    assert server.seen == []
    assert isinstance(await short.observe("o"), ObservedPolicy)


@pytest.mark.clock
async def test_a_write_is_given_up_when_its_time_is_over(
    short: ZitadelClient, left: Left, server: Server
) -> None:
    """The whole exchange counts, also a slow body; the text is stable."""
    texts = set()

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1.8)
        return reply({})

    server.answer = slow
    for seconds in (0.2, 0.3):
        left.seconds = seconds
        began = time.monotonic()
        with pytest.raises(TransientError) as raised:
            await short.write("o", Action.UPDATE, settings=mails(True))
        assert seconds <= time.monotonic() - began < seconds + 1
        texts.add(raised.value.message)
    assert len(texts) == 1


@pytest.mark.clock
async def test_what_is_left_is_asked_when_it_is_the_calls_turn(
    left: Left, server: Server
) -> None:
    """The time in the queue counts."""
    connector = ZitadelConnector(call_timeout=2.0, allow_local=True, time_left=left)
    client = connector.connect("default", Endpoint(server.url), PAT, None)

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        left.seconds = 0.0
        return reply(policy("o"))

    server.answer = slow
    reads = [asyncio.create_task(client.observe("o")) for _ in range(8)]
    await asyncio.sleep(0.05)
    with pytest.raises(TransientError, match="lease"):
        await client.reset("o")
    await asyncio.gather(*reads)
    assert {seen.method for seen in server.seen} == {"GET"}
    await connector.aclose()


async def test_a_write_sends_its_limit(
    short: ZitadelClient, left: Left, server: Server
) -> None:
    """It is the time of a call, or the rest of the lease."""
    server.always({"details": details("o")})
    given = {100.0: "2000m", 2.0: "2000m", 1.5: "1500m", 0.75019: "750m"}
    for seconds, header in given.items():
        left.seconds = seconds
        server.seen.clear()
        await short.write("o", Action.CREATE, settings=mails(True))
        await short.write("o", Action.UPDATE, settings=mails(True))
        await short.reset("o")
        seen = [one.headers.get("grpc-timeout") for one in server.seen]
        assert seen == [header] * 3


async def test_reads_send_no_limit(short: ZitadelClient, server: Server) -> None:
    """This includes POSTs that read, because a late response does no harm."""
    server.always(
        policy("o")
        | {"details": details("o"), "org": {"id": "o", "state": "ORG_STATE_ACTIVE"}}
        | {"user": {"id": "u-1"}, "result": ["policy.read"], "events": []}
    )
    await short.observe("o")
    await short.organization("o")
    await short.last_policy_event("o")
    await short.has_events()
    await short.authenticate()
    assert len(server.seen) == 5
    assert all("grpc-timeout" not in seen.headers for seen in server.seen)


async def test_the_default_limit_is_that_of_a_call(server: Server) -> None:
    server.always({"details": details("o")})
    connector = ZitadelConnector(allow_local=True)
    client = connector.connect("default", Endpoint(server.url), PAT, None)
    await client.reset("o")
    await connector.aclose()
    assert server.seen[0].headers["grpc-timeout"] == f"{CALL_TIMEOUT * 1000:.0f}m"


async def test_zitadel_that_keeps_the_limit_is_a_server_that_fails(
    short: ZitadelClient, server: Server
) -> None:
    """It has responded, so the write is not open."""
    server.always(refusal(4, text="context deadline exceeded"), 504)
    error = await failure(short.write("o", Action.UPDATE, settings=mails(True)))
    assert isinstance(error, TransientError)
    assert error.reason is Reason.SERVER_ERROR
    assert not error.maybe_done


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(10.0, "10000m"), (0.0004, "1m"), (1e9, "99999999m"), (9.9999, "9999m")],
)
def test_limits_as_grpc_writes_them(seconds: float, header: str) -> None:
    """They have at most eight digits and a unit, and are never 0."""
    assert limit_header(seconds) == {"Grpc-Timeout": header}


async def test_both_checks_are_asked(short: ZitadelClient, server: Server) -> None:
    """A guarded client's check is added to the existing one."""
    server.always(policy("o"))
    checked: list[str] = []
    outer = short.guarded(lambda: checked.append("term"))
    await outer.guarded(lambda: checked.append("claim")).observe("o")
    assert checked == ["term", "claim"]
    await outer.observe("o")
    assert checked == ["term", "claim", "term"]


@pytest.mark.parametrize(
    ("call", "writes"),
    [
        (Call("GET", ORGANIZATION_POLICY), False),
        (Call("POST", ORGANIZATION_POLICY), True),
        (Call("PUT", ORGANIZATION_POLICY), True),
        (Call("DELETE", ORGANIZATION_POLICY), True),
        (Call("POST", "/anything/new"), True),
        (Call("POST", PERMISSIONS), False),
        (Call("POST", TOKEN), False),
        (page_call(0, 1), False),
    ],
    ids=str,
)
def test_what_is_a_write(call: Call, writes: bool) -> None:
    """A call that is not known to read counts as a write."""
    assert call.writes is writes
