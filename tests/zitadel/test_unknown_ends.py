"""After which failures of a write ZITADEL may have executed it, or still will."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from support.settings import mailing, mails
from zitadel.servers import (
    PAT,
    TOKEN,
    Server,
    answering_raw,
    details,
    failure,
    policy,
    refusal,
    reply,
)
from zitadel_emulator.faults import Fault
from zitadel_emulator.server import new_emulator, serve
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

ACME = "280000000000000101"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Ask = Callable[[ZitadelClient], Awaitable[object]]
WRITES: dict[str, Ask] = {
    "create": lambda client: client.write("org-a", Action.CREATE, settings=mails(True)),
    "update": lambda client: client.write("org-a", Action.UPDATE, settings=mails(True)),
    "instance": lambda client: client.write(None, Action.UPDATE, settings=mails(True)),
    "reset": lambda client: client.reset("org-a"),
}
READS: dict[str, Ask] = {
    "observe": lambda client: client.observe("org-a"),
    "organization": lambda client: client.organization("org-a"),
    "events": lambda client: client.events(None, 10),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


async def maybe_done(asked: Awaitable[object]) -> bool:
    """Return whether an error leaves open if the call was executed."""
    error = await failure(asked)
    return isinstance(error, TransientError) and error.maybe_done


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


@asynccontextmanager
async def resetting(seen: list[bytes]) -> AsyncIterator[str]:
    """Receive a request, and reset the connection without a response."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@every_write
@pytest.mark.clock
async def test_no_answer_in_time(
    hasty: ZitadelConnector, server: Server, write: Ask
) -> None:
    server.answer = hang
    client = hasty.connect("default", Endpoint(server.url), PAT, None)
    assert await maybe_done(write(client))


@every_write
async def test_a_connection_that_ends_without_an_answer(
    connector: ZitadelConnector, write: Ask
) -> None:
    """The write is sent once, because two at a time lose events."""
    seen: list[bytes] = []
    async with resetting(seen) as url:
        client = connector.connect("default", Endpoint(url), PAT, None)
        assert await maybe_done(write(client))
        await asyncio.sleep(0.05)
        assert len(seen) == 1


@every_write
async def test_a_connection_that_was_used_before_and_ends(
    connector: ZitadelConnector, write: Ask
) -> None:
    """The HTTP library does not send it a second time."""
    seen: list[str] = []
    asked = asyncio.Event()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, OSError):
                return
            method = head.split()[0].decode()
            seen.append(method)
            if method != "GET":
                writer.close()
                return
            body = b'{"policy": {"details": {"sequence": "1", "resourceOwner": "z"}, '
            body += b'"isDefault": true}}'
            writer.write(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            asked.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = connector.connect("default", Endpoint(url), PAT, None)
        await client.observe("org-a")
        assert await maybe_done(write(client))
        await asyncio.sleep(0.05)
        assert len(seen) == 2


@every_write
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"not HTTP at all\r\n\r\n",
        HEAD + b"Content-Length: 500\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        HEAD + b'Content-Length: 12\r\n\r\n{"details": ',
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n{}{}",
        HEAD + b"Content-Length: 0\r\n\r\n",
    ],
    ids=["none", "line", "garbage", "body", "chunk", "json", "gzip", "empty"],
)
async def test_an_answer_that_was_cut_or_is_not_readable(
    connector: ZitadelConnector, write: Ask, answer: bytes
) -> None:
    async with answering_raw(answer) as url:
        client = connector.connect("default", Endpoint(url), PAT, None)
        assert await maybe_done(write(client))


@every_write
@pytest.mark.parametrize("status", [502, 504, 520, 524])
async def test_a_proxy_that_gave_up_waiting(
    client: ZitadelClient, server: Server, write: Ask, status: int
) -> None:
    server.always("<html>gateway</html>", status)
    assert await maybe_done(write(client))


@every_write
async def test_a_proxy_whose_503_may_come_after_the_request(
    client: ZitadelClient, server: Server, write: Ask
) -> None:
    """Envoy sends 503 if its connection to ZITADEL ends; others before."""
    text = "upstream connect error or disconnect/reset before headers. reset reason: "
    server.always(text + "connection termination", 503)
    assert await maybe_done(write(client))
    server.always(text + "remote connection failure", 503)
    assert not await maybe_done(write(client))
    server.always("no healthy upstream", 503)
    assert not await maybe_done(write(client))


@every_write
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (refusal(4, text="context deadline exceeded"), 504),
        (refusal(14, text="unavailable"), 503),
        (refusal(13, "COMMA-1"), 500),
        (refusal(8), 429),
        (refusal(9, "EXEC-1"), 400),
        (refusal(7, "AUTH-5mWD2"), 403),
        (refusal(12), 501),
        ("<html>maintenance</html>", 503),
        ("<html>slow down</html>", 429),
        ("<html>not here</html>", 404),
    ],
)
async def test_an_answer_of_zitadel_or_a_refusal_of_a_proxy(
    client: ZitadelClient, server: Server, write: Ask, body: object, status: int
) -> None:
    """ZITADEL has not executed the write, and will not."""
    server.always(body, status)
    assert not await maybe_done(write(client))


