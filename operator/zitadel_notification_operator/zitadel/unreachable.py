"""The one place that maps failures of the transport to the operator's errors.

aiohttp wraps the errors of the operating system. The reason that helps a person is at
the end of that chain. httpx itself raises errors only for invalid requests. The
messages are short and stable: ports, times and addresses would change from try to try.
"""

import socket
import ssl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import httpx

from zitadel_notification_operator.core.causes import causes
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.lost_sockets import is_lost_socket
from zitadel_notification_operator.core.reasons import Reason

from .addresses import LocalAddress
from .trust import advice_for

CONNECT_TIMEOUT = 5.0
"""Seconds that a connection, including TLS, may take to be established."""

_KINDS_OF_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "name not found"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "connection refused"),
)
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
"""What OpenSSL says of an answer that is no TLS."""

# Errors that the network, the other side and the libraries may cause.
_MAPPED: tuple[type[Exception], ...] = (
    aiohttp.ClientError,
    # The parser's own error, if aiohttp does not wrap it. It is not a ClientError.
    aiohttp.http.HttpProcessingError,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    OSError,
    # asyncio's IncompleteReadError is one of these.
    EOFError,
    ValueError,
    zlib.error,
)
_CAUGHT: tuple[type[Exception], ...] = (*_MAPPED, RuntimeError)
# The first entry that fits counts. OSError, TimeoutError and ssl.SSLError are related.
_KINDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (
        aiohttp.ConnectionTimeoutError,
        f"no connection within {CONNECT_TIMEOUT:g} seconds",
    ),
    (TimeoutError, "no answer within {seconds:g} seconds"),
    (aiohttp.ClientHttpProxyError, "the proxy refused"),
    (aiohttp.ClientConnectorError, "no connection"),
    (
        (aiohttp.InvalidURL, httpx.InvalidURL, ValueError),
        "no request can be made of spec.url and spec.externalDomain",
    ),
)


@contextmanager
def map_transport_errors(
    host: str, seconds: float, *, bundled: bool = False
) -> Iterator[None]:
    """Map whatever a call may raise before there is an answer.

    Args:
        host: The host of `spec.url`, for the message.
        seconds: Seconds that the whole call may take.
        bundled: Whether `spec.caBundle` names authorities.

    Raises:
        TransientError: `Unreachable` with the kind of failure, `CertificateNotTrusted`,
            or `UnexpectedAnswer` if the answer cannot be decoded.
        TerminalError: `AddressNotAllowed`.
    """
    try:
        yield
    except _CAUGHT as error:
        if not isinstance(error, _MAPPED) and not is_lost_socket(error):
            raise
        raise failure_of_transport(error, host, seconds, bundled=bundled) from error


def address_not_allowed(host: str) -> TerminalError:
    """Return the error for a host that leads to a local address."""
    return TerminalError(
        Reason.ADDRESS_NOT_ALLOWED,
        f"{host} is, or leads to, a loopback, link-local or metadata address, which "
        "this operator does not connect to; for trials run it with --allow-local-urls",
    )


def failure_of_transport(
    error: Exception, host: str, seconds: float, *, bundled: bool = False
) -> OperatorError:
    """Return the error for a failure of the transport.

    Args:
        error: What the transport raised.
        host: The host of `spec.url`, for the message.
        seconds: Seconds that the whole call may take.
        bundled: Whether `spec.caBundle` names authorities.
    """
    if isinstance(error, httpx.DecodingError | zlib.error):
        return TransientError(
            Reason.UNEXPECTED_ANSWER, f"The answer of {host} cannot be decoded"
        )
    for cause in causes(error):
        if isinstance(cause, LocalAddress):
            return address_not_allowed(host)
        if isinstance(cause, ssl.SSLCertVerificationError):
            # aiohttp's own error has this type, too, but contains no reason.
            why = getattr(cause, "verify_message", "")
            if not why and cause.__cause__ is not None:
                continue
            why = why.rstrip(".") or "it cannot be verified"
            advice = advice_for(getattr(cause, "verify_code", 0), bundled=bundled)
            return TransientError(
                Reason.CERTIFICATE_NOT_TRUSTED,
                f"The certificate that {host} shows is not trusted: {why}; {advice}",
            )
    kind = _kind(error).format(seconds=seconds)
    return TransientError(Reason.UNREACHABLE, f"{host} cannot be reached: {kind}")


def _kind(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "no connection to the proxy"
    for cause in causes(error):
        # aiohttp's own error has this type, too, but contains no reason.
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", "") in _NO_TLS:
            return "it speaks no TLS at this port; is it http://, or another port"
    for type_, kind in _KINDS_OF_CAUSES:
        if any(isinstance(cause, type_) for cause in causes(error)):
            return kind
    for wanted, kind in _KINDS:
        if isinstance(error, wanted):
            return kind
    return "connection broken"
