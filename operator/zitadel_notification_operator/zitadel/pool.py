"""What all calls to one ZITADEL share: connections, limits, and a pause.

The order of a call: a place among the concurrent ones, the rate limit, the pause,
then the network with a deadline. Waiting for one's turn is not ZITADEL's fault, so
the deadline begins after it. A write must end before this process may write no more.
"""

import asyncio
import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from aiolimiter import AsyncLimiter

from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.addresses import is_local
from zitadel_notification_operator.zitadel.calls import (
    Call,
    Hosts,
    Observer,
    Reply,
    hosts_of,
    unobserved,
)
from zitadel_notification_operator.zitadel.errors import Refusal, trouble_of
from zitadel_notification_operator.zitadel.pause import Pause, parse_retry_after
from zitadel_notification_operator.zitadel.transport import (
    AiohttpTransport,
    proxy_for,
)
from zitadel_notification_operator.zitadel.unreachable import (
    address_not_allowed,
    mapped,
)

LARGEST_BODY = 1 << 20
"""Bytes of an answer that are kept; ZITADEL's have a few hundred."""

_log = logging.getLogger(__name__)


class Pool:
    """The connections of one instance object to one endpoint.

    Args:
        endpoint: Where, and how much at once.
        call_timeout: Seconds one call may take, all included.
        tls: With the roots to trust.
        pause: Outlives the pool when only limits change.
        allow_local: Whether loopback and link-local addresses may be connected to.
        time_left: Seconds for which this process may write.
        observe: Is told of each call that goes out.

    Raises:
        TransientError: `Unreachable`, when the environment names a proxy that
            cannot be used.
        TerminalError: `AddressNotAllowed`, when the url holds such an address.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        call_timeout: float,
        tls: ssl.SSLContext,
        pause: Pause,
        *,
        allow_local: bool,
        time_left: Callable[[], float] = lambda: math.inf,
        observe: Observer = unobserved,
    ) -> None:
        limit = endpoint.rate_limit
        self.endpoint = endpoint
        self.pause = pause
        self.hosts: Hosts = hosts_of(endpoint)
        self._call_timeout = call_timeout
        self._time_left = time_left
        self._observe = observe
        if not allow_local and is_local(self.hosts.connected):
            raise address_not_allowed(self.hosts.connected)
        self._http = _open(endpoint, self.hosts, tls, allow_local=allow_local)
        self._turns = asyncio.Semaphore(limit.max_concurrent)
        self._rate = AsyncLimiter(limit.burst, limit.burst / limit.requests_per_second)
        self._closed = False
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def send(
        self, call: Call, token: str, check: Callable[[], None] | None = None
    ) -> Reply:
        """Make one call, whatever it is answered.

        Args:
            call: What to ask.
            token: Goes into `Authorization`, and nowhere else; empty sends none.
            check: Asked when it is the call's turn; what it raises ends the call.

        Raises:
            TransientError: `Unreachable`; `UnexpectedAnswer` for what cannot be
                decoded; what began the pause while one lasts, with the seconds that
                are left of it, without any traffic.
        """
        async with self._turn():
            if check is not None:
                check()
            with mapped(self.hosts.connected, self._call_timeout):
                if not call.writes:
                    async with asyncio.timeout(self._call_timeout):
                        return await self._exchange(call, token)
                return await self._write(call, token)

    async def _write(self, call: Call, token: str) -> Reply:
        """Make a call that has ended, or is given up, while this process may write."""
        left = self._time_left()
        if left >= self._call_timeout:
            async with asyncio.timeout(self._call_timeout):
                return await self._exchange(call, token)
        if left > 0:
            try:
                async with asyncio.timeout(left) as limit:
                    return await self._exchange(call, token)
            except TimeoutError:
                if not limit.expired():
                    raise
        raise TransientError(
            Reason.UNREACHABLE,
            f"{self.hosts.connected} cannot be reached: no answer to a write in the "
            "time that the operator's lease leaves",
        )

    def trouble_of(
        self, call: Call, reply: Reply, refusal: Refusal, secret: str
    ) -> OperatorError:
        """Return the error that an answer is; begin the pause that it may ask for.

        Args:
            call: What was asked.
            reply: What came back.
            refusal: The same, read.
            secret: Hidden wherever the answer repeats it.
        """
        wait = parse_retry_after(reply.retry_after, datetime.now(UTC))
        trouble = trouble_of(refusal, call, self.hosts.shown, secret, wait)
        if isinstance(trouble, TransientError):
            self.pause.begin(trouble)
        return trouble

    def shut(self) -> None:
        """Take no more calls; those under way go on."""
        self._closed = True

    async def close(self) -> None:
        """Take no more calls, wait for those under way, close the connections."""
        self.shut()
        try:
            async with asyncio.timeout(self._call_timeout):
                await self._quiet.wait()
        except TimeoutError:
            _log.debug("Closing connections although calls are under way")
        await self._http.aclose()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        self._require_open()
        self._under_way += 1
        self._quiet.clear()
        try:
            async with self._turns:
                # Again and again: a lot may happen while one waits.
                self._require_open()
                await self._rate.acquire()
                self._require_open()
                yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    def _require_open(self) -> None:
        if self._closed:
            raise TransientError(
                Reason.UNREACHABLE,
                "The connection was closed, because the ZitadelInstance has changed",
            )
        self.pause.require_over()

    async def _exchange(self, call: Call, token: str) -> Reply:
        began, code = time.perf_counter(), "error"
        try:
            reply = await self._request(call, token)
            code = str(reply.status)
            return reply
        finally:
            took = time.perf_counter() - began
            self._observe(call.method, call.path, code, took)

    async def _request(self, call: Call, token: str) -> Reply:
        extensions: dict[str, object] = {}
        if self.hosts.domain is not None:
            # Also what the certificate is checked against.
            extensions["sni_hostname"] = self.hosts.domain
        async with self._http.stream(
            call.method,
            self.hosts.base + call.path,
            headers=call.headers(token),
            content=call.body,
            extensions=extensions,
        ) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                # Read on, for the connection's sake, but keep no more.
                if len(body) < LARGEST_BODY:
                    body += part
        _log.debug("%s: HTTP %d, %d bytes", call, response.status_code, len(body))
        return Reply(
            response.status_code, bytes(body), response.headers.get("retry-after")
        )


class _NoCookies(httpx.Cookies):
    """Keeps and sends none: ZITADEL's says "quota used up" for five minutes."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore what the answer sets."""

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Send nothing."""


class _Client(httpx.AsyncClient):
    """httpx's client, without the cookies that it would look for in each answer."""

    _none = _NoCookies()

    @property
    def cookies(self) -> httpx.Cookies:
        """The jar that stays empty."""
        return self._none

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise AttributeError(f"this client takes no {type(cookies).__name__}")


def _open(
    endpoint: Endpoint, hosts: Hosts, tls: ssl.SSLContext, *, allow_local: bool
) -> httpx.AsyncClient:
    try:
        proxy = proxy_for(endpoint.url)
    except ValueError as error:
        raise TransientError(
            Reason.UNREACHABLE,
            f"{hosts.connected} cannot be reached: the proxy settings in the "
            "environment cannot be used",
        ) from error
    with mapped(hosts.connected, 0):
        return _Client(
            follow_redirects=False,
            headers=hosts.headers(),
            transport=AiohttpTransport(tls, proxy, allow_local=allow_local),
        )