async def test_a_pause_repeats_its_trouble_without_the_doubt(
    client: ZitadelClient, server: Server
) -> None:
    """The calls during the pause are not made."""
    server.always("<html>gateway</html>", 504, Retry_After="60")
    assert await maybe_done(WRITES["update"](client))
    assert not await maybe_done(WRITES["update"](client))
    assert len(server.seen) == 1


@every_write
async def test_what_never_reached_zitadel(
    connector: ZitadelConnector, write: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = connector.connect("refused", Endpoint(url), PAT, None)
        assert not await maybe_done(write(client))

    def fail(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    client = connector.connect("dns", Endpoint("http://no.invalid"), PAT, None)
    assert not await maybe_done(write(client))
    for url in ("ftp://z.example", ""):
        client = connector.connect("url", Endpoint(url), PAT, None)
        assert not await maybe_done(write(client))


@every_write
async def test_tls_that_failed(
    connector: ZitadelConnector, server: Server, write: Ask
) -> None:
    server.always(policy())
    url = server.url.replace("http", "https")
    client = connector.connect("default", Endpoint(url), PAT, None)
    assert not await maybe_done(write(client))


@every_write
@pytest.mark.clock
async def test_a_connection_that_did_not_come_about_in_the_time_of_a_call(
    write: Ask,
) -> None:
    """Either the call's own timeout or that of a connection ends it."""
    quiet = socket.socket()
    with quiet:
        quiet.bind(("127.0.0.1", 0))
        quiet.listen(0)
        # Nobody accepts these, so the next one gets no response to its TLS hello.
        url = f"https://127.0.0.1:{quiet.getsockname()[1]}"
        connector = ZitadelConnector(call_timeout=0.3, allow_local=True)
        client = connector.connect("default", Endpoint(url), PAT, None)
        assert not await maybe_done(write(client))
        await connector.aclose()


@every_write
async def test_what_was_not_sent_because_nothing_may_be(
    server: Server, write: Ask
) -> None:
    """The lease has expired, or the pool is closed."""
    server.always({"details": details("org-a")})
    made = ZitadelConnector(allow_local=True, time_left=lambda: 0.0)
    client = made.connect("default", Endpoint(server.url), PAT, None)
    assert not await maybe_done(write(client))
    await made.disconnect("default")
    assert not await maybe_done(write(client))
    await made.aclose()
    assert server.seen == []


@every_write
@pytest.mark.clock
async def test_a_write_that_the_lease_ends(server: Server, write: Ask) -> None:
    server.answer = hang
    made = ZitadelConnector(allow_local=True, time_left=lambda: 0.2)
    client = made.connect("default", Endpoint(server.url), PAT, None)
    assert await maybe_done(write(client))
    await made.aclose()


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_reads_leave_nothing_open(
    connector: ZitadelConnector, server: Server, read: Ask
) -> None:
    client = connector.connect("default", Endpoint(server.url), PAT, None)
    server.always("<html>gateway</html>", 504)
    assert not await maybe_done(read(client))
    async with answering_raw(b"") as url:
        client = connector.connect("default", Endpoint(url), PAT, None)
        assert not await maybe_done(read(client))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", reset=True, after=True),
        Fault("PUT", truncate=5, after=True),
        Fault("PUT", status=504, body="<html/>", after=True),
        Fault("PUT", reset=True),
    ],
    ids=["reset after", "cut after", "504 after", "reset before"],
)
async def test_it_may_be_done_or_not(connector: ZitadelConnector, fault: Fault) -> None:
    """The emulator has executed it or not, and nothing shows which."""
    async with serve(new_emulator(TOKEN)) as emulator:
        client = connector.connect("real", Endpoint(emulator.url), PAT, None)
        await client.write(ACME, Action.CREATE, settings=mails(True))
        emulator.faults.add(fault)
        before = sum(request["method"] == "PUT" for request in emulator.requests)
        write = client.write(ACME, Action.UPDATE, settings=mails(False))
        assert await maybe_done(write)
        after = sum(request["method"] == "PUT" for request in emulator.requests)
        assert after == before + 1
        seen = await client.observe(ACME)
        assert seen is not None
        assert mailing(seen.settings) is not fault.after


def test_nothing_is_open_unless_it_is_said() -> None:
    error: OperatorError = TransientError(Reason.UNREACHABLE, "no")
    assert isinstance(error, TransientError)
    assert not error.maybe_done
    assert TransientError(Reason.UNREACHABLE, "no", maybe_done=True).maybe_done


async def test_a_token_that_cannot_be_fetched_leaves_nothing_open(
    client: ZitadelClient, server: Server
) -> None:
    """ZITADEL refused the write for its token, so it did nothing."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return reply(refusal(16), 401)

    server.answer = answer
    assert not await maybe_done(WRITES["create"](client))
