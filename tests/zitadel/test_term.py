"""Writes end before this process may write no more; reads have their usual time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from zitadel.servers import PAT, Server, policy, reply
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.calls import (
    ORGANIZATION_POLICY,
    PERMISSIONS,
    TOKEN,
    Call,
    page_call,
)
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector


class Left:
    """How much of the lease is left, as a test says."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
async def short(left: Left, server: Server) -> AsyncIterator[ZitadelClient]:
    """A client whose calls may take two seconds, or what is left."""
    connector = ZitadelConnector(call_timeout=2.0, allow_local=True, time_left=left)
    yield connector.connect("default", Endpoint(server.url), PAT, None)
    await connector.aclose()


Write = Callable[[ZitadelClient], Awaitable[object]]
WRITES = {
    "create": lambda client: client.write("o", Action.CREATE, password_change=True),
    "update": lambda client: client.write("o", Action.UPDATE, password_change=True),
    "update-instance": lambda client: client.write(
        None, Action.UPDATE, password_change=True
    ),
    "reset": lambda client: client.reset("o"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_no_write_begins_when_nothing_is_left(
    short: ZitadelClient, left: Left, server: Server, write: Write
) -> None:
    """There is no traffic at all; a read goes on."""
    server.always(policy("o"))
    for seconds in (0.0, -5.0, float("-inf")):
        left.seconds = seconds
        with pytest.raises(TransientError) as raised:
            await write(short)
        assert raised.value.reason is Reason.UNREACHABLE
        assert "lease" in raised.value.message
    assert server.seen == []
    assert isinstance(await short.observe("o"), ObservedPolicy)


async def test_a_write_is_given_up_when_its_time_is_over(
    short: ZitadelClient, left: Left, server: Server
) -> None:
    """The whole exchange counts, also a body that drips; the text is stable."""
    texts = set()

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1.0)
        return reply({})

    server.answer = slow
    for seconds in (0.2, 0.3):
        left.seconds = seconds
        began = time.monotonic()
        with pytest.raises(TransientError) as raised:
            await short.write("o", Action.UPDATE, password_change=True)
        assert seconds <= time.monotonic() - began < seconds + 0.3
        texts.add(raised.value.message)
    assert len(texts) == 1


async def test_what_is_left_is_asked_when_it_is_the_calls_turn(
    left: Left, server: Server
) -> None:
    """Time that passes in the queue counts."""
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


async def test_both_checks_are_asked(short: ZitadelClient, server: Server) -> None:
    """A guarded client's check does not replace the one that is there."""
    server.always(policy("o"))
    asked: list[str] = []
    outer = short.guarded(lambda: asked.append("term"))
    await outer.guarded(lambda: asked.append("claim")).observe("o")
    assert asked == ["term", "claim"]
    await outer.observe("o")
    assert asked == ["term", "claim", "term"]


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
    """What is not known to read counts as one."""
    assert call.writes is writes
