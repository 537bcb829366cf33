"""Organizations by state: making, deactivating and removing them.

Source: ZITADEL: `internal/command/org.go`, `internal/query/org.go`.
"""

from typing import Any

from zitadel_notification_operator.emulator.answers import (
    BAD_INPUT,
    EXISTS,
    NOT_FOUND,
    PRECONDITION,
    Refusal,
    lean,
    shown,
)
from zitadel_notification_operator.emulator.events import Command, Event, EventLog
from zitadel_notification_operator.emulator.hosts import EXTERNAL_DOMAIN
from zitadel_notification_operator.emulator.projections import (
    Organization,
    State,
    organization,
)

FIRST_ORGANIZATION = 280000000000000101
_LONGEST_NAME = 200


class Organizations:
    """All organizations of the instance."""

    def __init__(self, log: EventLog, default: str) -> None:
        """Start without organizations.

        Args:
            log: Where everything is written.
            default: The id of the one that cannot be removed.
        """
        self._log = log
        self._default = default
        self._made = 0
        # ZITADEL: a unique constraint on lower-cased names; removal gives them back.
        self._names: set[str] = set()

    def get(self, org: str) -> Organization | None:
        """Return an organization, removed ones too; None when it never was."""
        return organization(self._log.of(org))

    def exists(self, org: str) -> bool:
        """Return whether any event of it exists, removed or not."""
        return any(event.type == "org.added" for event in self._log.of(org)[:1])

    def all(self) -> list[Organization]:
        """Return all that are not removed, oldest first."""
        ids = (event.aggregate for event in self._log.all if event.type == "org.added")
        found = (self.get(org) for org in ids)
        return [org for org in found if org and not org.removed]

    def show(self, org: str) -> dict[str, Any]:
        """GET orgs/me and admin orgs/{id}; a removed one lacks `state`.

        Raises:
            Refusal: It never was (`QUERY-leq5Q`).
        """
        found = self.get(org)
        if found is None:
            raise Refusal(NOT_FOUND, "Organisation not found", "QUERY-leq5Q")
        fields = {
            "id": org,
            "details": shown(found.created, found.changed),
            "state": found.state.value,
            "name": found.name,
            "primaryDomain": found.primary_domain,
        }
        return {"org": lean(fields)}

    def create(
        self, name: str, editor: str = "", wanted_id: str = "", owner: str = ""
    ) -> Event:
        """POST /management/v1/orgs and /v2/organizations.

        Args:
            name: Unique in the instance, whatever the case.
            editor: Who makes it.
            wanted_id: Only v2 lets one choose; counted up from the first when empty.
            owner: The user who becomes ORG_OWNER; nobody when empty.

        Raises:
            Refusal: The name is empty or too long; name or id is taken.
        """
        if not 1 <= len(name) <= _LONGEST_NAME:
            text = "invalid AddOrgRequest.Name: value length must be between 1 and 200"
            raise Refusal(BAD_INPUT, f"{text} runes, inclusive")
        if name.lower() in self._names or self._log.of(wanted_id):
            text = "Organisation's name or id already taken"
            raise Refusal(EXISTS, text, "V3-DKcYh")
        self._names.add(name.lower())
        domain = f"{'-'.join(name.lower().split())}.{EXTERNAL_DOMAIN}"
        commands: list[Command] = [
            ("org.added", {"name": name}),
            ("org.domain.added", {"domain": domain}),
            ("org.domain.verified", {"domain": domain}),
            ("org.domain.primary.set", {"domain": domain}),
        ]
        if owner:
            payload = {"userId": owner, "roles": ["ORG_OWNER"]}
            commands.append(("org.member.added", payload))
        return self._log.push(wanted_id or self._next_id(), editor, *commands)

    def deactivate(self, org: str, editor: str = "") -> Event:
        """POST /management/v1/orgs/me/_deactivate.

        Raises:
            Refusal: Removed or unknown; inactive already.
        """
        if self._living(org, "ORG-oL9nT").state is State.INACTIVE:
            text = "Organisation is already deactivated"
            raise Refusal(PRECONDITION, text, "EVENT-Dbs2g")
        return self._log.push(org, editor, ("org.deactivated", {}))

    def reactivate(self, org: str, editor: str = "") -> Event:
        """POST /management/v1/orgs/me/_reactivate.

        Raises:
            Refusal: Removed or unknown; active already.
        """
        if self._living(org, "ORG-Dgf3g").state is State.ACTIVE:
            text = "Organisation is already active"
            raise Refusal(PRECONDITION, text, "EVENT-bfnrh")
        return self._log.push(org, editor, ("org.reactivated", {}))

    def remove(self, org: str, editor: str = "") -> Event:
        """DELETE /admin/v1/orgs/{id} and /management/v1/orgs/me.

        Raises:
            Refusal: It is the default one, removed or unknown.
        """
        if org == self._default:
            text = "Default Organization must not be deleted"
            raise Refusal(PRECONDITION, text, "COMMA-wG9p1")
        found = self._living(org, "COMMA-aps2n")
        self._names.discard(found.name.lower())
        return self._log.push(org, editor, ("org.removed", {}))

    def _living(self, org: str, error_id: str) -> Organization:
        found = self.get(org)
        if found is None or found.removed:
            raise Refusal(NOT_FOUND, "Organisation not found", error_id)
        return found

    def _next_id(self) -> str:
        self._made += 1
        return str(FIRST_ORGANIZATION + self._made - 1)
