"""The one place where ZITADEL's refusals and the network's failures become ours.

Decided by error id, then by the gRPC code in the body, then by HTTP status: a 404 has
five unrelated meanings, and a 400 at least three. A 404 without a known id is never
"absent": it is a wrong host or a broken database.
"""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from pydantic import ValidationError

from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.models import ErrorAnswer

RETRY_AFTER_LIMIT = 300.0
"""Seconds; a longer Retry-After is cut to this (design, section 4)."""

_EXCERPT = 100
_SERVER_CODES = {1, 2, 4, 10, 13, 14, 15}
_LIMITED_CODE, _REFUSED_CODE, _UNKNOWN_CODE = 8, 7, 16
_FIRST_SERVER_ERROR = 500
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TIMED_OUT, _TOO_MANY = 401, 403, 404, 408, 429
_FIRST_REDIRECT, _FIRST_ERROR = 300, 400

_REJECTED = (
    "ZITADEL rejected the credential: it is unknown, expired or revoked, or its user "
    "is not active; put a valid personal access token into the Secret"
)
_FORBIDDEN_TEXT = (
    "The credential lacks a role: give its user IAM_OWNER for the instance's policy, "
    "IAM_ORG_MANAGER for the policies of all organizations, or ORG_SETTINGS_MANAGER in "
    "the one organization"
)
_ORGANIZATION_GONE = (
    "ZITADEL does not know the organization; check its id, and whether it was removed"
)
_HOST_UNKNOWN = (
    "ZITADEL serves no instance for this host; set spec.externalDomain of the "
    "ZitadelInstance to the domain that ZITADEL is configured with"
)


_IDS = {
    "AUTH-7fs1e": (Reason.CREDENTIALS_REJECTED, _REJECTED),
    "AUTH-toLo1": (Reason.CREDENTIALS_REJECTED, _REJECTED),
    "AUTH-5mWD2": (Reason.INSUFFICIENT_PERMISSIONS, _FORBIDDEN_TEXT),
    "AUTHZ-cdgFk": (Reason.INSUFFICIENT_PERMISSIONS, _FORBIDDEN_TEXT),
    "AUTH-Bs7Ds": (Reason.ORGANIZATION_NOT_FOUND, _ORGANIZATION_GONE),
    "QUERY-leq5Q": (Reason.ORGANIZATION_NOT_FOUND, _ORGANIZATION_GONE),
}


def refusal(response: httpx.Response, secret: str) -> OperatorError:
    """Return what an answer means that is not a success.

    Args:
        response: The answer, read to its end.
        secret: Never to appear in a message, whatever the body holds.
    """
    status = response.status_code
    error = parse_error(response)
    wait = retry_after(response.headers, datetime.now(UTC))
    if error is not None and (known := _by_id(error)) is not None:
        return known
    if error is not None and (known := _by_code(error, wait)) is not None:
        return known
    if known := _by_status(status, wait):
        return known
    if _FIRST_REDIRECT <= status < _FIRST_ERROR:
        return TransientError(
            Reason.UNEXPECTED_ANSWER,
            f"ZITADEL answered with a redirect ({status}), which is not followed; "
            "check spec.url of the ZitadelInstance",
        )
    if error is not None and status < _FIRST_SERVER_ERROR and status != _NOT_FOUND:
        text = excerpt(error.message, secret)
        return TerminalError(
            Reason.REQUEST_REFUSED, f"ZITADEL refused the request: {text}"
        )
    return unusable(response, secret)


def parse_error(response: httpx.Response) -> ErrorAnswer | None:
    """Return the body as ZITADEL's error; None when it is not one."""
    try:
        return ErrorAnswer.model_validate_json(response.content)
    except ValidationError:
        return None


def unusable(response: httpx.Response, secret: str) -> TransientError:
    """Return that an answer is none of ZITADEL's; it is never taken for a value."""
    shown = excerpt(response.text, secret) or "an empty body"
    return TransientError(
        Reason.UNEXPECTED_ANSWER,
        f"The answer is not ZITADEL's (HTTP {response.status_code}): {shown}",
    )


def excerpt(text: str, secret: str) -> str:
    """Return the start of a text, one line, printable, without the secret."""
    line = " ".join(text.replace(secret, "[token]").split())
    clean = "".join(c if c.isprintable() else "?" for c in line)
    return clean if len(clean) <= _EXCERPT else clean[:_EXCERPT] + "..."


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that Retry-After asks for; seconds or a date, capped.

    Returns:
        None when it is absent or cannot be understood.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_LIMIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), RETRY_AFTER_LIMIT)


def unreachable(error: Exception, host: str) -> TransientError:
    """Return what a failure of the network, or of the HTTP client, means."""
    return TransientError(
        Reason.UNREACHABLE, f"ZITADEL at {host} was not reached: {_kind(error)}"
    )


def _kind(error: Exception) -> str:
    """Name a failure in words that stay the same over retries."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        if cause in causes or not isinstance(cause, Exception):
            break
        causes.append(cause)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "its certificate is not trusted"
    text = " ".join(str(cause) for cause in causes)
    if "refused" in text or "All connection attempts failed" in text:
        return "connection refused"
    if "Name or service not known" in text or "name resolution" in text:
        return "its name was not found"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    return "connection broken"


def _by_id(error: ErrorAnswer) -> OperatorError | None:
    if error.id:
        known = _IDS.get(error.id)
        return TerminalError(*known) if known else None
    if "QUERY-d3fas" in error.message:
        return TransientError(
            Reason.SERVER_ERROR, "ZITADEL cannot reach its database at this time"
        )
    if any(text in error.message for text in ("QUERY-1kIjX", "QUERY-IuGh1")):
        return TransientError(Reason.HOST_NOT_RECOGNIZED, _HOST_UNKNOWN)
    return None


def _by_code(error: ErrorAnswer, wait: float | None) -> OperatorError | None:
    if error.code == _UNKNOWN_CODE:
        return TerminalError(Reason.CREDENTIALS_REJECTED, _REJECTED)
    if error.code == _LIMITED_CODE:
        return limited(wait)
    if error.code in _SERVER_CODES:
        return _server_error(wait)
    if error.code == _REFUSED_CODE:
        return TerminalError(Reason.INSUFFICIENT_PERMISSIONS, _FORBIDDEN_TEXT)
    return None


def _by_status(status: int, wait: float | None) -> OperatorError | None:
    if status == _TOO_MANY:
        return limited(wait)
    if status >= _FIRST_SERVER_ERROR or status == _TIMED_OUT:
        return _server_error(wait)
    if status == _UNAUTHORIZED:
        return TerminalError(Reason.CREDENTIALS_REJECTED, _REJECTED)
    if status == _FORBIDDEN:
        return TerminalError(Reason.INSUFFICIENT_PERMISSIONS, _FORBIDDEN_TEXT)
    return None


def limited(wait: float | None) -> TransientError:
    """Return that fewer calls are asked for."""
    return TransientError(
        Reason.RATE_LIMITED,
        "ZITADEL, or a proxy before it, asks for fewer calls; they go on by themselves",
        wait,
    )


def _server_error(wait: float | None) -> TransientError:
    return TransientError(
        Reason.SERVER_ERROR,
        "ZITADEL, or a proxy before it, cannot serve at this time",
        wait,
    )
