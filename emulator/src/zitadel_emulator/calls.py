"""The table of supported calls: verb, path, permission, fields and implementation."""

import re
from dataclasses import dataclass

from . import effects, event_search, searches
from .answers import NOT_FOUND, UNIMPLEMENTED, Refusal
from .messages import Fields, Kind, Shape

PUBLIC = "public"
"""Permission of calls that need no token; the host must still be a known one."""

AUTHENTICATED = "authenticated"
"""Permission of calls that accept any valid token (ZITADEL: `authenticated`)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One supported call.

    Attributes:
        permission: A permission of ZITADEL, `PUBLIC` or `AUTHENTICATED`.
        fields: The fields of the request message.
        writes_policy: Whether the message is a policy. Its fields then come from
            `Zitadel.fields_of_policy`, because the control path can add flags while
            the server runs.
    """

    method: str
    path: re.Pattern[str]
    permission: str
    act: effects.Act
    fields: Fields
    writes_policy: bool = False

    @property
    def reads_body(self) -> bool:
        """Whether the body is decoded; GET and DELETE ignore it, even if malformed."""
        return self.method in {"POST", "PUT"}


def find(method: str, path: str) -> tuple[Call, dict[str, str]]:
    """Return the call for a request, and the values of the path's placeholders.

    Raises:
        Refusal: The path is unknown (404), or it does not have this verb (405).
    """
    known = False
    for call in CALLS:
        matched = call.path.fullmatch(path)
        if matched is None:
            continue
        known = True
        if call.method == method:
            return call, matched.groupdict()
    if known:
        raise Refusal(UNIMPLEMENTED, "Method Not Allowed", status=405)
    raise Refusal(NOT_FOUND, "Not Found")


def _call(
    method: str, path: str, permission: str, act: effects.Act, **fields: Shape
) -> Call:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return Call(method, re.compile(pattern), permission, act, fields)


def _policy_call(method: str, path: str, permission: str, act: effects.Act) -> Call:
    return Call(method, re.compile(path), permission, act, {}, writes_policy=True)


_ADMIN = "/admin/v1/policies/notification"
_ORG = "/management/v1/policies/notification"
_DEFAULT = "/management/v1/policies/default/notification"
_ME = "/management/v1/orgs/me"
_ADMIN_ORG = "/admin/v1/orgs/{id}"
_USERS = "/management/v1/users"
_MEMBER = {"userId": Kind.TEXT, "roles": Kind.TEXTS}
_MACHINE = {"userName": Kind.TEXT, "name": Kind.TEXT}


CALLS = (
    _call("GET", "/admin/v1/healthz", PUBLIC, effects.healthz),
    _call("GET", "/management/v1/healthz", PUBLIC, effects.healthz),
    _call("GET", _ADMIN, "iam.policy.read", effects.show_default),
    _policy_call("PUT", _ADMIN, "iam.policy.write", effects.change_default),
    _policy_call("POST", _ADMIN, "iam.policy.write", effects.add_default),
    _call("GET", _ORG, "policy.read", effects.show),
    _call("GET", _DEFAULT, "policy.read", effects.show_default),
    _policy_call("PUT", _ORG, "policy.write", effects.change),
    _policy_call("POST", _ORG, "policy.write", effects.add),
    _call("DELETE", _ORG, "policy.delete", effects.reset),
    _call("GET", _ME, "org.read", effects.show_org),
    _call("PUT", _ME, "org.write", effects.rename, name=Kind.TEXT),
    _call("DELETE", _ME, "org.delete", effects.remove),
    _call("POST", _ME + "/_deactivate", "org.write", effects.deactivate),
    _call("POST", _ME + "/_reactivate", "org.write", effects.reactivate),
    _call("POST", _ME + "/members", "org.member.write", effects.add_member, **_MEMBER),
    _call(
        "POST", "/management/v1/orgs", "org.create", effects.create_v1, name=Kind.TEXT
    ),
    _call(
        "POST",
        "/v2/organizations",
        "org.create",
        effects.create_v2,
        name=Kind.TEXT,
        orgId=Kind.TEXT,
    ),
    _call("GET", "/admin/v1/orgs/default", "iam.read", effects.default_org),
    _call("GET", _ADMIN_ORG, "iam.read", effects.show_org),
    _call("DELETE", _ADMIN_ORG, "iam.write", effects.remove),
    _call(
        "POST",
        "/admin/v1/members",
        "iam.member.write",
        effects.add_instance_member,
        **_MEMBER,
    ),
    _call("GET", "/admin/v1/instances/me", "iam.read", effects.show_instance),
    _call("POST", _USERS + "/machine", "user.write", effects.add_machine, **_MACHINE),
    _call(
        "POST",
        _USERS + "/{user}/pats",
        "user.write",
        effects.add_token,
        expirationDate=Kind.MOMENT,
    ),
    _call(
        "DELETE", _USERS + "/{user}/pats/{token}", "user.write", effects.remove_token
    ),
    _call(
        "POST",
        _USERS + "/{user}/keys",
        "user.write",
        effects.add_key,
        expirationDate=Kind.MOMENT,
    ),
    _call("DELETE", _USERS + "/{user}/keys/{key}", "user.write", effects.remove_key),
    _call("PUT", _USERS + "/{user}/secret", "user.write", effects.set_secret),
    _call("DELETE", _USERS + "/{user}/secret", "user.write", effects.remove_secret),
    _call(
        "POST",
        _USERS + "/{user}/_deactivate",
        "user.write",
        effects.set_user(active=False),
    ),
    _call(
        "POST",
        _USERS + "/{user}/_reactivate",
        "user.write",
        effects.set_user(active=True),
    ),
    _call("GET", "/auth/v1/users/me", AUTHENTICATED, effects.me),
    _call(
        "POST",
        "/admin/v1/orgs/_search",
        "iam.read",
        searches.organizations_v1,
        **searches.V1_FIELDS,
    ),
    _call(
        "POST",
        "/v2/organizations/_search",
        AUTHENTICATED,
        searches.organizations_v2,
        **searches.V2_FIELDS,
    ),
    _call(
        "GET",
        "/management/v1/global/orgs/_by_domain",
        "org.global.read",
        searches.by_domain,
        domain=Kind.TEXT,
    ),
    _call(
        "POST",
        "/auth/v1/memberships/me/_search",
        AUTHENTICATED,
        searches.memberships,
        **searches.MEMBERSHIP_FIELDS,
    ),
    _call(
        "POST",
        "/auth/v1/permissions/zitadel/me/_search",
        AUTHENTICATED,
        searches.permissions,
    ),
    _call(
        "POST",
        "/admin/v1/events/_search",
        "events.read",
        event_search.events,
        **event_search.FIELDS,
    ),
)
