"""Faults of the network."""

import asyncio
import datetime as dt
import socket
import ssl
import zlib
from pathlib import Path

import aiohappyeyeballs
import aiohttp
import httpx
import pytest
from aiohttp import http_exceptions, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.settings import mails
from zitadel.servers import PAT, Server, answering_raw, policy, serving
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector
from zitadel_notification_operator.zitadel.unreachable import map_transport_errors

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def kind(client: ZitadelClient) -> str:
    with pytest.raises(TransientError) as caught:
        await client.observe("org-a")
    assert caught.value.reason is Reason.UNREACHABLE
    return caught.value.message


async def test_refused_connections(connector: ZitadelConnector) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://localhost:{taken.getsockname()[1]}"
        client = connector.connect("default", Endpoint(url), PAT, None)
        assert await kind(client) == "localhost cannot be reached: connection refused"


async def test_unknown_names(
    connector: ZitadelConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    client = connector.connect("default", Endpoint("http://nosuch.invalid"), PAT, None)
    assert await kind(client) == "nosuch.invalid cannot be reached: name not found"


@pytest.mark.clock
async def test_hanging_servers_end_with_the_call_timeout(
    hasty: ZitadelConnector, server: Server
) -> None:
    client = hasty.connect("default", Endpoint(server.url), PAT, None)

    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    server.answer = hang
    began = asyncio.get_running_loop().time()
    assert (await kind(client)).endswith("no answer within 1 seconds")
    assert asyncio.get_running_loop().time() - began < 3
    server.always(policy())
    assert await client.observe("org-a") is not None


@pytest.mark.clock
async def test_dripping_servers_end_with_the_call_timeout(
    hasty: ZitadelConnector,
) -> None:
    """Each byte comes in time, the whole response does not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            pass
        finally:
            writer.close()

    dripping = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with dripping:
        url = f"http://127.0.0.1:{dripping.sockets[0].getsockname()[1]}"
        client = hasty.connect("default", Endpoint(url), PAT, None)
        assert (await kind(client)).endswith("no answer within 1 seconds")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"not HTTP at all\r\n\r\n",
        HEAD + b"Content-Length: 500\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{",
    ],
    ids=["nothing", "half a line", "garbage", "truncated", "chunk", "bad chunk"],
)
async def test_broken_connections(connector: ZitadelConnector, answer: bytes) -> None:
    async with answering_raw(answer) as url:
        client = connector.connect("default", Endpoint(url), PAT, None)
        message = await kind(client)
        assert message == "127.0.0.1 cannot be reached: connection broken"
        with pytest.raises(TransientError):
            await client.write("org-a", Action.UPDATE, settings=mails(True))


async def test_an_answer_packed_wrongly_is_unexpected(
    connector: ZitadelConnector,
) -> None:
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n"
    async with answering_raw(head + b"{}{}") as url:
        client = connector.connect("default", Endpoint(url), PAT, None)
        with pytest.raises(TransientError) as caught:
            await client.observe("org-a")
    assert caught.value.reason is Reason.UNEXPECTED_ANSWER


async def test_endless_answers_are_not_kept(
    client: ZitadelClient, server: Server
) -> None:
    server.always(b'{"policy": "' + b"x" * (5 << 20) + b'"}')
    with pytest.raises(TransientError) as caught:
        await client.observe("org-a")
    assert caught.value.reason is Reason.UNEXPECTED_ANSWER


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("auth.example.com"),
        Endpoint("ftp://auth.example.com"),
        Endpoint("http://[::1"),
        Endpoint("http://:80:80"),
        Endpoint("http://" + "a" * 300 + ".example"),
        Endpoint("http://127.0.0.1:1", external_domain="höst.example"),
        Endpoint("http://127.0.0.1:1/\x00"),
        Endpoint(""),
    ],
    ids=range(8),
)
async def test_a_url_that_is_none_does_not_crash(
    connector: ZitadelConnector, endpoint: Endpoint
) -> None:
    with pytest.raises(TransientError) as caught:
        await connector.connect("default", endpoint, PAT, None).observe("org-a")
    assert caught.value.reason is Reason.UNREACHABLE


async def test_unusable_proxy_settings_do_not_crash(
    connector: ZitadelConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://proxy.example")
    with pytest.raises(TransientError) as caught:
        connector.connect("default", Endpoint("http://127.0.0.1:1"), PAT, None)
    assert caught.value.reason is Reason.UNREACHABLE
    assert "proxy" in caught.value.message


def _errors() -> list[type[Exception]]:
    """Return all errors of httpx, and all of aiohttp's client."""
    found = [
        (vars(httpx).values(), Exception),
        (vars(aiohttp).values(), aiohttp.ClientError),
    ]
    return [
        thing
        for things, base in found
        for thing in things
        if isinstance(thing, type) and issubclass(thing, base)
    ]


@pytest.mark.parametrize("error", _errors(), ids=lambda error: error.__name__)
def test_every_error_of_the_libraries_is_mapped(error: type[Exception]) -> None:
    """They are created without arguments, which differ between classes."""
    with (
        pytest.raises(TransientError) as caught,
        map_transport_errors("host.example", 10),
    ):
        raise error.__new__(error)
    assert caught.value.reason in {
        Reason.UNREACHABLE,
        Reason.UNEXPECTED_ANSWER,
        Reason.CERTIFICATE_NOT_TRUSTED,
    }
    assert isinstance(caught.value.__cause__, error)


LOST = [
    "File descriptor 9 is used by transport <TCPTransport closed=False reading=True>",
    "unable to perform operation on <TCPTransport closed=True>; the handler is closed",
    "Session is closed",
    "Cannot send a request, as the client has been closed.",
    "Cannot call write() after write_eof()",
]


@pytest.mark.parametrize("text", LOST)
def test_a_connection_that_the_event_loop_has_lost_is_no_fault_of_ours(
    text: str,
) -> None:
    with (
        pytest.raises(TransientError) as caught,
        map_transport_errors("host.example", 10),
    ):
        raise RuntimeError(text)
    assert caught.value.reason is Reason.UNREACHABLE
    assert caught.value.message == "host.example cannot be reached: connection broken"


@pytest.mark.parametrize("text", LOST)
async def test_a_call_survives_what_the_event_loop_raises(
    client: ZitadelClient, server: Server, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds through httpx and aiohttp; the next call works."""
    server.always(policy())
    with monkeypatch.context() as patch:

        async def fail(*_args: object, **_more: object) -> None:
            raise RuntimeError(text)

        patch.setattr(aiohappyeyeballs, "start_connection", fail)
        assert (await kind(client)).endswith("connection broken")
    assert await client.observe("org-a") is not None


def test_a_fault_of_ours_stays_one() -> None:
    with (
        pytest.raises(RuntimeError, match="an engine's own"),
        map_transport_errors("host", 10),
    ):
        raise RuntimeError("an engine's own")


@pytest.mark.parametrize(
    "error",
    [
        http_exceptions.BadStatusLine("HTTP/1.1"),
        http_exceptions.TransferEncodingError("chunk"),
        asyncio.IncompleteReadError(b"", 5),
        ConnectionResetError(104, "reset"),
        ssl.SSLError(1, "[SSL: APPLICATION_DATA_AFTER_CLOSE_NOTIFY]"),
        ssl.SSLZeroReturnError(6, "TLS closed"),
        zlib.error("incorrect header check"),
        UnicodeEncodeError("idna", "ä", 0, 1, "label too long"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_of_connections_are_mapped(error: Exception) -> None:
    with (
        pytest.raises(TransientError) as caught,
        map_transport_errors("host.example", 10),
    ):
        raise error
    assert caught.value.reason in {Reason.UNREACHABLE, Reason.UNEXPECTED_ANSWER}


def certificate(folder: Path, name: str) -> Path:
    """Write a certificate for this name and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.tls
async def test_certificates_are_checked_against_the_external_domain(
    tmp_path: Path,
) -> None:
    path = certificate(tmp_path, "auth.example.com")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    server_names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: server_names.append(name)
    roots = path.read_text()
    async with serving(tls) as server:
        server.always(policy())
        connector = ZitadelConnector(call_timeout=5, allow_local=True)
        named = Endpoint(server.url, external_domain="auth.example.com")
        assert await connector.connect("a", named, PAT, roots).observe("org-a")
        assert server_names == ["auth.example.com"]
        client = connector.connect("b", Endpoint(server.url), PAT, roots)
        with pytest.raises(TransientError) as caught:
            await client.observe("org-a")
        error = caught.value
        assert error.reason is Reason.CERTIFICATE_NOT_TRUSTED
        assert "IP address mismatch" in error.message
        await connector.aclose()
        connector = ZitadelConnector(call_timeout=5, allow_local=True)
        client = connector.connect("a", named, PAT, None)
        with pytest.raises(TransientError) as caught:
            await client.observe("org-a")
        error = caught.value
        assert error.reason is Reason.CERTIFICATE_NOT_TRUSTED
        assert "self-signed certificate" in error.message
        await connector.aclose()


@pytest.mark.tls
async def test_plain_http_behind_https_is_reported(
    connector: ZitadelConnector, server: Server
) -> None:
    url = server.url.replace("http", "https")
    client = connector.connect("default", Endpoint(url), PAT, None)
    assert "speaks no TLS at this port" in await kind(client)


@pytest.mark.parametrize(
    "text",
    [
        "Client sent an HTTP request to an HTTPS server.",
        "The plain HTTP request was sent to HTTPS port",
    ],
)
async def test_https_behind_plain_http_is_reported(
    connector: ZitadelConnector, server: Server, text: str
) -> None:
    """It is no refusal of ZITADEL's: the message says what to write."""
    server.always(text, 400)
    client = connector.connect("default", Endpoint(server.url), PAT, None)
    with pytest.raises(TransientError) as caught:
        await client.observe("org-a")
    assert caught.value.reason is Reason.UNEXPECTED_ANSWER
    assert "https://" in caught.value.message
