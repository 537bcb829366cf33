"""The calls that this emulator answers: path, verb, permission, effect."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zitadel_notification_operator.emulator.answers import Refusal
from zitadel_notification_operator.emulator.zitadel import Zitadel

_BAD_INPUT = 3


@dataclass(frozen=True, slots=True)
class Context:
    """What a call knows once all checks have passed.

    Attributes:
        organization: Of the header, else of the token's user.
        editor: The user's id.
        body: The decoded JSON object.
        parts: What the path's placeholders matched.
    """

    zitadel: Zitadel
    organization: str
    editor: str
    body: dict[str, Any]
    parts: dict[str, str]

    @property
    def value(self) -> bool:
        """`passwordChange`; absent and null are false (proto3)."""
        return bool(self.body.get("passwordChange"))


Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call; `permission` None means public, but on a known host only."""

    method: str
    path: re.Pattern[str]
    permission: str | None
    act: Callable[[Context], Answer]


def decode(text: str) -> dict[str, Any]:
    """Decode a request body as the gateway does: before any other check of content.

    Raises:
        Refusal: 400, code 3, without details.
    """
    if not text.strip():
        return {}
    try:
        content, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except ValueError as error:
        raise Refusal(_BAD_INPUT, "unexpected EOF") from error
    if not isinstance(content, dict):
        token = text.strip()[:1]
        raise Refusal(_BAD_INPUT, f"proto: syntax error: unexpected token {token}")
    if "passwordChange" in content and "password_change" in content:
        raise Refusal(_BAD_INPUT, 'proto: duplicate field "passwordChange"')
    if "password_change" in content:
        content["passwordChange"] = content.pop("password_change")
    value = content.get("passwordChange")
    if value is not None and not isinstance(value, bool):
        text = (
            f"proto: invalid value for bool field passwordChange: {json.dumps(value)}"
        )
        raise Refusal(_BAD_INPUT, text)
    return content


def find(method: str, path: str) -> tuple[Call, dict[str, str]]:
    """Return the call and what its placeholders matched.

    Raises:
        Refusal: 404 for an unknown path, 405 for a known one with another verb.
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
        raise Refusal(12, "Method Not Allowed")
    raise Refusal(5, "Not Found")


def _ok(content: dict[str, Any]) -> Answer:
    return 200, content


def _create_v1(context: Context) -> Answer:
    org = context.zitadel.create_organization(
        str(context.body.get("name", "")), context.editor
    )
    details = context.zitadel.organization(org.id)["org"]["details"]
    details.pop("changeDate")
    return _ok({"id": org.id, "details": details})


def _create_v2(context: Context) -> Answer:
    org = context.zitadel.create_organization(
        str(context.body.get("name", "")),
        context.editor,
        str(context.body.get("orgId") or ""),
    )
    details = context.zitadel.organization(org.id)["org"]["details"]
    details.pop("creationDate")
    return 201, {"details": details, "organizationId": org.id}


def _change(kind: str) -> Callable[[Context], Answer]:
    def act(context: Context) -> Answer:
        org = context.parts.get("id") or context.organization
        return _ok(context.zitadel.change_organization(org, kind, context.editor))

    return act


def _write_instance(*, create: bool) -> Callable[[Context], Answer]:
    return lambda c: _ok(
        c.zitadel.write_instance_policy(c.editor, create=create, value=c.value)
    )


def _write(*, create: bool) -> Callable[[Context], Answer]:
    return lambda c: _ok(
        c.zitadel.write_policy(c.organization, c.editor, create=create, value=c.value)
    )


def _call(
    method: str, path: str, permission: str | None, act: Callable[[Context], Answer]
) -> Call:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return Call(method, re.compile(pattern), permission, act)


_ADMIN = "/admin/v1/policies/notification"
_ORG = "/management/v1/policies/notification"
_DEFAULT = "/management/v1/policies/default/notification"
_ME = "/management/v1/orgs/me"

CALLS = (
    _call("GET", "/admin/v1/healthz", None, lambda _: _ok({})),
    _call("GET", "/management/v1/healthz", None, lambda _: _ok({})),
    _call("GET", _ADMIN, "iam.policy.read", lambda c: _ok(c.zitadel.instance_policy())),
    _call("PUT", _ADMIN, "iam.policy.write", _write_instance(create=False)),
    _call("POST", _ADMIN, "iam.policy.write", _write_instance(create=True)),
    _call("GET", _ORG, "policy.read", lambda c: _ok(c.zitadel.policy(c.organization))),
    _call("GET", _DEFAULT, "policy.read", lambda c: _ok(c.zitadel.instance_policy())),
    _call("PUT", _ORG, "policy.write", _write(create=False)),
    _call("POST", _ORG, "policy.write", _write(create=True)),
    _call(
        "DELETE",
        _ORG,
        "policy.delete",
        lambda c: _ok(c.zitadel.reset_policy(c.organization, c.editor)),
    ),
    _call(
        "GET", _ME, "org.read", lambda c: _ok(c.zitadel.organization(c.organization))
    ),
    _call("DELETE", _ME, "org.delete", _change("removed")),
    _call("POST", _ME + "/_deactivate", "org.write", _change("deactivated")),
    _call("POST", _ME + "/_reactivate", "org.write", _change("reactivated")),
    _call("POST", "/management/v1/orgs", "org.create", _create_v1),
    _call("POST", "/v2/organizations", "org.create", _create_v2),
    _call(
        "GET",
        "/admin/v1/orgs/{id}",
        "iam.read",
        lambda c: _ok(c.zitadel.organization(c.parts["id"])),
    ),
    _call("DELETE", "/admin/v1/orgs/{id}", "org.delete", _change("removed")),
    _call(
        "GET", "/admin/v1/instances/me", "iam.read", lambda c: _ok(c.zitadel.instance())
    ),
)
