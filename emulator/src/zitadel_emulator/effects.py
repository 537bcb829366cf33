"""The implementation of each call, which runs once all checks have passed."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import policies
from .access import User
from .answers import Reply, done, made, ok
from .messages import Kind
from .zitadel import INSTANCE_ID, Zitadel


@dataclass(frozen=True, slots=True)
class Context:
    """A request that has passed all checks.

    Attributes:
        user: The caller; None in public calls only.
        organization: The organization from the header, or else the one that owns the
            caller.
        message: The decoded request; unset and null fields are absent.
        parts: The values of the path's placeholders.
        language: The request's Accept-Language header.
    """

    zitadel: Zitadel
    user: User | None
    organization: str
    message: Mapping[str, Any]
    parts: Mapping[str, str]
    language: str = ""

    @property
    def editor(self) -> str:
        """The id of the caller; empty in public calls."""
        return self.user.id if self.user else ""

    @property
    def policy(self) -> Mapping[str, Any]:
        """All values of the policy to write; absent ones are zero values (proto3)."""
        zero = {Kind.BOOL: False, Kind.TEXT: "", Kind.UINT64: 0}
        known = self.zitadel.fields_of_policy
        return {name: self.message.get(name, zero[known[name]]) for name in known}

    def text(self, name: str) -> str:
        """Return a string field; empty if absent (proto3)."""
        return str(self.message.get(name, ""))


Act = Callable[[Context], Reply]


def show_default(c: Context) -> Reply:
    """Serve GET of /admin/v1/policies/notification and .../default/notification."""
    return ok(c.zitadel.instance_policy())


def show(c: Context) -> Reply:
    """Serve GET /management/v1/policies/notification: the own policy or the default."""
    return ok(c.zitadel.policy(c.organization))


def show_org(c: Context) -> Reply:
    """Serve GET /management/v1/orgs/me and /admin/v1/orgs/{id}."""
    return ok(c.zitadel.orgs.show(c.parts.get("id", c.organization)))


def show_instance(c: Context) -> Reply:
    """Serve GET /admin/v1/instances/me."""
    return ok(c.zitadel.instance())


def healthz(_: Context) -> Reply:
    """Serve GET /admin/v1/healthz and /management/v1/healthz."""
    return ok({})


def add_default(c: Context) -> Reply:
    """Serve POST /admin/v1/policies/notification; fails if there is a policy."""
    level = policies.INSTANCE_LEVEL
    event = policies.add(c.zitadel.log, level, INSTANCE_ID, c.editor, c.policy)
    return ok({"details": made(event)})


def change_default(c: Context) -> Reply:
    """Serve PUT /admin/v1/policies/notification."""
    level = policies.INSTANCE_LEVEL
    event = policies.change(c.zitadel.log, level, INSTANCE_ID, c.editor, c.policy)
    return ok({"details": done(event)})


def add(c: Context) -> Reply:
    """Serve POST /management/v1/policies/notification; fails if there is a policy."""
    log, org = c.zitadel.log, c.organization
    event = policies.add(log, policies.ORG, org, c.editor, c.policy)
    return ok({"details": made(event)})


def change(c: Context) -> Reply:
    """Serve PUT /management/v1/policies/notification; it never creates a policy."""
    log, org = c.zitadel.log, c.organization
    event = policies.change(log, policies.ORG, org, c.editor, c.policy)
    return ok({"details": done(event)})


def reset(c: Context) -> Reply:
    """Serve DELETE /management/v1/policies/notification: return to the default."""
    event = policies.reset(c.zitadel.log, c.organization, c.editor)
    return ok({"details": done(event)})


def create_v1(c: Context) -> Reply:
    """Serve POST /management/v1/orgs; the caller becomes its ORG_OWNER."""
    event = c.zitadel.orgs.create(c.text("name"), c.editor, owner=c.editor)
    return ok({"id": event.aggregate, "details": made(event)})


def create_v2(c: Context) -> Reply:
    """Serve POST /v2/organizations: answers 201, and the caller may choose the id."""
    # v2 does not make the caller a member, so the organization has one event less.
    event = c.zitadel.orgs.create(c.text("name"), c.editor, c.text("orgId"))
    content = {"details": done(event), "organizationId": event.aggregate}
    return ok(content, 201)


def rename(c: Context) -> Reply:
    """Serve PUT /management/v1/orgs/me, which changes the name."""
    event = c.zitadel.orgs.rename(c.organization, c.text("name"), c.editor)
    return ok({"details": done(event)})


def remove(c: Context) -> Reply:
    """Serve DELETE /admin/v1/orgs/{id} and /management/v1/orgs/me."""
    org = c.parts.get("id", c.organization)
    details = done(c.zitadel.orgs.remove(org, c.editor))
    # ZITADEL: the answer of RemoveOrg names the instance as the owner.
    return ok({"details": {**details, "resourceOwner": INSTANCE_ID}})


def deactivate(c: Context) -> Reply:
    """Serve POST /management/v1/orgs/me/_deactivate."""
    event = c.zitadel.orgs.deactivate(c.organization, c.editor)
    return ok({"details": done(event)})


def reactivate(c: Context) -> Reply:
    """Serve POST /management/v1/orgs/me/_reactivate."""
    event = c.zitadel.orgs.reactivate(c.organization, c.editor)
    return ok({"details": done(event)})


def default_org(c: Context) -> Reply:
    """Serve GET /admin/v1/orgs/default."""
    events = c.zitadel.log.of(INSTANCE_ID)
    found = next(e for e in events if e.type == "instance.default.org.set")
    return ok(c.zitadel.orgs.show(found.payload["orgId"]))


def add_machine(c: Context) -> Reply:
    """Serve POST /management/v1/users/machine, which creates a service user."""
    names = (c.text("userName"), c.text("name"))
    event = c.zitadel.access.add_user(c.organization, *names, c.editor)
    return ok({"userId": event.aggregate, "details": done(event)})


def add_member(c: Context) -> Reply:
    """Serve POST /management/v1/orgs/me/members."""
    return _member(c, c.organization)


def add_instance_member(c: Context) -> Reply:
    """Serve POST /admin/v1/members, which gives instance-wide roles."""
    return _member(c, INSTANCE_ID)


def _member(c: Context, where: str) -> Reply:
    roles = c.message.get("roles", [])
    event = c.zitadel.access.add_member(where, c.text("userId"), roles, c.editor)
    return ok({"details": made(event)})


def add_token(c: Context) -> Reply:
    """Serve POST /management/v1/users/{id}/pats."""
    end = c.text("expirationDate")
    token, event = c.zitadel.access.add_token(c.parts["user"], c.editor, end)
    return ok({"tokenId": token.id, "token": token.text, "details": made(event)})


def remove_token(c: Context) -> Reply:
    """Serve DELETE /management/v1/users/{id}/pats/{token}."""
    ids = (c.parts["user"], c.parts["token"])
    return ok({"details": done(c.zitadel.access.remove_token(*ids, c.editor))})


def add_key(c: Context) -> Reply:
    """Serve POST /management/v1/users/{id}/keys.

    The field `keyDetails` of the answer is the key file in base64.
    """
    end = c.text("expirationDate")
    key, event = c.zitadel.keys.add_key(c.parts["user"], c.editor, end)
    file = base64.b64encode(json.dumps(key.content).encode()).decode()
    return ok({"keyId": key.id, "keyDetails": file, "details": made(event)})


def remove_key(c: Context) -> Reply:
    """Serve DELETE /management/v1/users/{id}/keys/{key}."""
    ids = (c.parts["user"], c.parts["key"])
    return ok({"details": done(c.zitadel.keys.remove_key(*ids, c.editor))})


def set_secret(c: Context) -> Reply:
    """Serve PUT /management/v1/users/{id}/secret; the client id is the user name."""
    user = c.zitadel.access.known(c.parts["user"])
    secret, event = c.zitadel.keys.set_secret(user.id, c.editor)
    content = {"clientId": user.user_name, "clientSecret": secret}
    return ok({**content, "details": made(event)})


def remove_secret(c: Context) -> Reply:
    """Serve DELETE /management/v1/users/{id}/secret."""
    event = c.zitadel.keys.remove_secret(c.parts["user"], c.editor)
    return ok({"details": done(event)})


def set_user(*, active: bool) -> Act:
    """Return the implementation of POST .../users/{id}/_deactivate or _reactivate."""

    def act(c: Context) -> Reply:
        user = c.parts["user"]
        event = c.zitadel.access.set_active(user, c.editor, active=active)
        return ok({"details": done(event)})

    return act


def me(c: Context) -> Reply:
    """Serve GET /auth/v1/users/me."""
    return ok(c.zitadel.show_user(c.user) if c.user else {})
