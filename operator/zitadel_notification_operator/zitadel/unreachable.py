"""The one place where failures of the transport become ours.

aiohttp wraps what the operating system says; the reason that helps a person is at the
end of that chain. httpx itself refuses only what is no request. The words are few and
stable: ports, times and addresses would change from try to try.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import httpx

from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.addresses import LocalAddress

CONNECT_TIMEOUT = 5.0
"""Seconds that a connection, TLS included, may take to come about."""

_UNUSABLE = "no request can be made of spec.url and spec.externalDomain"
_KINDS_OF_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "name not found"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "connection refused"),
)
# The first that fits: OSError, TimeoutError and ssl.SSLError are related.
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (
        aiohttp.ConnectionTimeoutError,
        f"no connection within {CONNECT_TIMEOUT:g} seconds",
    ),
    (httpx.TimeoutException, "no answer within {seconds:g} seconds"),
    (TimeoutError, "no answer within {seconds:g} seconds"),
    (aiohttp.ClientHttpProxyError, "the proxy refused"),
    (aiohttp.ClientConnectorError, "no connection"),
    (aiohttp.InvalidURL, _UNUSABLE),
    (httpx.UnsupportedProtocol, _UNUSABLE),
    (httpx.InvalidURL, _UNUSABLE),
    (ValueError, _UNUSABLE),
)


@contextmanager
def mapped(host: str, seconds: float) -> Iterator[None]:
    """Map whatever a call may raise before there is an answer.

    Args:
        host: Of `spec.url`, for the message.
        seconds: What the whole call may take.

    Raises:
        TransientError: `Unreachable` with the kind of failure, `CertificateNotTrusted`,
            or `UnexpectedAnswer` for an answer that cannot be decoded.
        TerminalError: `AddressNotAllowed`.
    """
    try:
        yield
    except (
        aiohttp.ClientError,
        httpx.HTTPError,
        httpx.InvalidURL,
        httpx.CookieConflict,
        httpx.StreamError,
        TimeoutError,
        OSError,
        ValueError,
    ) as error:
        raise trouble_of_transport(error, host, seconds) from error


def address_not_allowed(host: str) -> TerminalError:
    """Return the error for a host that leads to a local address."""
    return TerminalError(
        Reason.ADDRESS_NOT_ALLOWED,
        f"{host} is, or leads to, a loopback, link-local or metadata address, which "
        "this operator does not connect to; for trials run it with --allow-local-urls",
    )


def trouble_of_transport(error: Exception, host: str, seconds: float) -> OperatorError:
    """Return the error for a failure of the transport.

    Args:
        error: What the transport raised.
        host: Of `spec.url`, for the message.
        seconds: What the whole call may take.
    """
    if isinstance(error, httpx.DecodingError | httpx.TooManyRedirects):
        return TransientError(
            Reason.UNEXPECTED_ANSWER, f"The answer of {host} cannot be decoded"
        )
    for cause in _causes(error):
        if isinstance(cause, LocalAddress):
            return address_not_allowed(host)
        if isinstance(cause, ssl.SSLCertVerificationError):
            # aiohttp's own error is of this type, too, but does not say why.
            why = getattr(cause, "verify_message", "")
            if not why and cause.__cause__ is not None:
                continue
            why = why.rstrip(".") or "it cannot be verified"
            return TransientError(
                Reason.CERTIFICATE_NOT_TRUSTED,
                f"The certificate that {host} shows is not trusted: {why}; name the "
                "authority's certificates in spec.caBundle, or ZITADEL's own domain "
                "in spec.externalDomain",
            )
    kind = _kind(error).format(seconds=seconds)
    return TransientError(Reason.UNREACHABLE, f"{host} cannot be reached: {kind}")


def _kind(error: Exception) -> str:
    causes = list(_causes(error))
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "no connection to the proxy"
    for wanted, kind in _KINDS_OF_CAUSES:
        if any(isinstance(cause, wanted) for cause in causes):
            return kind
    for wanted, kind in _KINDS:
        if isinstance(error, wanted):
            return kind
    return "connection broken"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk the chain; several addresses of one name fail as a group."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        waiting.extend(
            cause for cause in (current.__cause__, current.__context__) if cause
        )
