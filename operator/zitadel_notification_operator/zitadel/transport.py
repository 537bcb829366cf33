"""The way to one ZITADEL: pool, headers, limits, the pause that Retry-After asks for.

One transport an instance object, shared by all its policies and credentials.
"""

import asyncio
import http.cookiejar
import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx
from aiolimiter import AsyncLimiter

from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.zitadel.errors import (
    limited,
    parse_error,
    refusal,
    unreachable,
)

CONNECT_TIMEOUT = 5.0
CALL_TIMEOUT = 10.0
"""Seconds for a whole call, after its turn has come."""


class _NoCookies(http.cookiejar.DefaultCookiePolicy):
    """Takes no cookie: ZITADEL's quota cookie would lock the client out."""

    def set_ok(self, cookie: Any, request: Any) -> bool:  # noqa: ARG002 - its signature
        return False


class Transport:
    """Makes calls to one ZITADEL, within its limits."""

    def __init__(self, endpoint: Endpoint, call_timeout: float = CALL_TIMEOUT) -> None:
        limit = endpoint.rate_limit
        self.endpoint = endpoint
        self._call_timeout = call_timeout
        self._slots = asyncio.Semaphore(limit.max_concurrent)
        # A bucket of `burst`, refilled at the wanted rate.
        self._rate = AsyncLimiter(limit.burst, limit.burst / limit.requests_per_second)
        self._resume_at = float("-inf")
        self._host = urlsplit(endpoint.url).netloc
        self._client = httpx.AsyncClient(
            base_url=endpoint.url,
            headers=_headers(endpoint),
            cookies=http.cookiejar.CookieJar(_NoCookies()),
            follow_redirects=False,
            timeout=httpx.Timeout(call_timeout, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_keepalive_connections=limit.max_concurrent),
            verify=_trust(),
        )

    async def call(
        self, method: str, path: str, token: str, organization: str | None, body: Any
    ) -> httpx.Response:
        """Make one call and return the whole answer, whatever it is.

        Args:
            method: The HTTP verb.
            path: ZITADEL's path.
            token: Sent as bearer token; never in an error.
            organization: The id for `x-zitadel-orgid`; None sends no header, because
                an empty one silently means the credential's own.
            body: JSON; None sends no body.

        Raises:
            TransientError: Not reached, no answer in time, or asked to wait.
        """
        headers = {"Authorization": f"Bearer {token}"}
        if organization is not None:
            headers["x-zitadel-orgid"] = organization
        async with self._slots:
            self._require_no_pause()
            await self._rate.acquire()
            self._require_no_pause()
            response = await self._send(method, path, headers, body)
        self._note_pause(response, token)
        return response

    async def aclose(self) -> None:
        """Close the pool."""
        await self._client.aclose()

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: Any
    ) -> httpx.Response:
        extensions = {}
        if self.endpoint.external_domain:
            extensions["sni_hostname"] = self.endpoint.external_domain
        try:
            async with asyncio.timeout(self._call_timeout):
                return await self._client.request(
                    method, path, headers=headers, json=body, extensions=extensions
                )
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise unreachable(error, self._host) from error

    def _require_no_pause(self) -> None:
        left = self._resume_at - asyncio.get_running_loop().time()
        if left > 0:
            raise limited(left)

    def _note_pause(self, response: httpx.Response, token: str) -> None:
        """Hold the whole instance when an answer asks to wait."""
        if "Retry-After" not in response.headers or response.is_success:
            return
        error = refusal(response, token)
        if isinstance(error, TransientError) and error.retry_after:
            now = asyncio.get_running_loop().time()
            self._resume_at = max(self._resume_at, now + error.retry_after)


def error_id(response: httpx.Response) -> str:
    """Return ZITADEL's error id of an answer; empty when there is none."""
    error = parse_error(response)
    return error.id if error else ""


def _headers(endpoint: Endpoint) -> dict[str, str]:
    # English, so that texts are the same for all; ids decide, texts are for people.
    headers = {"Accept": "application/json", "Accept-Language": "en"}
    if endpoint.external_domain:
        headers["Host"] = endpoint.external_domain
        headers["x-zitadel-instance-host"] = endpoint.external_domain
    return headers


@cache
def _trust() -> ssl.SSLContext:
    """Return the system's roots; httpx would bring its own."""
    return ssl.create_default_context()
