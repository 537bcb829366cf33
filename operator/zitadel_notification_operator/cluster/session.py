"""Sends requests to the API server with the credentials that are current.

The operator's own calls and kopf's watches use the same kind of session. Certificate
authorities, certificates and tokens are chosen for each request, so new ones take
effect without a restart. When the server rejects the credentials, or its certificate is
not trusted, the configuration is read again. If that has changed anything, the request
is repeated once.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from zitadel_notification_operator.core.causes import causes
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.lost_sockets import is_lost_socket
from zitadel_notification_operator.version import VERSION

from .connection_config import ConnectionConfig, Source
from .names import FIELD_MANAGER
from .tls import context_of, describe_tls, is_tls_failure

CONNECTIONS = 100
"""How many of the operator's own calls may be in progress at once."""

LINE = 2**21
"""Bytes that are read ahead: a line of a watch holds a whole object."""

_UNAUTHORIZED = 401
_FAILURES = (aiohttp.ClientError, OSError, RuntimeError, ValueError)
"""What the transport raises; its timeouts are `OSError`, too."""

Observer = Callable[[str, str, str], None]
"""A callback for each request. Its arguments are the method, the HTTP status or
`<error>` if there was no response, and host and port of the API server. It must return
at once and never raise."""


def unobserved(method: str, code: str, host: str) -> None:
    """Ignore the request; the default `Observer`."""


class NotReached(ClusterError):
    """No response arrived.

    Attributes:
        why: What happened, without details that differ from call to call.
        is_timeout: Whether the call timed out.
    """

    is_outage = True

    def __init__(self, message: str, why: str, *, is_timeout: bool = False) -> None:
        super().__init__(message)
        self.why = why
        self.is_timeout = is_timeout


class ApiSession:
    """A session with its own connections, so that it never waits for another session.

    Args:
        source: Supplies address and credentials.
        observe: A callback for each request.
        agent: The User-Agent of the requests; empty to leave it to the caller.
        connections: How many requests may be in progress at once; 0 for no limit.
    """

    def __init__(
        self,
        source: Source,
        observe: Observer = unobserved,
        agent: str = f"{FIELD_MANAGER}/{VERSION}",
        connections: int = CONNECTIONS,
    ) -> None:
        self._connections = connections
        self._source = source
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None
        self.headers: dict[str, str] = {"User-Agent": agent} if agent else {}
        self.closed = False

    async def request(
        self,
        method: str,
        url: str,
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own argument
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> aiohttp.ClientResponse:
        """Make a request, and return the response whatever its status is.

        Args:
            method: The HTTP method.
            url: A path, or a complete URL of the API server.
            timeout: For one attempt.
            headers: Additional to those of the session and the credentials.
            content: `params`, `data` or `json`, as aiohttp takes them.

        Raises:
            NotReached: No response arrived; the text says why.
            LoginFailed: There are no credentials at present.
        """
        config = await self._source.present()
        what = f"{method.upper()} {_path_of(url)}"
        content |= {"timeout": timeout, "headers": headers}
        try:
            try:
                answer = await self._send(config, method, url, **content)
                if answer.status != _UNAUTHORIZED:
                    return answer
                other = await self._source.renew(config)
                if other is None:
                    return answer
                answer.release()
            except aiohttp.ClientError as error:
                if not is_tls_failure(error):
                    raise
                other = await self._source.renew(config, tls=True)
                if other is None:
                    raise
            config = other
            return await self._send(config, method, url, **content)
        except _FAILURES as error:
            raise not_reached(error, what, config) from error

    async def read(self, answer: aiohttp.ClientResponse) -> bytes:
        """Return the rest of a response.

        Raises:
            NotReached: The response was cut off.
        """
        try:
            return await answer.read()
        except _FAILURES as error:
            what = f"{answer.method} {_path_of(str(answer.url))}"
            raise not_reached(
                error, what, ConnectionConfig(str(answer.url.origin()))
            ) from error

    async def close(self) -> None:
        """Close all connections; no request can be made afterwards."""
        self.closed = True
        if self._session is not None:
            await self._session.close()

    async def _send(
        self,
        config: ConnectionConfig,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        **options: Any,
    ) -> aiohttp.ClientResponse:
        if self.closed:
            raise RuntimeError("Session is closed")
        if self._session is None:
            self._session = _new_session(self._connections)
        whole = {**self.headers, **(headers or {})}
        if config.authorization:
            whole["Authorization"] = config.authorization
        code = "<error>"
        try:
            answer = await self._session.request(
                method,
                url if "://" in url else config.server + url,
                # Pairs, not a mapping: each impersonated group has its own header.
                headers=[*whole.items(), *config.impersonation],
                ssl=context_of(config.tls),
                server_hostname=config.tls.server_name or None,
                proxy=config.proxy or None,
                **options,
            )
            code = str(answer.status)
        finally:
            self._observe(method.upper(), code, config.host)
        return answer


def _new_session(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        # Proxies and .netrc of the environment are meant for the way to ZITADEL.
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=LINE,
    )


def not_reached(error: Exception, what: str, config: ConnectionConfig) -> ClusterError:
    """Return the error for a request that got no response.

    A RuntimeError is a programming error and is raised, unless a lost socket caused it.

    Args:
        error: What the transport raised.
        what: Method and path.
        config: The address and credentials that were used.
    """
    if isinstance(error, TimeoutError):
        text = f"Kubernetes did not answer {what} in time"
        return NotReached(text, "no answer in time", is_timeout=True)
    if isinstance(error, RuntimeError):
        if not is_lost_socket(error):
            raise error
        why = "no socket"
    else:
        why = _why(error, config)
    return NotReached(f"Kubernetes was not reached: {what}: {config.host}: {why}", why)


def _why(error: Exception, config: ConnectionConfig) -> str:
    """Say what happened, without details that differ from attempt to attempt."""
    if tls := describe_tls(error, config.tls):
        return tls
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy refused it ({error.status})"
    if isinstance(error, ValueError):
        # A header or the URL is malformed. The error's text may quote a token.
        return "no request can be made of the server's URL and the credentials"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy was not reached: {_why_not_connected(error)}"
    return _why_not_connected(error)


def _why_not_connected(error: Exception) -> str:
    for cause in causes(error):
        if isinstance(cause, socket.gaierror):
            return "name not found"
        if isinstance(cause, OSError) and (cause.errno or 0) > 0:
            return os.strerror(cause.errno or 0)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return "the connection was cut"
    return "no connection"


def _path_of(url: str) -> str:
    """Return the path of a URL for messages; of the query only `watch` is mentioned."""
    parts = urlsplit(url)
    watch = " (watch)" if "watch=true" in parts.query else ""
    return parts.path + watch
