"""One ZITADEL instance, which sets up and holds all of its parts."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from . import policies
from .access import INSTANCE, Access, Token, User
from .answers import shown
from .behavior import Behavior
from .clock import MovableClock
from .directory import Directory, Page
from .events import Clock, Event, EventLog, utc_now
from .history import History
from .hosts import EXTERNAL_DOMAIN
from .keys import Keys
from .messages import Kind
from .organizations import Organizations
from .projections import INSTANCE_POLICY, Organization
from .read_side import ReadSide

INSTANCE_ID = "280000000000000001"
CREDENTIAL_ORGANIZATION = "280000000000000002"
CREDENTIAL_NAME = "Emulator Machine"
NAMES = ("ACME", "Globex")
VERSION = "v4.7.0"

_GENERATED_DOMAIN = f"zitadel-emulator.{EXTERNAL_DOMAIN}"


class Zitadel:
    """One instance.

    Attributes:
        log: All events.
        access: The users, their tokens and their memberships.
        keys: The keys and client secrets of the users.
        orgs: The organizations.
        directory: The organizations as searches show them.
        history: The event log as the search for events shows it.
        read_side: The policies as GETs show them.
        clock: The time that passes for all of its parts; tests may move it ahead.
        domains: The hosts that it accepts, without ports and brackets.
        secure: Whether its URLs begin with https (ZITADEL: `ExternalSecure`).
        database_down: Whether it behaves as if its database were down.
        policy_flags: The flags that a policy has besides `passwordChange`: their type
            (`BOOL`, `TEXT` or `UINT64`) by lowerCamel name.
        behavior: The other switches.
        anew: Returns an instance as this one was when it was set up.
    """

    def __init__(
        self,
        token: str,
        organizations: int = 2,
        clock: Clock = utc_now,
        domains: Collection[str] = (),
        policy_flags: Mapping[str, Kind] | None = None,
    ) -> None:
        """Set up an instance with a default policy and some organizations.

        Args:
            token: The personal access token of an IAM_OWNER.
            organizations: How many organizations to create besides the credential's
                own.
            clock: Returns the current time, for events and the expiration of tokens.
            domains: More hosts that it accepts, without ports.
            policy_flags: The flags of a policy besides `passwordChange`, by name.
        """
        flags = dict(policy_flags or {})
        self.anew: Callable[[], Zitadel] = partial(
            Zitadel, token, organizations, clock, tuple(domains), flags
        )
        self.behavior = Behavior()
        self.clock = MovableClock(clock)
        self.log = EventLog(self.now, self._transaction)
        self.history = History(self.log, self._event_lag)
        self.read_side = ReadSide(self.log, self.clock, lambda: self.behavior)
        self.access = Access(self.log, INSTANCE_ID)
        self.keys = Keys(self.log, self.access)
        self.directory = Directory(self.log)
        self.orgs = Organizations(self.log, CREDENTIAL_ORGANIZATION)
        self.domains = {EXTERNAL_DOMAIN, _GENERATED_DOMAIN, "127.0.0.1", "::1"}
        self.secure = False
        self.database_down = False
        self.policy_flags = dict(flags)
        self.log.push(
            INSTANCE_ID,
            "",
            ("instance.added", {"name": "emulator"}),
            ("instance.default.org.set", {"orgId": CREDENTIAL_ORGANIZATION}),
            (INSTANCE_POLICY + "added", {"passwordChange": True}),
            ("instance.domain.added", {"domain": _GENERATED_DOMAIN, "generated": True}),
            ("instance.domain.added", {"domain": EXTERNAL_DOMAIN}),
            ("instance.domain.primary.set", {"domain": EXTERNAL_DOMAIN}),
        )
        self.orgs.create("ZITADEL", wanted_id=CREDENTIAL_ORGANIZATION)
        for number in range(organizations):
            known = number < len(NAMES)
            self.orgs.create(NAMES[number] if known else f"Organization {number + 1}")
        # ZITADEL: the user who sets up an instance is the owner of the instance and of
        # its first organization.
        roles = {INSTANCE: {"IAM_OWNER"}, CREDENTIAL_ORGANIZATION: {"ORG_OWNER"}}
        self.add_token(token, roles, name=CREDENTIAL_NAME)
        # This makes the directory process the set-up events now. Otherwise a lag that
        # is switched on later would hide them from searches.
        self.directory.search((), Page())
        for domain in domains:
            self.add_domain(domain)

    def add_token(
        self,
        token: str,
        roles: Mapping[str, Collection[str]],
        home: str = CREDENTIAL_ORGANIZATION,
        *,
        expiration: str = "",
        name: str = "",
    ) -> Token:
        """Create a service user with a personal access token and roles.

        Args:
            token: The text of the token; generated if empty.
            roles: Role names by organization id; the key `access.INSTANCE` is for
                instance-wide roles.
            home: The id of the organization that owns the user.
            expiration: When the token expires, in RFC 3339; empty means the year 9999.
            name: The user's name.

        Raises:
            Refusal: A role is unknown, or the expiration is in the past.
            ValueError: Another token that is still valid has this text.
        """
        user = self.add_user(roles, home, name=name)
        return self.access.add_token(user.id, "", expiration, token)[0]

    def add_user(
        self,
        roles: Mapping[str, Collection[str]],
        home: str = CREDENTIAL_ORGANIZATION,
        *,
        name: str = "",
        user_name: str = "",
    ) -> User:
        """Create a service user with roles.

        Args:
            roles: Role names by organization id; the key `access.INSTANCE` is for
                instance-wide roles.
            home: The id of the organization that owns the user.
            name: The display name.
            user_name: The login name; if empty, a unique one is made from the name.

        Raises:
            Refusal: A role is unknown, or the user name is taken.
        """
        wanted = user_name or (name or "machine").lower().replace(" ", "-")
        if not user_name and self.access.named(wanted):
            wanted = f"{wanted}-{len(self.access.all()) + 1}"
        user_id = self.access.add_user(home, wanted, name, "").aggregate
        for where, names in roles.items():
            self.access.add_member(where or INSTANCE_ID, user_id, names, "")
        return self.access.known(user_id)

    def add_domain(self, domain: str) -> None:
        """Make the instance accept requests for one more host, given without a port."""
        if domain not in self.domains:
            self.domains.add(domain)
            command = ("instance.domain.added", {"domain": domain})
            self.log.push(INSTANCE_ID, "", command)

    def now(self) -> datetime:
        """Return the current time by this server's clock, which may have a skew."""
        skew = timedelta(milliseconds=self.behavior.clock_skew_milliseconds)
        return self.clock() + skew

    @property
    def search_lag(self) -> int:
        """How far searches for organizations lag behind, in milliseconds."""
        return self.behavior.search_lag_milliseconds

    @property
    def outage(self) -> str:
        """How calls fail because the database is down; empty while it is up."""
        return self.behavior.database_error if self.database_down else ""

    @property
    def fields_of_policy(self) -> Mapping[str, Kind]:
        """The types of all current fields of a policy, by lowerCamel name."""
        return {"passwordChange": Kind.BOOL, **self.policy_flags}

    @property
    def instance_name(self) -> str:
        """The name of the instance."""
        return str(self.log.of(INSTANCE_ID)[0].payload["name"])

    def organizations(self) -> list[Organization]:
        """Return all organizations that are not removed, oldest first."""
        return self.orgs.all()

    def change_organization(self, org: str, kind: str, editor: str = "") -> Event:
        """Remove, deactivate or reactivate an organization.

        Args:
            org: The id of the organization.
            kind: `removed`, `deactivated` or `reactivated`.
            editor: The id of the user who makes the change.

        Raises:
            Refusal: ZITADEL's call for this would fail.
        """
        acts = {
            "removed": self.orgs.remove,
            "deactivated": self.orgs.deactivate,
            "reactivated": self.orgs.reactivate,
        }
        return acts[kind](org, editor)

    def switch(self, behavior: Behavior) -> None:
        """Set all switches.

        The read side first processes what it may process by the old switches, and then
        what it may process by the new ones.
        """
        self.read_side.catch_up()
        self.behavior = behavior
        self.read_side.catch_up()

    def drop_instance_policy(self) -> None:
        """Delete the instance's policy, as in an instance older than the feature.

        No call of ZITADEL does this.
        """
        self.log.forget(INSTANCE_ID, INSTANCE_POLICY)
        self.read_side.forget(INSTANCE_ID)

    def instance_policy(self) -> dict[str, Any]:
        """Return the answer to a GET of the instance's policy.

        This is GET /admin/v1/policies/notification and GET
        /management/v1/policies/default/notification.

        Raises:
            Refusal: There is no policy (`QUERY-x0so2p`), or the read side fails.
        """
        return self._read(INSTANCE_ID)

    def policy(self, org: str) -> dict[str, Any]:
        """Return the answer to a GET of an organization's policy.

        This is GET /management/v1/policies/notification. It shows the instance's policy
        if the organization has none.

        Raises:
            Refusal: There is neither (`QUERY-x0so2p`), or the read side fails.
        """
        return self._read(org)

    def instance(self) -> dict[str, Any]:
        """Return the answer to GET /admin/v1/instances/me."""
        events = self.log.of(INSTANCE_ID)
        details = shown(events[0], events[0])
        domains = [
            {"details": details, **e.payload}
            for e in events
            if e.type == "instance.domain.added"
        ]
        primary = next(e for e in events if e.type == "instance.domain.primary.set")
        for domain in domains:
            if domain["domain"] == primary.payload["domain"]:
                domain["primary"] = True
        return {
            "instance": {
                "id": INSTANCE_ID,
                "details": details,
                "state": "STATE_RUNNING",
                "name": self.instance_name,
                "version": VERSION,
                "domains": domains,
            }
        }

    def show_user(self, user: User) -> dict[str, Any]:
        """Return the answer to GET /auth/v1/users/me."""
        return {
            "user": {
                "id": user.id,
                "details": shown(user.created, user.changed),
                "state": "USER_STATE_ACTIVE",
                "userName": user.user_name,
                "loginNames": [user.user_name],
                "preferredLoginName": user.user_name,
                "machine": {"name": user.name},
            }
        }

    def _event_lag(self) -> timedelta:
        return timedelta(milliseconds=self.behavior.event_lag_milliseconds)

    def _transaction(self) -> timedelta:
        return timedelta(milliseconds=self.behavior.transaction_milliseconds)

    def _read(self, owner: str) -> dict[str, Any]:
        policy, is_default = self.read_side.policy(owner, INSTANCE_ID)
        answer = policies.show(policy, self.fields_of_policy, is_default=is_default)
        if self.behavior.extra_fields:
            answer["policy"]["emailChange"] = True
            answer["policy"]["details"]["future"] = {"field": "1"}
        return answer
