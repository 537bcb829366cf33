"""Memberships, which give users roles in an organization or in the whole instance.

ZITADEL stores them as events of the organization or the instance. This module keeps
the current memberships in memory and updates them with each event, so that no call has
to read the whole log.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from .answers import BAD_INPUT, EXISTS, Refusal
from .events import Event, EventLog
from .permissions import PERMISSIONS

_ADDED = (".member.added", ".member.changed")


@dataclass(frozen=True, slots=True)
class Membership:
    """One user's roles in one organization or in the instance.

    Attributes:
        user: The id of the user.
        aggregate: The id of the organization or the instance.
        roles: The names of the roles, in the order of the event.
        created: The event that created the membership.
        changed: The last event about it.
    """

    user: str
    aggregate: str
    roles: tuple[str, ...]
    created: Event
    changed: Event


class Members:
    """All current memberships.

    Attributes:
        changed: The time of the last event about any membership; None before the first.
    """

    def __init__(self, log: EventLog, instance: str) -> None:
        """Follow an event log.

        Args:
            log: The event log, which every change is written to.
            instance: The id of the instance, for instance-wide memberships.
        """
        self._log = log
        self._instance = instance
        self._of: dict[str, dict[str, Membership]] = {}
        self.changed: datetime | None = None
        log.subscribe(self._follow)

    def roles(self, user: str, organization: str) -> tuple[str, ...]:
        """Return a user's roles in the context of an organization.

        They include the instance-wide roles. As in ZITADEL, the removal of an
        organization ends its own memberships only.
        """
        return self._roles(user, organization) + self.instance_roles(user)

    def instance_roles(self, user: str) -> tuple[str, ...]:
        """Return the instance-wide roles of a user."""
        return self._roles(user, self._instance)

    def of_user(self, user: str) -> list[Membership]:
        """Return a user's memberships; the one in the instance comes last."""
        found = [by_user[user] for by_user in self._of.values() if user in by_user]
        return sorted(found, key=lambda m: m.aggregate == self._instance)

    def add(
        self, aggregate: str, user: str, roles: Collection[str], editor: str
    ) -> Event:
        """Give an existing user roles in an organization or in the instance.

        ZITADEL: POST /management/v1/orgs/me/members, POST /admin/v1/members. No
        recording confirms the error ids used here.

        Raises:
            Refusal: There is no role, or an unknown one, or the user is already a
                member.
        """
        if not roles or not set(roles) <= PERMISSIONS.keys():
            raise Refusal(BAD_INPUT, "Errors.Org.MemberInvalid", "Org-W8m4l")
        if self._roles(user, aggregate):
            raise Refusal(EXISTS, "Errors.Org.Member.AlreadyExists", "Org-PtXi1")
        kind = "instance" if aggregate == self._instance else "org"
        payload = {"userId": user, "roles": sorted(roles)}
        return self._log.push(aggregate, editor, (f"{kind}.member.added", payload))

    def replace(self, aggregate: str, user: str, roles: Collection[str]) -> Event:
        """Set a user's roles in an organization or in the instance.

        They replace all earlier ones. Empty `roles` end the membership.

        Raises:
            Refusal: A role is unknown.
        """
        if not set(roles) <= PERMISSIONS.keys():
            raise Refusal(BAD_INPUT, "Errors.Org.MemberInvalid", "Org-LiaZi")
        kind = "instance" if aggregate == self._instance else "org"
        payload: dict[str, object] = {"userId": user}
        act = "removed"
        if roles:
            act = "changed" if self._roles(user, aggregate) else "added"
            payload["roles"] = sorted(roles)
        return self._log.push(aggregate, "", (f"{kind}.member.{act}", payload))

    def _roles(self, user: str, aggregate: str) -> tuple[str, ...]:
        found = self._of.get(aggregate, {}).get(user)
        return found.roles if found else ()

    def _follow(self, event: Event) -> None:
        if event.type == "org.removed":
            self._of.pop(event.aggregate, None)
        elif event.type.endswith(_ADDED):
            user = event.payload["userId"]
            members = self._of.setdefault(event.aggregate, {})
            created = members[user].created if user in members else event
            roles = tuple(event.payload["roles"])
            members[user] = Membership(user, event.aggregate, roles, created, event)
        elif event.type.endswith(".member.removed"):
            self._of.get(event.aggregate, {}).pop(event.payload["userId"], None)
        else:
            return
        self.changed = event.time
