"""The one place that maps ZITADEL's refusals to the operator's errors.

The error id decides first, then the gRPC code in the body, then the HTTP status,
because HTTP's 404 has five unrelated meanings and its 400 has three. Anything that
`core.policy.Answer` can express is a fact and not an error (`*_FACTS`). Failures of the
transport are mapped in `unreachable`.

    what                                         becomes
    AUTH-Bs7Ds                                   Terminal  OrganizationNotFound, as
                                                     NoOrganization
    AUTH-5mWD2, AUTHZ-cdgFk                      Terminal  InsufficientPermissions
    QUERY-4M0fs, code 3 that mentions a limit    Terminal  RequestRefused, as
        (both only for a paged search)               PageTooLarge
    EXEC-* (Actions v2), not with a 5xx          Terminal  RequestRefused
    QUERY-1kIjX, QUERY-IuGh1, also in the text   Transient HostNotRecognized
    QUERY-d3fas, also in the text (database)     Transient ServerError
    CRDB-pKtsr, also in the text, 5xx of a GET   Transient UnexpectedAnswer, as
        of a policy                                  ReadSideBusy
    code 16 / 401                                Terminal  CredentialsRejected
    code 7                                       Terminal  InsufficientPermissions
    code 8 / 429                                 Transient RateLimited
    of a policy call: code 12, or 404, 405,      Transient UnexpectedAnswer, as
        410, 501 without a known id                  ApiMissing
    codes 1, 2, 4, 10, 13, 14, 15 / 408, 5xx     Transient ServerError
    codes 3, 6, 9, 11 / 400                      Terminal  RequestRefused
    all else, above all any other 404            Transient UnexpectedAnswer
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from zitadel_notification_operator.core.errors import (
    ApiMissing,
    NoOrganization,
    OperatorError,
    PageTooLarge,
    ReadSideBusy,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.policy import WriteOutcome
from zitadel_notification_operator.core.reasons import Reason

from .calls import Call, Reply
from .excerpt import excerpt_of
from .models import ErrorReply

ORGANIZATION_UNKNOWN = "AUTH-Bs7Ds"

Facts = Mapping[str, WriteOutcome]
"""Error ids that are returned as facts instead of being raised."""

OBSERVE_FACTS: Facts = {"QUERY-x0so2p": WriteOutcome.NOT_FOUND}
WRITE_FACTS: Facts = {
    "Org-ioqnxz": WriteOutcome.NOT_CHANGED,
    "INSTANCE-29x02n": WriteOutcome.NOT_CHANGED,
    "Org-xa08n2": WriteOutcome.ALREADY_EXISTS,
    "INSTANCE-xpo1bj": WriteOutcome.ALREADY_EXISTS,
    "ORG-x029n3": WriteOutcome.NOT_FOUND,
    "INSTANCE-x891na": WriteOutcome.NOT_FOUND,
}
NO_ROLE_FACTS: Facts = {"AUTHZ-cdgFk": WriteOutcome.NOT_FOUND}
RESET_FACTS: Facts = {
    "ORG-x029n1s": WriteOutcome.NOT_FOUND,
    ORGANIZATION_UNKNOWN: WriteOutcome.ORGANIZATION_GONE,
}

_LIMIT_REFUSED = "QUERY-4M0fs"
_INVALID_ARGUMENT = 3
_NO_PERMISSION = {"AUTH-5mWD2", "AUTHZ-cdgFk"}
_WRONG_HOST = ("QUERY-1kIjX", "QUERY-IuGh1")
_DATABASE_DOWN = "QUERY-d3fas"
_READ_SIDE_BUSY = "CRDB-pKtsr"
_ACTION = "EXEC-"

_KNOWN = {
    *(*OBSERVE_FACTS, *WRITE_FACTS, *NO_ROLE_FACTS, *RESET_FACTS),
    *(*_NO_PERMISSION, *_WRONG_HOST, _DATABASE_DOWN, _READ_SIDE_BUSY),
}

# gRPC's codes (google.rpc.Code).
_PERMISSION_DENIED, _RESOURCE_EXHAUSTED, _UNAUTHENTICATED = 7, 8, 16
_CODES_OF_SERVERS = {1, 2, 4, 10, 13, 14, 15}
_CODES_OF_CALLS = {3, 6, 9, 11}
_CODES = range(1, 17)

_NOT_FOUND, _UNIMPLEMENTED = 5, 12
_STATUSES_OF_NO_CALL = {404, 405, 410, 501}

_BAD_REQUEST, _UNAUTHORIZED, _TIMEOUT, _TOO_MANY = 400, 401, 408, 429
_WANTS_TLS = re.compile(r"HTTP request (?:was sent )?to (?:an )?HTTPS", re.IGNORECASE)
"""How servers in Go, and nginx, answer plain HTTP where they expect TLS."""
_REDIRECTS = range(300, 400)
_SERVER_ERRORS = range(500, 600)

_GAVE_UP_WAITING = {502, 504, 520, 524}
"""Statuses of a proxy that has forwarded the request. The last two are Cloudflare's."""

