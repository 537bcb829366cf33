"""The calls on organizations: creating, renaming, deactivating and removing them.

Source: ZITADEL: `internal/command/org.go`, `internal/command/org_domain.go`,
`internal/query/org.go`.
"""

from typing import Any

from .answers import BAD_INPUT, EXISTS, NOT_FOUND, PRECONDITION, Refusal, lean, shown
from .events import Command, Event, EventLog
from .hosts import EXTERNAL_DOMAIN
from .projections import Organization, State, organization

FIRST_ORGANIZATION = 280000000000000101
_LONGEST_NAME = 200


class Organizations:
    """All organizations of the instance."""

    def __init__(self, log: EventLog, default: str) -> None:
        """Start without organizations.

        Args:
            log: The event log, which every change is written to.
            default: The id of the default organization, which cannot be removed.
        """
        self._log = log
        self._default = default
        self._made = 0
        # ZITADEL: a unique constraint on lower-cased names; a removed organization's
        # name can be used again.
        self._names: set[str] = set()
        # ZITADEL: a unique constraint on verified domains.
        self._domains: set[str] = set()

    def get(self, org: str) -> Organization | None:
        """Return an organization, even a removed one, or None if it never existed."""
        return organization(self._log.of(org))

    def exists(self, org: str) -> bool:
        """Return whether an organization exists or once existed."""
        return any(event.type == "org.added" for event in self._log.of(org)[:1])

    def all(self) -> list[Organization]:
        """Return all organizations that are not removed, oldest first."""
        ids = (event.aggregate for event in self._log.all if event.type == "org.added")
        found = (self.get(org) for org in ids)
        return [org for org in found if org and not org.removed]

    def show(self, org: str) -> dict[str, Any]:
        """Return the answer to GET orgs/me and orgs/{id}; removed ones have no `state`.

        Raises:
            Refusal: The organization never existed (`QUERY-leq5Q`).
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
        """Create an organization (POST /management/v1/orgs, POST /v2/organizations).

        Args:
            name: The name, unique in the instance without regard to case.
            editor: The id of the caller.
            wanted_id: The id of the new organization, which only v2 lets the caller
                choose; empty takes the next free number.
            owner: The id of the user who becomes ORG_OWNER; empty for none.

        Raises:
            Refusal: The name is empty or too long, or the name or the id is taken.
        """
        _check_name(name, "AddOrgRequest")
        if self._log.of(wanted_id):
            raise _taken()
        domain = self._claim(name)
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

    def rename(self, org: str, name: str, editor: str = "") -> Event:
        """Change the name and its generated domain (PUT /management/v1/orgs/me).

        ZITADEL: `changeDefaultDomain` adds the domain generated from the new name and
        removes the one from the old name. The new domain becomes the primary one if
        the old one was.

        Raises:
            Refusal: The organization is removed or unknown, or the new name is empty,
                too long, unchanged or taken.
        """
        _check_name(name, "UpdateOrgRequest")
        found = self._living(org, "ORG-1MRds")
        if found.name == name:
            raise Refusal(PRECONDITION, "Organisation not changed", "ORG-4VSdf")
        old, new = _domain_of(found.name), _domain_of(name)
        self._release(found)
        try:
            self._claim(name)
        except Refusal:
            self._hold(found)
            raise
        commands: list[Command] = [("org.changed", {"name": name})]
        if old in found.domains and old != new:
            commands += [
                ("org.domain.added", {"domain": new}),
                ("org.domain.verified", {"domain": new}),
            ]
            if old == found.primary_domain:
                commands.append(("org.domain.primary.set", {"domain": new}))
            commands.append(("org.domain.removed", {"domain": old}))
        return self._log.push(org, editor, *commands)

    def add_domain(
        self, org: str, domain: str, *, verified: bool = True, primary: bool = False
    ) -> Event:
        """Add a domain to an organization, for the control path.

        Args:
            org: The id of the organization.
            domain: The domain, such as `acme.example`.
            verified: Whether the domain is verified; searches ignore unverified ones.
            primary: Whether it becomes the primary domain, which answers show. An
                unverified domain cannot.

        Raises:
            Refusal: The organization is removed or unknown, or the domain is taken.
        """
        found = self._living(org, "COMMAND-4M0fs")
        if domain in self._domains or domain in found.domains:
            raise Refusal(EXISTS, "Errors.Org.Domain.AlreadyExists", "COMMA-Bd2jj")
        commands: list[Command] = [("org.domain.added", {"domain": domain})]
        if verified:
            self._domains.add(domain)
            commands.append(("org.domain.verified", {"domain": domain}))
        if verified and primary:
            commands.append(("org.domain.primary.set", {"domain": domain}))
        return self._log.push(org, "", *commands)

    def remove_domain(self, org: str, domain: str) -> Event:
        """Remove a verified domain from an organization, for the control path.

        Raises:
            Refusal: The organization is removed or unknown, it has no such domain, or
                the domain is its primary one.
        """
        found = self._living(org, "COMMAND-4M0fs")
        if domain not in found.domains:
            raise Refusal(NOT_FOUND, "Errors.Org.Domain.NotFound", "ORG-GDfA3")
        if domain == found.primary_domain:
            text = "Errors.Org.Domain.PrimaryNotDeletable"
            raise Refusal(PRECONDITION, text, "ORG-Sjdi3")
        self._domains.discard(domain)
        return self._log.push(org, "", ("org.domain.removed", {"domain": domain}))

    def deactivate(self, org: str, editor: str = "") -> Event:
        """Deactivate an organization (POST /management/v1/orgs/me/_deactivate).

        Raises:
            Refusal: The organization is removed, unknown or already inactive.
        """
        if self._living(org, "ORG-oL9nT").state is State.INACTIVE:
            text = "Organisation is already deactivated"
            raise Refusal(PRECONDITION, text, "EVENT-Dbs2g")
        return self._log.push(org, editor, ("org.deactivated", {}))

    def reactivate(self, org: str, editor: str = "") -> Event:
        """Reactivate an organization (POST /management/v1/orgs/me/_reactivate).

        Raises:
            Refusal: The organization is removed, unknown or already active.
        """
        if self._living(org, "ORG-Dgf3g").state is State.ACTIVE:
            text = "Organisation is already active"
            raise Refusal(PRECONDITION, text, "EVENT-bfnrh")
        return self._log.push(org, editor, ("org.reactivated", {}))

    def remove(self, org: str, editor: str = "") -> Event:
        """Remove an organization (DELETE /admin/v1/orgs/{id}, /management/v1/orgs/me).

        Raises:
            Refusal: The organization is the default one, already removed or unknown.
        """
        if org == self._default:
            text = "Default Organization must not be deleted"
            raise Refusal(PRECONDITION, text, "COMMA-wG9p1")
        found = self._living(org, "COMMA-aps2n")
        self._names.discard(found.name.lower())
        self._domains -= found.domains
        return self._log.push(org, editor, ("org.removed", {}))

    def _living(self, org: str, error_id: str) -> Organization:
        found = self.get(org)
        if found is None or found.removed:
            raise Refusal(NOT_FOUND, "Organisation not found", error_id)
        return found

    def _claim(self, name: str) -> str:
        """Reserve a name and the domain generated from it, and return that domain.

        Raises:
            Refusal: The name or the domain is taken.
        """
        domain = _domain_of(name)
        if name.lower() in self._names or domain in self._domains:
            raise _taken()
        self._names.add(name.lower())
        self._domains.add(domain)
        return domain

    def _release(self, org: Organization) -> None:
        self._names.discard(org.name.lower())
        self._domains -= org.domains & {_domain_of(org.name)}

    def _hold(self, org: Organization) -> None:
        self._names.add(org.name.lower())
        self._domains |= org.domains

    def _next_id(self) -> str:
        self._made += 1
        return str(FIRST_ORGANIZATION + self._made - 1)


def _check_name(name: str, request: str) -> None:
    if not 1 <= len(name) <= _LONGEST_NAME:
        text = f"invalid {request}.Name: value length must be between 1 and 200"
        raise Refusal(BAD_INPUT, f"{text} runes, inclusive")


def _taken() -> Refusal:
    return Refusal(EXISTS, "Organisation's name or id already taken", "V3-DKcYh")


def _domain_of(name: str) -> str:
    return f"{'-'.join(name.lower().split())}.{EXTERNAL_DOMAIN}"
