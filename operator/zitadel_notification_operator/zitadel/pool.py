"""What all calls to one ZITADEL share: connections, limits, and a pause.

A call first waits for a free place among the concurrent calls, then for the rate limit.
During a pause it fails; otherwise it is sent with a deadline. The deadline starts only
after the waiting, for which ZITADEL is not to blame. A write must end before this
process may no longer write.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime

import httpx
from aiolimiter import AsyncLimiter

from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason

from .addresses import is_local, is_loopback, is_metadata_name
from .calls import Call, Hosts, Observer, Reply, hosts_of, limit_header
from .decoding import decoded_parts
from .deprecation import Marks
from .errors import Refusal, failure_of, leaves_open
from .proxies import proxy_for
from .retry_after import RetryAfterGate, parse_retry_after
from .transport import SENDING, AiohttpTransport, Sending
from .trust import Trust
from .unreachable import address_not_allowed, map_transport_errors

LARGEST_BODY = 1 << 20
"""The number of bytes of an answer that are kept. ZITADEL's have a few hundred."""

_log = logging.getLogger(__name__)


class Pool:
    """The connections of one instance object to one endpoint.

    Args:
        endpoint: The addresses and the limits.
        call_timeout: Seconds that one call may take in total.
        trust: The trusted roots.
        retry_gate: The pause, which outlives the pool if only limits change.
        allow_local: Whether loopback and link-local addresses may be connected to.
        time_left: Returns the seconds for which this process may still write.
        observe: Called for each call that was sent.

    Raises:
        TransientError: `Unreachable`: the environment names a proxy that cannot be
            used.
        TerminalError: `AddressNotAllowed`: the url contains a local address.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        call_timeout: float,
        trust: Trust,
        retry_gate: RetryAfterGate,
        *,
        allow_local: bool,
        time_left: Callable[[], float],
        observe: Observer,
    ) -> None:
        limit = endpoint.rate_limit
        self.endpoint = endpoint
        self.retry_gate = retry_gate
        self.hosts: Hosts = hosts_of(endpoint)
        self._call_timeout = call_timeout
        self._bundled = trust.bundled
        self._time_left = time_left
        self._observe = observe
        if not allow_local and is_local(self.hosts.connected):
            raise address_not_allowed(self.hosts.connected)
        self._transport = _open(endpoint, self.hosts, trust, allow_local=allow_local)
        self._headers = self.hosts.headers()
        self._urls: dict[str, httpx.URL] = {}  # by path, of which there are few
        self._turns = asyncio.Semaphore(limit.max_concurrent)
        self._rate = AsyncLimiter(limit.burst, limit.burst / limit.requests_per_second)
        self.marks = Marks()
        self._closed = False
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def send(
        self, call: Call, token: str, checks: Iterable[Callable[[], None]] = ()
    ) -> Reply:
        """Make one call and return the reply, whatever its status.

        Args:
            call: The call to make.
            token: Sent in `Authorization` and nowhere else; empty for no
                authentication.
            checks: Called when it is the call's turn. If one raises, nothing is sent.

        Raises:
            TransientError: `Unreachable`, or `UnexpectedAnswer` if the answer cannot be
                decoded. During a pause, nothing is sent, and the error that began the
                pause is raised with the seconds that are left.
        """
        async with self._turn():
            for check in checks:
                check()
            if call.writes:
                return await self._write(call, token)
            with self._map_transport_errors():
                async with asyncio.timeout(self._call_timeout):
                    return await self._exchange(call, token)

    async def _write(self, call: Call, token: str) -> Reply:
        """Make a write. Set `maybe_done` on the error if its result is unknown."""
        left = self._time_left()
        sending = Sending(min(self._call_timeout, left))
        try:
            with self._map_transport_errors():
                if sending.limit > 0:
                    return await self._write_in_time(call, token, sending, left)
                raise self._term_over()
        except TransientError as error:
            error.maybe_done = sending.begun
            raise

    async def _write_in_time(
        self, call: Call, token: str, sending: Sending, left: float
    ) -> Reply:
        """Make a call that ends, or is given up, while this process may still write."""
        try:
            async with asyncio.timeout(sending.limit) as clock:
                return await self._exchange(call, token, sending)
        except TimeoutError as error:
            if left >= self._call_timeout or not clock.expired():
                raise
            raise self._term_over() from error

    def _term_over(self) -> TransientError:
        return TransientError(
            Reason.UNREACHABLE,
            f"{self.hosts.connected} cannot be reached: no answer to a write in the "
            "time that the operator's lease leaves",
        )

    def _map_transport_errors(self) -> AbstractContextManager[None]:
        return map_transport_errors(
            self.hosts.connected, self._call_timeout, bundled=self._bundled
        )

    def failure_of(
        self, call: Call, reply: Reply, refusal: Refusal, secret: str
    ) -> OperatorError:
        """Return the error for an answer, and begin a pause if it asks for one.

        Args:
            call: The call that was made.
            reply: The reply.
            refusal: The parsed reply.
            secret: A secret of the call, which is masked wherever the answer repeats
                it.
        """
        wait = parse_retry_after(reply.retry_after, datetime.now(UTC))
        failure = failure_of(refusal, call, self.hosts.shown, secret, wait)
        if isinstance(failure, TransientError):
            failure.maybe_done = call.writes and leaves_open(refusal)
            if not call.is_side_errand:
                self.retry_gate.begin(failure)
        return failure

    def shut(self) -> None:
        """Accept no more calls. Calls in progress continue."""
        self._closed = True

    async def close(self) -> None:
        """Accept no more calls, wait for those in progress, close the connections."""
        self.shut()
        try:
            async with asyncio.timeout(self._call_timeout):
                await self._quiet.wait()
        except TimeoutError:
            _log.debug("Closing connections although calls are under way")
        await self._transport.aclose()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        self._require_open()
        self._under_way += 1
        self._quiet.clear()
        try:
            async with self._turns:
                # Check again after each wait, because much may happen meanwhile.
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
        self.retry_gate.require_over()

    async def _exchange(
        self, call: Call, token: str, sending: Sending | None = None
    ) -> Reply:
        began, code = time.perf_counter(), "error"
        try:
            reply = await self._request(call, token, sending)
            code = str(reply.status)
            return reply
        finally:
            took = time.perf_counter() - began
            self._observe(call.method, call.path, code, took)

    async def _request(self, call: Call, token: str, sending: Sending | None) -> Reply:
        request = self._build_request(call, token, sending)
        response = await self._transport.handle_async_request(request)
        async with aclosing(response):
            body = bytearray()
            async for part in decoded_parts(response, LARGEST_BODY):
                # Read on, so that the connection can be reused, but keep no more.
                if len(body) < LARGEST_BODY:
                    body += part
        self.marks.note(call, response.status_code, response.headers, token)
        _log.debug("%s: HTTP %d, %d bytes", call, response.status_code, len(body))
        return Reply(
            response.status_code, bytes(body), response.headers.get("retry-after")
        )

    def _build_request(
        self, call: Call, token: str, sending: Sending | None
    ) -> httpx.Request:
        extensions: dict[str, object] = {}
        headers = self._headers | call.headers(token)
        if sending is not None:
            extensions[SENDING] = sending
            headers |= limit_header(sending.limit)
        if self.hosts.domain is not None:
            # The certificate is checked against this name, too.
            extensions["sni_hostname"] = self.hosts.domain
        if call.path not in self._urls:
            self._urls[call.path] = httpx.URL(self.hosts.base + call.path)
        return httpx.Request(
            call.method,
            self._urls[call.path],
            headers=headers,
            content=call.body,
            extensions=extensions,
        )


def _open(
    endpoint: Endpoint, hosts: Hosts, trust: Trust, *, allow_local: bool
) -> AiohttpTransport:
    try:
        proxy = proxy_for(endpoint.url)
    except ValueError as error:
        raise TransientError(
            Reason.UNREACHABLE,
            f"{hosts.connected} cannot be reached: the proxy settings in the "
            "environment cannot be used",
        ) from error
    # The proxy resolves names, and such names refer to its own surroundings.
    behind = proxy is not None and not allow_local
    if behind and (is_loopback(hosts.connected) or is_metadata_name(hosts.connected)):
        raise address_not_allowed(hosts.connected)
    return AiohttpTransport(trust.context, proxy, allow_local=allow_local)