_RESET_BEFORE_HEADERS = "reset before headers"
_NOT_SENT = ("connection failure", "connection timeout", "overflow")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than 200, parsed as far as possible.

    Attributes:
        status: The HTTP status.
        id: ZITADEL's error id; empty if the body has none.
        code: The gRPC code; None if the body is not ZITADEL's.
        text: ZITADEL's message, or otherwise the body. It is not safe to show as it is.
    """

    status: int
    id: str
    code: int | None
    text: str


def refusal_of(reply: Reply) -> Refusal:
    """Parse an answer other than 200. Any body is accepted."""
    try:
        error = ErrorReply.model_validate_json(reply.body)
    except ValidationError:
        return Refusal(reply.status, "", None, reply.body.decode(errors="replace"))
    known = [name for name in error.ids if name in _KNOWN or name.startswith(_ACTION)]
    id_ = next(iter([*known, *error.ids]), "")
    code = error.code if error.code in _CODES else None
    return Refusal(reply.status, id_, code, error.message)


def is_rejection(refusal: Refusal) -> bool:
    """Return whether the credential itself was refused, so that nothing was done."""
    if refusal.code is None:
        return refusal.status == _UNAUTHORIZED
    return refusal.code == _UNAUTHENTICATED


def leaves_open(refusal: Refusal) -> bool:
    """Return whether ZITADEL may still have applied a write, or may yet apply it.

    That is possible if a proxy gave up waiting for ZITADEL's answer, but not if ZITADEL
    itself has answered: with code 4, it has kept to the limit that it was given. Envoy
    answers 503 both for a connection that ended during the request and for one that was
    never established. The reason in its text tells them apart.
    """
    if refusal.code is not None:
        return False
    if refusal.status in _GAVE_UP_WAITING:
        return True
    return (
        refusal.status in _SERVER_ERRORS
        and _RESET_BEFORE_HEADERS in refusal.text
        and not any(reason in refusal.text for reason in _NOT_SENT)
    )


def failure_of(
    refusal: Refusal, call: Call, host: str, token: str, retry_after: float | None
) -> OperatorError:
    """Return the error for a refusal.

    Args:
        refusal: The answer of ZITADEL, or of a proxy before it.
        call: The call that was refused. Messages name the organization it concerns.
        host: The host name by which ZITADEL looked up its instance.
        token: The token of the call, which is masked wherever the text repeats it.
        retry_after: Seconds that the answer asks us to wait, if it does.
    """
    if call.paged and _is_about_limit(refusal):
        return too_large(call, f"was refused its limit with {_numbers(refusal)}")
    return (
        _by_id(refusal, call, token)
        or _by_id_in_text(refusal, host)
        or _read_side_busy(refusal, call)
        or _missing(refusal, call, token)
        or _by_code(refusal, call, token, retry_after)
        or unexpected(call, refusal.status, refusal.text, token)
    )


def failure_in_text(text: str, host: str) -> OperatorError | None:
    """Return the error for a failure before ZITADEL knows its instance, if it is one.

    Such answers have no `details`, so the error id is searched in the text.

    Args:
        text: The message of the API or its error id, or the plain text of other
            endpoints.
        host: The host name by which ZITADEL looked up its instance.
    """
    if _DATABASE_DOWN in text:
        return TransientError(Reason.SERVER_ERROR, "ZITADEL cannot reach its database")
    if any(id_ in text for id_ in _WRONG_HOST):
        return TransientError(
            Reason.HOST_NOT_RECOGNIZED,
            f"A ZITADEL answers, but it serves no instance for the host {host}; set "
            "spec.externalDomain to the external domain of ZITADEL",
        )
    return None


def unexpected(
    call: Call, status: int, text: bytes | str, token: str
) -> TransientError:
    """Return the error for an answer that ZITADEL would not give.

    Args:
        call: The call that was answered.
        status: The HTTP status.
        text: The body, or ZITADEL's message in it. The error shows a short excerpt.
        token: The token of the call, which is masked wherever the text repeats it.
    """
    if status in _REDIRECTS:
        return TransientError(
            Reason.UNEXPECTED_ANSWER,
            f"{call} was answered with a redirect (HTTP {status}), which is never "
            "followed; set spec.url to where ZITADEL itself answers",
        )
    return TransientError(
        Reason.UNEXPECTED_ANSWER,
        f"{call} was answered with HTTP {status} and not as ZITADEL does: ",
        excerpt=excerpt_of(text, token),
    )


def too_large(call: Call, what: str) -> PageTooLarge:
    """Return the error for a search that asked for too many rows.

    Args:
        call: The search.
        what: The rest of the sentence.
    """
    return PageTooLarge(
        Reason.REQUEST_REFUSED, f"{call} {what}; fewer rows are asked for at once"
    )


def organization_missing(organization_id: str | None, what: str) -> NoOrganization:
    """Return the error for an organization that does not exist.

    Args:
        organization_id: The requested id; None for the credential's own organization.
        what: The rest of the sentence, such as `has been removed`.
    """
    name = _name(organization_id)
    return NoOrganization(f"{name[0].upper()}{name[1:]} {what}")


def _is_about_limit(refusal: Refusal) -> bool:
    """Return whether ZITADEL refuses the number of rows.

    ZITADEL checks requests in two places. One has an error id, the other only names the
    field (`invalid ListEventsRequest.Limit: value must be less than or equal to 100`).
    """
    if refusal.id:
        return refusal.id == _LIMIT_REFUSED
    return refusal.code == _INVALID_ARGUMENT and (
        _LIMIT_REFUSED in refusal.text or "limit" in refusal.text.lower()
    )


def _by_id(refusal: Refusal, call: Call, token: str) -> OperatorError | None:
    if refusal.id == ORGANIZATION_UNKNOWN:
        return organization_missing(
            call.organization_id, "is not known to this ZITADEL"
        )
    if refusal.id in _NO_PERMISSION:
        return _forbidden(call)
    if refusal.id.startswith(_ACTION) and refusal.status not in _SERVER_ERRORS:
        return _refused(refusal, call, token)
    return None


def _by_id_in_text(refusal: Refusal, host: str) -> OperatorError | None:
    """Map errors that newer versions name in `details`, older ones only in the text."""
    if refusal.code is None:
        return None
    return failure_in_text(f"{refusal.id} {refusal.text}", host)


def _read_side_busy(refusal: Refusal, call: Call) -> ReadSideBusy | None:
    """Map the failure of the projection that GETs of policies are answered from.

    The id is in `details` or, if another error wraps it, only in the text. It would
    mean something else in the answer to a write, because writes do not read the
    projection.
    """
    if not call.reads_policy or refusal.status not in _SERVER_ERRORS:
        return None
    if _READ_SIDE_BUSY not in f"{refusal.id} {refusal.text}":
        return None
    # `_numbers` will not do: it shows the first id, which may differ from try to try.
    return ReadSideBusy(
        f"{call} was answered with HTTP {refusal.status}, {_READ_SIDE_BUSY}"
    )


def _missing(refusal: Refusal, call: Call, token: str) -> ApiMissing | None:
    """Map the answers of a ZITADEL without these calls, which others may give, too.

    A known error id proves that the call exists, even if the call should not give it.
    """
    known = refusal.id in _KNOWN or refusal.id.startswith(_ACTION)
    if not call.concerns_policy or known:
        return None
    spoken = refusal.code in {None, _NOT_FOUND, _UNIMPLEMENTED}
    by_status = spoken and refusal.status in _STATUSES_OF_NO_CALL
    if not by_status and refusal.code != _UNIMPLEMENTED:
        return None
    failure = unexpected(call, refusal.status, refusal.text, token)
    return ApiMissing(failure, f"{call} was answered with {_numbers(refusal)}")


def _by_code(
    refusal: Refusal, call: Call, token: str, retry_after: float | None
) -> OperatorError | None:
    """Map answers without a known id. The HTTP status counts only without a code."""
    code, status = refusal.code, refusal.status if refusal.code is None else None
    if is_rejection(refusal):
        return TerminalError(
            Reason.CREDENTIALS_REJECTED,
            "ZITADEL refused the credential: it is unknown, expired or revoked, or its "
            "service user is deactivated; store a valid one in the Secret",
        )
    if code == _PERMISSION_DENIED:
        return _forbidden(call)
    if code == _RESOURCE_EXHAUSTED or status == _TOO_MANY:
        return TransientError(
            Reason.RATE_LIMITED,
            "ZITADEL, or a proxy before it, asks for fewer calls; lower spec.rateLimit "
            "of the ZitadelInstance if this stays",
            retry_after,
        )
    if code in _CODES_OF_SERVERS or status == _TIMEOUT or status in _SERVER_ERRORS:
        # The text is left out, because it may contain request ids and times.
        return TransientError(
            Reason.SERVER_ERROR,
            f"ZITADEL, or a proxy before it, cannot serve now: {_numbers(refusal)}",
            retry_after,
        )
    if code in _CODES_OF_CALLS or status == _BAD_REQUEST:
        return _refused(refusal, call, token)
    return None


def _refused(refusal: Refusal, call: Call, token: str) -> OperatorError:
    if _WANTS_TLS.search(refusal.text):
        return TransientError(
            Reason.UNEXPECTED_ANSWER,
            "The server speaks TLS at this port; begin spec.url with https://",
        )
    who = "An action in ZITADEL" if refusal.id.startswith(_ACTION) else "ZITADEL"
    return TerminalError(
        Reason.REQUEST_REFUSED,
        f"{who} refused {call} with {_numbers(refusal)}: ",
        excerpt=excerpt_of(refusal.text, token),
    )


def _forbidden(call: Call) -> TerminalError:
    if call.concerns_instance:
        message = (
            "The credential may not manage the instance's notification policy; give "
            "its service user the role IAM_OWNER in the instance, no smaller one does"
        )
    else:
        message = (
            "The credential lacks a role for the notification policy of "
            f"{_name(call.organization_id)}; give its service user the role "
            "ORG_SETTINGS_MANAGER in that organization, or IAM_ORG_MANAGER in the "
            "instance"
        )
    return TerminalError(Reason.INSUFFICIENT_PERMISSIONS, message)


def _numbers(refusal: Refusal) -> str:
    parts = [f"HTTP {refusal.status}"]
    if refusal.code is not None:
        parts.append(f"code {refusal.code}")
    if refusal.id:
        parts.append(refusal.id)
    return ", ".join(parts)


def _name(organization_id: str | None) -> str:
    if organization_id is None:
        return "the credential's own organization"
    return f"organization {organization_id}"
