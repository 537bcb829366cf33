"""A transport for httpx that uses aiohttp (ADR 8 and 18).

For ZITADEL's small answers, httpx's own transport takes ten times the processor time of
aiohttp's parser. httpx still handles requests, headers and decoding. aiohttp handles
connections, TLS and proxies; its errors pass through this module and are mapped in
`unreachable`.

There is no httpx client above it: nothing is redirected, and no cookie is kept, since
ZITADEL's says "quota used up" for five minutes.
"""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
import httpx

from .addresses import GuardedResolver, LocalAddress, is_local
from .proxies import Proxy
from .unreachable import CONNECT_TIMEOUT

KEEP_ALIVE = 30.0
"""Seconds for which an idle connection is kept.

This is less than most proxies allow, so that they do not close the connection just when
the next call begins.
"""

SENDING = "sending"
"""The name of the extension of an httpx request that holds its `Sending`."""


@dataclass(slots=True)
class Sending:
    """Records whether a write was sent, as far as that can be known.

    Each write has its own.

    Attributes:
        limit: Seconds that the write may take in total.
        begun: Whether the write had a connection, so that a part of it may have been
            sent. If resolving, connecting, the proxy or TLS fails before that, nothing
            is sent.
    """

    limit: float
    begun: bool = False


class CutOff(aiohttp.ClientError):
    """A connection ended after a write had begun. The cause is chained."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends the requests of one client, in the event loop of the first request.

    It never waits for a free connection: the pool limits the number of calls.

    Args:
        tls: The context with the trusted roots.
        proxy: The proxy for all requests, which also resolves the names.
        allow_local: Whether names may lead to loopback and link-local addresses.
    """

    def __init__(
        self, tls: ssl.SSLContext, proxy: Proxy | None, *, allow_local: bool
    ) -> None:
        self._tls = tls
        self._proxy = proxy
        self._allow_local = allow_local
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Return once the headers of the answer have arrived.

        A request with a `Sending` is a write. It is sent once, whatever happens to its
        connection. aiohttp would repeat a PUT or DELETE at once, while ZITADEL may
        still be working on the first one, and ZITADEL loses events if writes overlap.

        Raises:
            ClientError: aiohttp's error for a failure of the network.
            TimeoutError: There was no connection within `CONNECT_TIMEOUT`.
            CutOff: The connection of a write ended before the answer.
            LocalAddress: The url contains a literal address that must not be connected
                to. aiohttp does not pass literal addresses to a resolver.
            OSError: An error of the operating system.
        """
        if not self._allow_local and is_local(request.url.host):
            raise LocalAddress(f"{request.url.host} is a local address")
        if self._session is None:
            self._session = self._open()
        proxy, headers = self._proxy, request.headers
        if proxy is not None and request.url.scheme == "http":
            # Over plain HTTP, the proxy reads these from each request. With a tunnel,
            # it only reads those of the request that opens the tunnel.
            headers = httpx.Headers([*headers.multi_items(), *proxy.headers.items()])
        sending = request.extensions.get(SENDING)
        answer = await self._session.request(
            request.method,
            str(request.url),
            # As text right away: httpx would look for the encoding of each header.
            headers=[(name.decode(), value.decode()) for name, value in headers.raw],
            data=request.content or None,
            allow_redirects=False,
            server_hostname=request.extensions.get("sni_hostname"),
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
            trace_request_ctx=sending,
            middlewares=(_once,) if sending is not None else (),
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
        # With a proxy, the proxy resolves names.
        guarded = self._proxy is None and not self._allow_local
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._tls,
                limit=0,
                keepalive_timeout=KEEP_ALIVE,
                resolver=GuardedResolver() if guarded else None,
            ),
            # Not even the session keeps cookies.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
            trace_configs=[_noting_connections()],
        )


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Hide from aiohttp the errors after which it would send a request again."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not try again
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise CutOff(str(error)) from error


def _noting_connections() -> aiohttp.TraceConfig:
    """Return a trace config that marks a write's `Sending` once it has a connection."""
    noting = aiohttp.TraceConfig()

    async def note(_session: object, context: SimpleNamespace, _params: object) -> None:
        sending = context.trace_request_ctx
        if isinstance(sending, Sending):
            sending.begun = True

    noting.on_connection_create_end.append(note)
    noting.on_connection_reuseconn.append(note)
    return noting


class _Body(httpx.AsyncByteStream):
    """The bytes of the answer, as they arrive."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.content.iter_any():
            yield part

    async def aclose(self) -> None:
        # This closes the connection, unless the whole body was read.
        self._answer.close()
