"""httpx's seam to the network, served by aiohttp (ADR 0008).

httpx's own transport takes ten times the processor time of aiohttp's parser for the
small answers of ZITADEL. Requests, headers, cookies, redirects and decoding stay
httpx's; connections, TLS and proxies are aiohttp's, whose errors pass through here and
become ours in `unreachable`.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx

from zitadel_notification_operator.zitadel.addresses import GuardedResolver
from zitadel_notification_operator.zitadel.unreachable import CONNECT_TIMEOUT

KEEP_ALIVE = 30.0
"""Seconds an idle connection is kept: less than proxies usually do, so that they
do not hang up just when the next call begins."""

_PROXY_SCHEMES = {"http", "https"}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy.

    Attributes:
        url: Without a user.
        headers: Who we are to it; sent to nobody else.
    """

    url: str
    headers: Mapping[str, str]


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a url; None: go there directly.

    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case, as the
    standard library reads them.

    Raises:
        ValueError: It is none that can be used.
    """
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    named = getproxies()
    text = named.get(parts.scheme) or named.get("all")
    if not text:
        return None
    try:
        proxy = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL as error:
        raise ValueError("the proxy's url cannot be read") from error
    if proxy.scheme not in _PROXY_SCHEMES or not proxy.host:
        raise ValueError("the proxy's url must begin with http:// or https://")
    headers = {}
    if proxy.username:
        credentials = aiohttp.encode_basic_auth(proxy.username, proxy.password)
        headers["Proxy-Authorization"] = credentials
    return Proxy(str(proxy.copy_with(userinfo=b"")), headers)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries the requests of one client, in the event loop of the first one.

    Never waits for a free connection: whoever sends decides how many there may be.

    Args:
        tls: With the roots to trust.
        proxy: Through which all requests go; it resolves names by itself.
        allow_local: Whether names may lead to loopback and link-local addresses.
    """

    def __init__(
        self, tls: ssl.SSLContext, proxy: Proxy | None, *, allow_local: bool
    ) -> None:
        self._tls = tls
        self._proxy = proxy
        self._guarded = proxy is None and not allow_local
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return when the answer's headers are there.

        Raises:
            ClientError: aiohttp's, for what the network may do.
            TimeoutError: No connection within `CONNECT_TIMEOUT`.
            OSError: What the operating system says.
        """
        if self._session is None:
            self._session = self._open()
        proxy, headers = self._proxy, request.headers
        if proxy is not None and request.url.scheme == "http":
            # It reads these; of a tunnel only the request that opens it.
            headers = httpx.Headers([*headers.multi_items(), *proxy.headers.items()])
        answer = await self._session.request(
            request.method,
            str(request.url),
            headers=headers,
            data=request.content or None,
            allow_redirects=False,
            server_hostname=request.extensions.get("sni_hostname"),
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
        )
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Body(answer),
            request=request,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._tls,
                limit=0,
                keepalive_timeout=KEEP_ALIVE,
                resolver=GuardedResolver() if self._guarded else None,
            ),
            # Cookies are the client's business.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
        )


class _Body(httpx.AsyncByteStream):
    """The answer's bytes as they come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.content.iter_any():
            yield part

    async def aclose(self) -> None:
        # Ends the connection, unless the whole body was read.
        self._answer.close()
