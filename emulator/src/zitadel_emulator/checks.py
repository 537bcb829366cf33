"""ZITADEL's checks in ZITADEL's order: the first one that fails gives the answer.

Source: ZITADEL's gateway and interceptors. The order is: route 404 and 405,
Grpc-Timeout 400, JSON 400, host 404, blocked 429, token 401, organization 403,
membership 404, permission 403, then the call itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .access import User
from .answers import (
    EXHAUSTED,
    FORBIDDEN,
    NOT_FOUND,
    TOO_LATE,
    UNAUTHENTICATED,
    Refusal,
    Reply,
)
from .calls import AUTHENTICATED, PUBLIC, find
from .deadlines import HEADER, limit_of
from .effects import Context
from .hosts import check_host
from .messages import decode, from_query
from .permissions import may
from .zitadel import Zitadel

ORGANIZATION_HEADER = "x-zitadel-orgid"
_BEARER_PARTS = 2


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request whose body has been read completely.

    Attributes:
        path: The decoded path without the query.
        headers: The headers. Names match in any case; of several values the first
            counts.
        query: The decoded query parameters.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def organization(self) -> str:
        """The organization header without surrounding blanks; empty if absent."""
        return self.headers.get(ORGANIZATION_HEADER, "").strip()

    @property
    def limit(self) -> str:
        """The client's Grpc-Timeout header, not parsed yet; empty if absent."""
        return self.headers.get(HEADER, "").strip()


def answer(zitadel: Zitadel, request: Incoming) -> Reply:
    """Return ZITADEL's answer to an API call."""
    try:
        reply = _checked(zitadel, request)
    except Refusal as refusal:
        language = request.headers.get("Accept-Language", "")
        reply = refusal.reply(language, slugs=zitadel.behavior.error_slugs)
    if zitadel.behavior.deprecation:
        reply.headers["Deprecation"] = "true"
    return reply


def time_limit(request: Incoming) -> float | None:
    """Return how long a call may take, in seconds, or None if it has no limit.

    Only calls of the API have a limit. The result is also None for a malformed limit,
    because `answer` refuses such a call anyway.
    """
    try:
        find(request.method, request.path)
        return limit_of(request.limit)
    except Refusal:
        return None


def too_late() -> Reply:
    """Return the answer to a call that exceeded its time limit: 504, code 4."""
    return Refusal(TOO_LATE, "context deadline exceeded").reply()


def _checked(zitadel: Zitadel, request: Incoming) -> Reply:
    call, parts = find(request.method, request.path)
    limit_of(request.limit)
    fields = zitadel.fields_of_policy if call.writes_policy else call.fields
    message = (
        decode(request.body, fields)
        if call.reads_body
        else from_query(request.query, fields)
    )
    check_host(request.headers, zitadel.domains, gateway=True, outage=zitadel.outage)
    if zitadel.behavior.instance_blocked:
        raise Refusal(EXHAUSTED, "Errors.Limits.Instance.Blocked", "LIMITS-molsj")
    if call.permission == PUBLIC:
        return call.act(Context(zitadel, None, "", message, parts))
    user = _caller(zitadel, request.headers.get("Authorization"))
    org = _organization(zitadel, request, user)
    if call.permission != AUTHENTICATED:
        instance_wide = request.path.startswith("/admin/")
        _authorize(zitadel, user, org, call.permission, instance_wide=instance_wide)
    language = request.headers.get("Accept-Language", "")
    return call.act(Context(zitadel, user, org, message, parts, language))


def _caller(zitadel: Zitadel, header: str | None) -> User:
    if not header:
        raise Refusal(UNAUTHENTICATED, "auth header missing")
    parts = header.split(" ")
    if len(parts) != _BEARER_PARTS or parts[0] != "Bearer":
        raise Refusal(UNAUTHENTICATED, "invalid auth header", "AUTH-toLo1")
    user = zitadel.access.user(parts[1])
    if user is None:
        raise Refusal(UNAUTHENTICATED, "Errors.Token.Invalid", "AUTH-7fs1e")
    return user


def _organization(zitadel: Zitadel, request: Incoming, user: User) -> str:
    # v2 calls ignore the header; every v1 call checks that the organization exists.
    v2 = request.path.startswith("/v2/")
    org = (not v2 and request.organization) or user.organization
    if not zitadel.orgs.exists(org):
        raise Refusal(FORBIDDEN, "Organisation doesn't exist", "AUTH-Bs7Ds")
    return org


def _authorize(
    zitadel: Zitadel, user: User, org: str, permission: str, *, instance_wide: bool
) -> None:
    roles = zitadel.access.members.roles(user.id, org)
    if not roles:
        raise Refusal(NOT_FOUND, "membership not found", "AUTHZ-cdgFk")
    if instance_wide:
        # A membership in the organization passes the check above, but the roles of
        # organizations do not hold any `iam.*` permission.
        roles = zitadel.access.members.instance_roles(user.id)
    if not may(roles, permission):
        raise Refusal(FORBIDDEN, "No matching permissions found", "AUTH-5mWD2")
