"""The one place where ZITADEL's refusals become ours.

By error id first, then by the gRPC code in the body, then by HTTP status: HTTP's 404
has five unrelated meanings, its 400 three. What `core.policy.Answer` can say is a
fact and no error (`*_FACTS`). Failures of the transport: `unreachable`.

    what                                         becomes
    AUTH-Bs7Ds                                   Terminal  OrganizationNotFound
    AUTH-5mWD2, AUTHZ-cdgFk                      Terminal  InsufficientPermissions
    EXEC-* (Actions v2), not with a 5xx          Terminal  RequestRefused
    QUERY-1kIjX, QUERY-IuGh1 in the text         Transient HostNotRecognized
    QUERY-d3fas in the text (its database)       Transient ServerError
    code 16 / 401                                Terminal  CredentialsRejected
    code 7                                       Terminal  InsufficientPermissions
    code 8 / 429                                 Transient RateLimited
    codes 1, 2, 4, 10, 13, 14, 15 / 408, 5xx     Transient ServerError
    codes 3, 6, 9, 11 / 400                      Terminal  RequestRefused
    all else, above all any other 404            Transient UnexpectedAnswer
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import ValidationError

from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.policy import Answer
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.calls import Call, Reply
from zitadel_notification_operator.zitadel.excerpt import excerpt_of
from zitadel_notification_operator.zitadel.models import ErrorReply

ORGANIZATION_UNKNOWN = "AUTH-Bs7Ds"

OBSERVE_FACTS: Mapping[str, Answer] = MappingProxyType(
    {"QUERY-x0so2p": Answer.NOT_FOUND}
)
WRITE_FACTS: Mapping[str, Answer] = MappingProxyType(
    {
        "Org-ioqnxz": Answer.NOT_CHANGED,
        "INSTANCE-29x02n": Answer.NOT_CHANGED,
        "Org-xa08n2": Answer.ALREADY_EXISTS,
        "INSTANCE-xpo1bj": Answer.ALREADY_EXISTS,
        "ORG-x029n3": Answer.NOT_FOUND,
        "INSTANCE-x891na": Answer.NOT_FOUND,
    }
)
NO_ROLE_FACTS: Mapping[str, Answer] = MappingProxyType(
    {"AUTHZ-cdgFk": Answer.NOT_FOUND}
)
RESET_FACTS: Mapping[str, Answer] = MappingProxyType(
    {
        "ORG-x029n1s": Answer.NOT_FOUND,
        ORGANIZATION_UNKNOWN: Answer.ORGANIZATION_GONE,
    }
)

_NO_PERMISSION = {"AUTH-5mWD2", "AUTHZ-cdgFk"}
_WRONG_HOST = ("QUERY-1kIjX", "QUERY-IuGh1")
_DATABASE_DOWN = "QUERY-d3fas"
_ACTION = "EXEC-"

# gRPC's own numbers (google.rpc.Code).
_PERMISSION_DENIED, _RESOURCE_EXHAUSTED, _UNAUTHENTICATED = 7, 8, 16
_CODES_OF_SERVERS = {1, 2, 4, 10, 13, 14, 15}
_CODES_OF_CALLS = {3, 6, 9, 11}
_CODES = range(1, 17)

_BAD_REQUEST, _UNAUTHORIZED, _TIMEOUT, _TOO_MANY = 400, 401, 408, 429
_REDIRECTS = range(300, 400)
_SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than 200, read as far as it can be.

    Attributes:
        status: HTTP's.
        id: ZITADEL's error id; empty where its body names none.
        code: gRPC's; None where the body is not ZITADEL's.
        text: Its message, or what else the body holds; not yet fit to be shown.
    """

    status: int
    id: str
    code: int | None
    text: bytes | str


def refusal_of(reply: Reply) -> Refusal:
    """Read an answer other than 200; any body will do."""
    try:
        error = ErrorReply.model_validate_json(reply.body)
    except ValidationError:
        return Refusal(reply.status, "", None, reply.body)
    ids = [detail.id for detail in error.details if detail.id]
    code = error.code if error.code in _CODES else None
    return Refusal(reply.status, ids[0] if ids else "", code, error.message)


def is_rejection(refusal: Refusal) -> bool:
    """Return whether the credential itself was refused: nothing was done."""
    if refusal.code is None:
        return refusal.status == _UNAUTHORIZED
    return refusal.code == _UNAUTHENTICATED


def trouble_of(
    refusal: Refusal, call: Call, host: str, token: str, retry_after: float | None
) -> OperatorError:
    """Return the error that a refusal is.

    Args:
        refusal: What ZITADEL, or somebody before it, answered.
        call: What was asked; messages name the organization it concerns.
        host: The name that ZITADEL looked its instance up by.
        token: Hidden wherever the text repeats it.
        retry_after: Seconds that the answer asks us to wait, if it does.
    """
    return (
        _by_id(refusal, call, token)
        or _by_id_in_text(refusal, host)
        or _by_code(refusal, call, token, retry_after)
        or unexpected(call, refusal.status, refusal.text, token)
    )


def trouble_in_text(text: str, host: str) -> OperatorError | None:
    """Map what fails before ZITADEL knows its instance: it sends no details then.

    Args:
        text: The message of the API, or the plain text of other endpoints.
        host: The name that ZITADEL looked its instance up by.
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
    """Return the error for an answer that is not one of ZITADEL's.

    Args:
        call: What was asked.
        status: HTTP's.
        text: The body, or ZITADEL's message in it; a few words of it are shown.
        token: Hidden wherever the text repeats it.
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


def organization_missing(organization_id: str | None, what: str) -> TerminalError:
    """Return the error for an organization that is not there.

    Args:
        organization_id: The one asked for; None: the credential's own.
        what: The rest of the sentence, such as `has been removed`.
    """
    name = _name(organization_id)
    return TerminalError(
        Reason.ORGANIZATION_NOT_FOUND, f"{name[0].upper()}{name[1:]} {what}"
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
    if refusal.id or refusal.code is None or not isinstance(refusal.text, str):
        return None
    return trouble_in_text(refusal.text, host)


def _by_code(
    refusal: Refusal, call: Call, token: str, retry_after: float | None
) -> OperatorError | None:
    """Map what has no known id; an HTTP status speaks only where no code does."""
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
        # No text: it is where request ids and times are.
        return TransientError(
            Reason.SERVER_ERROR,
            f"ZITADEL, or a proxy before it, cannot serve now: {_numbers(refusal)}",
            retry_after,
        )
    if code in _CODES_OF_CALLS or status == _BAD_REQUEST:
        return _refused(refusal, call, token)
    return None


def _refused(refusal: Refusal, call: Call, token: str) -> TerminalError:
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
