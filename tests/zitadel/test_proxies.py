"""Proxies from the environment: for which calls, and with which credentials."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from zitadel.servers import PAT, TOKEN, Server, policy, serving
from zitadel.test_faults import certificate
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.zitadel.connector import ZitadelConnector
from zitadel_notification_operator.zitadel.proxies import proxy_for

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@dataclass
class ForwardProxy:
    """Opens tunnels and forwards plain requests, all to one server."""

    port_behind: int
    port: int = 0
    heads: list[str] = field(default_factory=list)
    refuses: bool = False

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        if self.refuses:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", self.port_behind)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            there[1].write(head)
        await asyncio.gather(
            _pump(reader, there[1]), _pump(there[0], writer), return_exceptions=True
        )


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def proxy_before(server: Server) -> AsyncIterator[ForwardProxy]:
    proxy = ForwardProxy(int(server.url.rpartition(":")[2]))
    listener = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()


async def test_plain_requests_go_through_the_proxy(
    connector: ZitadelConnector, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The url may have a user; its host need not be resolved here."""
    server.always(policy())
    async with proxy_before(server) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        client = connector.connect("a", Endpoint("http://nosuch.invalid"), PAT, None)
        assert await client.observe("org-a")
        (head,) = proxy.heads
        assert head.startswith("GET http://nosuch.invalid/management/v1/")
        credentials = base64.b64encode(b"user:pass").decode()
        assert f"proxy-authorization: basic {credentials}".lower() in head.lower()
        await connector.disconnect("a")


@pytest.mark.tls
async def test_tunnels_check_the_external_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside CONNECT SNI and certificate are those of externalDomain."""
    path = certificate(tmp_path, "auth.example.com")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    roots = path.read_text()
    async with serving(tls) as server, proxy_before(server) as proxy:
        server.always(policy())
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        connector = ZitadelConnector(call_timeout=5)
        named = Endpoint("https://zitadel.svc", external_domain="auth.example.com")
        assert await connector.connect("a", named, PAT, roots).observe("org-a")
        with pytest.raises(TransientError, match="CertificateNotTrusted"):
            await connector.connect(
                "b", Endpoint("https://zitadel.svc"), PAT, roots
            ).observe("org-a")
        assert proxy.heads[0].startswith("CONNECT zitadel.svc:443")
        assert TOKEN not in "".join(proxy.heads)
        await connector.aclose()


async def test_a_proxy_that_refuses_is_named(
    connector: ZitadelConnector, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusal of a tunnel does not count as ZITADEL's."""
    async with proxy_before(server) as proxy:
        proxy.refuses = True
        monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy.port}")
        client = connector.connect("a", Endpoint("https://zitadel.svc"), PAT, None)
        with pytest.raises(TransientError, match="the proxy refused"):
            await client.observe("org-a")


async def test_a_proxy_that_is_away_is_named(
    connector: ZitadelConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    client = connector.connect("a", Endpoint("https://zitadel.svc"), PAT, None)
    with pytest.raises(TransientError, match="no connection to the proxy"):
        await client.observe("org-a")


@pytest.mark.parametrize(
    ("variables", "url", "wanted"),
    [
        ({}, "http://z.example", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://z.example", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://z.example", None),
        ({"https_proxy": "p:1"}, "https://z.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://z.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://z.example", None),
        (
            {"ALL_PROXY": "http://p:1", "NO_PROXY": ".example"},
            "https://u@z.example:8443/x",
            None,
        ),
        (
            {"ALL_PROXY": "http://p:1", "NO_PROXY": "other.example"},
            "https://z.example",
            "http://p:1",
        ),
    ],
)
def test_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    url: str,
    wanted: str | None,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    assert (proxy.url if proxy else None) == wanted


@pytest.mark.parametrize(
    ("exceptions", "url", "direct"),
    [
        ("10.0.0.0/8", "https://10.1.2.3:8443", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://ten.example", False),
        ("10.9.9.9/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://[::ffff:10.1.2.3]", True),
        ("fd00::/8", "https://[fd12::1]:8443", True),
        ("fd00::/8", "https://[2001:db8::1]", False),
        ("10.0.0.0/nonsense", "https://10.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3:8443", True),
        ("10.1.2.3:8443", "https://10.1.2.3:8443", True),
        ("10.1.2.3:443", "https://10.1.2.3", True),
        ("10.1.2.3:443", "https://10.1.2.3:8443", False),
        ("10.1.2", "https://10.1.2.3", False),
        ("1.2.3", "https://10.1.2.3", False),
        ("[fd12::1]", "https://[fd12::1]", True),
        ("[fd12::1]:443", "https://[fd12::1]:8443", False),
        ("fd12::1", "https://[FD12:0::1]", True),
        ("example.com", "https://example.com", True),
        ("example.com", "https://a.b.example.com", True),
        ("example.com", "https://badexample.com", False),
        (".example.com", "https://a.example.com", True),
        (".example.com", "https://example.com", False),
        ("*.example.com", "https://a.example.com", True),
        ("*.example.com", "https://example.com", False),
        ("example.com:8443", "https://example.com:8443", True),
        ("example.com:8443", "https://example.com", False),
        ("example.com:80", "http://example.com", True),
        ("EXAMPLE.com", "https://A.Example.COM", True),
        (" other.example ,\texample.com ", "https://example.com", True),
        (",, ,", "https://example.com", False),
        (":443", "https://example.com", False),
        ("a.example,*", "https://z.example", True),
        (".svc,.cluster.local", "https://zitadel.ns.svc:8080", True),
        ("m\u00fcller.example", "https://a.xn--mller-kva.example", True),
        ("127.0.0.0/8", "http://127.0.0.1:8085", True),
    ],
)
def test_what_is_reached_directly(
    exceptions: str, url: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules are those of Go's httpproxy, for both cases of the name."""
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, exceptions)
        assert (proxy_for(url) is None) is direct
        monkeypatch.delenv(name)


async def test_a_range_is_reached_without_the_proxy(
    connector: ZitadelConnector, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens at the proxy's port."""
    server.always(policy())
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    client = connector.connect("a", Endpoint(server.url), PAT, None)
    assert await client.observe("org-a") is not None
