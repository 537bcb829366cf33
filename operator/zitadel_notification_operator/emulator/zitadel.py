"""What the calls do: rules by state, as ZITADEL's commands and queries have them."""

from typing import Any

from zitadel_notification_operator.emulator.access import INSTANCE, Access, User
from zitadel_notification_operator.emulator.answers import Refusal, lean, timestamp
from zitadel_notification_operator.emulator.events import Event, EventLog
from zitadel_notification_operator.emulator.projections import (
    INSTANCE_POLICY,
    ORG_POLICY,
    Organization,
    Policy,
    organization,
    shown_policy,
    written_policy,
)

INSTANCE_ID = "280000000000000001"
CREDENTIAL_ORGANIZATION = "280000000000000002"
FIRST_ORGANIZATION = 280000000000000101
NAMES = ("ACME", "Globex")
VERSION = "v4.7.0"

_NOT_CHANGED, _EXISTS, _MISSING, _QUERY = 9, 6, 5, "QUERY-x0so2p"


class Zitadel:
    """One instance: its log, its users, and the calls' effects."""

    def __init__(self, token: str, organizations: int = 2) -> None:
        """Set up an instance with a default policy and some organizations.

        Args:
            token: A personal access token of an IAM_OWNER.
            organizations: How many besides the credential's own.
        """
        self.log = EventLog()
        self.access = Access()
        self.removed: set[str] = set()
        self.domains = {"localhost", "127.0.0.1", "::1"}
        self.database_down = False
        self._next = FIRST_ORGANIZATION
        self.log.append(INSTANCE_ID, "instance.added")
        self.log.append(INSTANCE_ID, "instance.domain.added")
        self.log.append(INSTANCE_ID, INSTANCE_POLICY + "added", passwordChange=True)
        self._add_organization("ZITADEL", CREDENTIAL_ORGANIZATION)
        for number in range(organizations):
            name = (
                NAMES[number] if number < len(NAMES) else f"Organization {number + 1}"
            )
            self._add_organization(name, self._new_id())
        self.add_token(token, {INSTANCE: {"IAM_OWNER"}})

    def add_token(
        self,
        token: str,
        roles: dict[str, set[str]],
        home: str = CREDENTIAL_ORGANIZATION,
    ) -> User:
        """Make a service user with a token and roles; return the user.

        Args:
            token: The personal access token.
            roles: Role names by organization id; `access.INSTANCE` for the instance.
            home: The organization that owns the user.
        """
        user = User(f"user-{token[:8]}", home, roles)
        self.access.add(token, user)
        return user

    def organizations(self) -> list[Organization]:
        """Return all organizations that are not removed, oldest first."""
        ids = dict.fromkeys(e.aggregate for e in self.log.all if e.type == "org.added")
        found = (organization(self.log.of(org)) for org in ids)
        return [org for org in found if org and not org.removed]

    def exists(self, org: str) -> bool:
        """Return whether any event of this organization exists, removed or not."""
        return any(e.type == "org.added" for e in self.log.of(org)[:1])

    def instance_policy(self) -> dict[str, Any]:
        """GET /admin/v1/policies/notification, and the default through management."""
        policy = written_policy(self.log.of(INSTANCE_ID), INSTANCE_POLICY)
        if policy is None:
            raise Refusal(_MISSING, "Errors.NotificationPolicy.NotFound", _QUERY)
        return _shown(policy, is_default=True)

    def write_instance_policy(
        self, editor: str, *, create: bool, value: bool
    ) -> dict[str, Any]:
        """POST and PUT /admin/v1/policies/notification."""
        policy = written_policy(self.log.of(INSTANCE_ID), INSTANCE_POLICY)
        if create:
            if policy is not None:
                text = "Errors.Instance.NotificationPolicy.AlreadyExists"
                raise Refusal(_EXISTS, text, "INSTANCE-xpo1bj")
            return self._push(
                INSTANCE_ID, INSTANCE_POLICY + "added", editor, value=value
            )
        if policy is None:
            text = "Default Notification Policy not found"
            raise Refusal(_MISSING, text, "INSTANCE-x891na")
        if policy.password_change is value:
            text = "Default Notification Policy not changed"
            raise Refusal(_NOT_CHANGED, text, "INSTANCE-29x02n")
        return self._push(INSTANCE_ID, INSTANCE_POLICY + "changed", editor, value=value)

    def drop_instance_policy(self) -> None:
        """Make an instance older than the feature: no call of ZITADEL does this."""
        self.log.append(INSTANCE_ID, INSTANCE_POLICY + "removed")

    def policy(self, org: str) -> dict[str, Any]:
        """GET /management/v1/policies/notification."""
        own = shown_policy(self.log.of(org), ORG_POLICY)
        return self.instance_policy() if own is None else _shown(own, is_default=False)

    def write_policy(
        self, org: str, editor: str, *, create: bool, value: bool
    ) -> dict[str, Any]:
        """POST and PUT /management/v1/policies/notification."""
        own = written_policy(self.log.of(org), ORG_POLICY)
        if create:
            if own is not None:
                text = "Notification Policy already exists"
                raise Refusal(_EXISTS, text, "Org-xa08n2")
            return self._push(org, ORG_POLICY + "added", editor, value=value)
        if own is None:
            raise Refusal(_MISSING, "Notification Policy not found", "ORG-x029n3")
        if own.password_change is value:
            text = "Notification Policy not changed"
            raise Refusal(_NOT_CHANGED, text, "Org-ioqnxz")
        return self._push(org, ORG_POLICY + "changed", editor, value=value)

    def reset_policy(self, org: str, editor: str) -> dict[str, Any]:
        """DELETE /management/v1/policies/notification."""
        if written_policy(self.log.of(org), ORG_POLICY) is None:
            raise Refusal(_MISSING, "Notification Policy not found", "ORG-x029n1s")
        return _done(self.log.append(org, ORG_POLICY + "removed", editor))

    def organization(self, org: str) -> dict[str, Any]:
        """GET orgs/me and admin orgs/{id}; a removed one lacks `state`."""
        found = organization(self.log.of(org))
        if found is None:
            raise Refusal(_MISSING, "Organisation not found", "QUERY-leq5Q")
        details = {
            "sequence": str(found.changed.sequence),
            "creationDate": timestamp(found.created.time),
            "changeDate": timestamp(found.changed.time),
            "resourceOwner": org,
        }
        fields = {"id": org, "details": details, "state": found.state}
        if not found.removed:
            fields["name"] = found.name
            fields["primaryDomain"] = _domain(found.name)
        return {"org": lean(fields)}

    def create_organization(
        self, name: str, editor: str, wanted_id: str = ""
    ) -> Organization:
        """POST /management/v1/orgs and /v2/organizations."""
        taken = {org.name.lower() for org in self.organizations()}
        if name.lower() in taken or (wanted_id and self.exists(wanted_id)):
            text = "Organisation's name or id already taken"
            raise Refusal(_EXISTS, text, "V3-DKcYh")
        return self._add_organization(name, wanted_id or self._new_id(), editor)

    def change_organization(self, org: str, kind: str, editor: str) -> dict[str, Any]:
        """Deactivate, reactivate or remove; `kind` is the event's last word."""
        answer = _done(self.log.append(org, f"org.{kind}", editor))
        if kind == "removed":
            self.removed.add(org)
            # What is left of it belongs to the instance (seen on a real server).
            answer["details"]["resourceOwner"] = INSTANCE_ID
        return answer

    def instance(self) -> dict[str, Any]:
        """GET /admin/v1/instances/me."""
        events = self.log.of(INSTANCE_ID)
        details = {
            "sequence": str(events[-1].sequence),
            "creationDate": timestamp(events[0].time),
            "changeDate": timestamp(events[0].time),
            "resourceOwner": INSTANCE_ID,
        }
        domain = {"details": details, "domain": "localhost", "primary": True}
        fields = {
            "id": INSTANCE_ID,
            "details": details,
            "state": "STATE_RUNNING",
            "name": "emulator",
            "version": VERSION,
            "domains": [domain],
        }
        return {"instance": fields}

    def _push(
        self, aggregate: str, kind: str, editor: str, *, value: bool
    ) -> dict[str, Any]:
        event = self.log.append(aggregate, kind, editor, passwordChange=value)
        return _made(event) if kind.endswith("added") else _done(event)

    def _new_id(self) -> str:
        self._next += 1
        return str(self._next - 1)

    def _add_organization(self, name: str, org: str, editor: str = "") -> Organization:
        self.log.append(org, "org.added", editor, name=name)
        for kind in ("domain.added", "domain.verified", "domain.primary.set"):
            event = self.log.append(org, f"org.{kind}", editor)
        return Organization(org, name, "ORG_STATE_ACTIVE", event, event)


def _shown(policy: Policy, *, is_default: bool) -> dict[str, Any]:
    fields = {
        "details": policy.details(),
        "isDefault": is_default,
        "passwordChange": policy.password_change,
    }
    return {"policy": lean(fields)}


def _made(event: Event) -> dict[str, Any]:
    return {
        "details": {
            "sequence": str(event.sequence),
            "creationDate": timestamp(event.time),
            "resourceOwner": event.aggregate,
        }
    }


def _done(event: Event) -> dict[str, Any]:
    return {
        "details": {
            "sequence": str(event.sequence),
            "changeDate": timestamp(event.time),
            "resourceOwner": event.aggregate,
        }
    }


def _domain(name: str) -> str:
    return "-".join(name.lower().split()) + ".localhost"
