"""What each call does, once all checks have passed."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zitadel_notification_operator.emulator import policies
from zitadel_notification_operator.emulator.access import User
from zitadel_notification_operator.emulator.answers import (
    Reply,
    done,
    made,
    ok,
)
from zitadel_notification_operator.emulator.zitadel import INSTANCE_ID, Zitadel


@dataclass(frozen=True, slots=True)
class Context:
    """What a call knows once all checks have passed.

    Attributes:
        user: Whose token it is; None in public calls only.
        organization: Of the header, else of the token's user.
        message: The decoded request; unset and null fields are absent.
        parts: What the path's placeholders matched.
        language: The request's Accept-Language.
    """

    zitadel: Zitadel
    user: User | None
    organization: str
    message: Mapping[str, Any]
    parts: Mapping[str, str]
    language: str = ""

    @property
    def editor(self) -> str:
        """The id of the caller."""
        return self.user.id if self.user else ""

    @property
    def value(self) -> bool:
        """`passwordChange`; absent is false (proto3)."""
        return bool(self.message.get("passwordChange"))

    def text(self, name: str) -> str:
        """Return a text field; absent is empty (proto3)."""
        return str(self.message.get(name, ""))


Act = Callable[[Context], Reply]


def show_default(c: Context) -> Reply:
    """GET /admin/v1/policies/notification, /management/v1/policies/default/..."""
    return ok(c.zitadel.instance_policy())


def show(c: Context) -> Reply:
    """GET /management/v1/policies/notification: its own, else the default."""
    return ok(c.zitadel.policy(c.organization))


def show_org(c: Context) -> Reply:
    """GET /management/v1/orgs/me and /admin/v1/orgs/{id}."""
    return ok(c.zitadel.orgs.show(c.parts.get("id", c.organization)))


def show_instance(c: Context) -> Reply:
    """GET /admin/v1/instances/me."""
    return ok(c.zitadel.instance())


def healthz(_: Context) -> Reply:
    """GET /admin/v1/healthz and /management/v1/healthz."""
    return ok({})


def add_default(c: Context) -> Reply:
    """POST /admin/v1/policies/notification: only where there is none."""
    level = policies.INSTANCE_LEVEL
    event = policies.add(c.zitadel.log, level, INSTANCE_ID, c.editor, value=c.value)
    return ok({"details": made(event)})


def change_default(c: Context) -> Reply:
    """PUT /admin/v1/policies/notification."""
    level = policies.INSTANCE_LEVEL
    event = policies.change(c.zitadel.log, level, INSTANCE_ID, c.editor, value=c.value)
    return ok({"details": done(event)})


def add(c: Context) -> Reply:
    """POST /management/v1/policies/notification."""
    log, org = c.zitadel.log, c.organization
    event = policies.add(log, policies.ORG, org, c.editor, value=c.value)
    return ok({"details": made(event)})


def change(c: Context) -> Reply:
    """PUT /management/v1/policies/notification: never creates."""
    log, org = c.zitadel.log, c.organization
    event = policies.change(log, policies.ORG, org, c.editor, value=c.value)
    return ok({"details": done(event)})


def reset(c: Context) -> Reply:
    """DELETE /management/v1/policies/notification: back to the default."""
    event = policies.reset(c.zitadel.log, c.organization, c.editor)
    return ok({"details": done(event)})


def create_v1(c: Context) -> Reply:
    """POST /management/v1/orgs: the caller becomes ORG_OWNER of it."""
    event = c.zitadel.orgs.create(c.text("name"), c.editor, owner=c.editor)
    return ok({"id": event.aggregate, "details": made(event)})


def create_v2(c: Context) -> Reply:
    """POST /v2/organizations: 201, and the creator may choose the id."""
    # v2 makes nobody a member of the new organization, so it has one event less.
    event = c.zitadel.orgs.create(c.text("name"), c.editor, c.text("orgId"))
    content = {"details": done(event), "organizationId": event.aggregate}
    return ok(content, 201)


def rename(c: Context) -> Reply:
    """PUT /management/v1/orgs/me."""
    event = c.zitadel.orgs.rename(c.organization, c.text("name"), c.editor)
    return ok({"details": done(event)})


def remove(c: Context) -> Reply:
    """DELETE /admin/v1/orgs/{id} and /management/v1/orgs/me."""
    org = c.parts.get("id", c.organization)
    details = done(c.zitadel.orgs.remove(org, c.editor))
    # ZITADEL: RemoveOrg names the instance as the owner, not the organization.
    return ok({"details": {**details, "resourceOwner": INSTANCE_ID}})


def deactivate(c: Context) -> Reply:
    """POST /management/v1/orgs/me/_deactivate."""
    event = c.zitadel.orgs.deactivate(c.organization, c.editor)
    return ok({"details": done(event)})


def reactivate(c: Context) -> Reply:
    """POST /management/v1/orgs/me/_reactivate."""
    event = c.zitadel.orgs.reactivate(c.organization, c.editor)
    return ok({"details": done(event)})


def default_org(c: Context) -> Reply:
    """GET /admin/v1/orgs/default."""
    events = c.zitadel.log.of(INSTANCE_ID)
    found = next(e for e in events if e.type == "instance.default.org.set")
    return ok(c.zitadel.orgs.show(found.payload["orgId"]))


def add_machine(c: Context) -> Reply:
    """POST /management/v1/users/machine."""
    names = (c.text("userName"), c.text("name"))
    event = c.zitadel.access.add_user(c.organization, *names, c.editor)
    return ok({"userId": event.aggregate, "details": done(event)})


def add_member(c: Context) -> Reply:
    """POST /management/v1/orgs/me/members."""
    return _member(c, c.organization)


def add_instance_member(c: Context) -> Reply:
    """POST /admin/v1/members."""
    return _member(c, INSTANCE_ID)


def _member(c: Context, where: str) -> Reply:
    roles = c.message.get("roles", [])
    event = c.zitadel.access.add_member(where, c.text("userId"), roles, c.editor)
    return ok({"details": made(event)})


def add_token(c: Context) -> Reply:
    """POST /management/v1/users/{id}/pats."""
    end = c.text("expirationDate")
    token, event = c.zitadel.access.add_token(c.parts["user"], c.editor, end)
    return ok({"tokenId": token.id, "token": token.text, "details": made(event)})


def remove_token(c: Context) -> Reply:
    """DELETE /management/v1/users/{id}/pats/{token}."""
    ids = (c.parts["user"], c.parts["token"])
    return ok({"details": done(c.zitadel.access.remove_token(*ids, c.editor))})


def add_key(c: Context) -> Reply:
    """POST /management/v1/users/{id}/keys: `keyDetails` is the key file in base64."""
    end = c.text("expirationDate")
    key, event = c.zitadel.keys.add_key(c.parts["user"], c.editor, end)
    file = base64.b64encode(json.dumps(key.content).encode()).decode()
    return ok({"keyId": key.id, "keyDetails": file, "details": made(event)})


def remove_key(c: Context) -> Reply:
    """DELETE /management/v1/users/{id}/keys/{key}."""
    ids = (c.parts["user"], c.parts["key"])
    return ok({"details": done(c.zitadel.keys.remove_key(*ids, c.editor))})


def set_secret(c: Context) -> Reply:
    """PUT /management/v1/users/{id}/secret: the client id is the user's name."""
    user = c.zitadel.access.known(c.parts["user"])
    secret, event = c.zitadel.keys.set_secret(user.id, c.editor)
    content = {"clientId": user.user_name, "clientSecret": secret}
    return ok({**content, "details": made(event)})


def remove_secret(c: Context) -> Reply:
    """DELETE /management/v1/users/{id}/secret."""
    event = c.zitadel.keys.remove_secret(c.parts["user"], c.editor)
    return ok({"details": done(event)})


def set_user(*, active: bool) -> Act:
    """POST /management/v1/users/{id}/_deactivate and _reactivate."""

    def act(c: Context) -> Reply:
        user = c.parts["user"]
        event = c.zitadel.access.set_active(user, c.editor, active=active)
        return ok({"details": done(event)})

    return act


def me(c: Context) -> Reply:
    """GET /auth/v1/users/me."""
    return ok(c.zitadel.show_user(c.user) if c.user else {})
