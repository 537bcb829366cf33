"""One ZITADEL instance: its set-up, its switches, and the way to all of its parts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zitadel_notification_operator.emulator import policies
from zitadel_notification_operator.emulator.access import INSTANCE, Access, Token, User
from zitadel_notification_operator.emulator.answers import UNKNOWN, Refusal, shown
from zitadel_notification_operator.emulator.directory import Directory, Page
from zitadel_notification_operator.emulator.events import (
    Clock,
    Event,
    EventLog,
    utc_now,
)
from zitadel_notification_operator.emulator.history import History
from zitadel_notification_operator.emulator.hosts import EXTERNAL_DOMAIN
from zitadel_notification_operator.emulator.keys import Keys
from zitadel_notification_operator.emulator.organizations import Organizations
from zitadel_notification_operator.emulator.projections import (
    INSTANCE_POLICY,
    ORG_POLICY,
    Organization,
    shown_policy,
)

INSTANCE_ID = "280000000000000001"
CREDENTIAL_ORGANIZATION = "280000000000000002"
CREDENTIAL_NAME = "Emulator Machine"
NAMES = ("ACME", "Globex")
VERSION = "v4.7.0"
TOKEN_ERRORS = ("server_error", "invalid_grant", "invalid_client")
"""How builds of ZITADEL refuse a bad assertion, oldest first."""

TOKEN_LIFETIME = 43_199
"""Seconds; ZITADEL: `OIDC.DefaultAccessTokenLifetime` is 12 h, floored in answers."""

_GENERATED_DOMAIN = f"zitadel-emulator.{EXTERNAL_DOMAIN}"


@dataclass(slots=True)
class Behavior:
    """What a server may also do; all of it is off at the start.

    Attributes:
        stale_reads: So many GETs of policies are one write behind; counted down.
        stale_milliseconds: GETs of policies do not see writes younger than that.
        projection_broken: GETs of policies fail: 500, code 2.
        extra_fields: Answers to GETs of policies and to searches for events hold
            fields that no one knows.
        deprecation: API answers carry a `Deprecation` header.
        search_lag_milliseconds: Searches for organizations do not know what is
            younger than that.
        token_errors: How bad assertions are refused: `server_error` (500, v4 up to
            spring 2026), `invalid_grant` or `invalid_client` (400, newer).
        token_lifetime: Seconds until an access token is refused.
        instance_blocked: All calls are refused with 429, the token endpoint's as text.
        event_retention_seconds: Searches for events do not know what is as old as
            that; 0 is no end (ZITADEL: `AuditLogRetention`).
        event_lag_milliseconds: What is written now becomes visible to searches for
            events so much later, with the time of its writing.
        clock_skew_milliseconds: The server's clock is so far ahead; below 0 behind.
    """

    stale_reads: int = 0
    stale_milliseconds: int = 0
    projection_broken: bool = False
    extra_fields: bool = False
    deprecation: bool = False
    search_lag_milliseconds: int = 0
    token_errors: str = TOKEN_ERRORS[0]
    token_lifetime: int = TOKEN_LIFETIME
    instance_blocked: bool = False
    event_retention_seconds: int = 0
    event_lag_milliseconds: int = 0
    clock_skew_milliseconds: int = 0


class Zitadel:
    """One instance: its log, its users, and the calls' effects.

    Attributes:
        log: All events.
        access: Users, tokens, memberships.
        keys: Keys and client secrets of the users.
        orgs: The organizations.
        directory: The organizations as searches see them.
        history: The log as the search for events sees it.
        domains: Hosts it answers to, without ports and brackets.
        secure: Whether its addresses begin with https (ZITADEL: `ExternalSecure`).
        database_down: Whether it acts as it does without its database.
        behavior: Other switches.
    """

    def __init__(
        self, token: str, organizations: int = 2, clock: Clock = utc_now
    ) -> None:
        """Set up an instance with a default policy and some organizations.

        Args:
            token: A personal access token of an IAM_OWNER.
            organizations: How many besides the credential's own.
            clock: The time of day, for events and the end of tokens.
        """
        self.behavior = Behavior()
        self._clock = clock
        self.log = EventLog(self.now)
        self.history = History(self.log, self._event_lag)
        self.access = Access(self.log, INSTANCE_ID)
        self.keys = Keys(self.log, self.access)
        self.directory = Directory(self.log)
        self.orgs = Organizations(self.log, CREDENTIAL_ORGANIZATION)
        self.domains = {EXTERNAL_DOMAIN, _GENERATED_DOMAIN, "127.0.0.1", "::1"}
        self.secure = False
        self.database_down = False
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
        # ZITADEL: who sets an instance up owns it, and its first organization.
        roles = {INSTANCE: {"IAM_OWNER"}, CREDENTIAL_ORGANIZATION: {"ORG_OWNER"}}
        self.add_token(token, roles, name=CREDENTIAL_NAME)
        # No lag that is set later makes searches forget what was there at the start.
        self.directory.search((), Page())

    def add_token(
        self,
        token: str,
        roles: Mapping[str, Collection[str]],
        home: str = CREDENTIAL_ORGANIZATION,
        *,
        expiration: str = "",
        name: str = "",
    ) -> Token:
        """Make a service user with a token and roles.

        Args:
            token: The text of its personal access token; made up when empty.
            roles: Role names by organization id; `access.INSTANCE` for the instance.
            home: The organization that owns the user.
            expiration: The token's end, RFC 3339; empty is the year 9999.
            name: Of the user.

        Raises:
            Refusal: A role is unknown, or the end has passed.
            ValueError: The token is in use.
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
        """Make a service user with roles.

        Args:
            roles: Role names by organization id; `access.INSTANCE` for the instance.
            home: The organization that owns the user.
            name: Shown to people.
            user_name: Its login name; made from the name, and unique, when empty.

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
        """Let the instance answer to one more host, named without a port."""
        if domain not in self.domains:
            self.domains.add(domain)
            command = ("instance.domain.added", {"domain": domain})
            self.log.push(INSTANCE_ID, "", command)

    def now(self) -> datetime:
        """Return the time of day as this server has it."""
        skew = timedelta(milliseconds=self.behavior.clock_skew_milliseconds)
        return self._clock() + skew

    @property
    def search_lag(self) -> int:
        """How far searches are behind, in milliseconds."""
        return self.behavior.search_lag_milliseconds

    @property
    def instance_name(self) -> str:
        """The name of the instance."""
        return str(self.log.of(INSTANCE_ID)[0].payload["name"])

    def organizations(self) -> list[Organization]:
        """Return all organizations that are not removed, oldest first."""
        return self.orgs.all()

    def change_organization(self, org: str, kind: str, editor: str = "") -> Event:
        """Make an organization `removed`, `deactivated` or `reactivated`.

        Raises:
            Refusal: As the calls of ZITADEL refuse it.
        """
        acts = {
            "removed": self.orgs.remove,
            "deactivated": self.orgs.deactivate,
            "reactivated": self.orgs.reactivate,
        }
        return acts[kind](org, editor)

    def drop_instance_policy(self) -> None:
        """Make an instance older than the feature: no call of ZITADEL does this."""
        self.log.forget(INSTANCE_ID, INSTANCE_POLICY)

    def instance_policy(self) -> dict[str, Any]:
        """GET /admin/v1/policies/notification, and the default through management.

        Raises:
            Refusal: There is none (`QUERY-x0so2p`), or the projection is broken.
        """
        return self._read(INSTANCE_ID)

    def policy(self, org: str) -> dict[str, Any]:
        """GET /management/v1/policies/notification: its own, else the instance's.

        Raises:
            Refusal: There is neither (`QUERY-x0so2p`), or the projection is broken.
        """
        return self._read(org)

    def instance(self) -> dict[str, Any]:
        """GET /admin/v1/instances/me."""
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
        """GET /auth/v1/users/me."""
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

    def _read(self, owner: str) -> dict[str, Any]:
        if self.behavior.projection_broken:
            raise Refusal(UNKNOWN, "statement failed: notification_policies")
        stale = self.behavior.stale_reads > 0
        self.behavior.stale_reads -= stale
        own = shown_policy(self._seen(owner, ORG_POLICY, stale=stale), ORG_POLICY)
        if own is not None:
            answer = policies.show(own, is_default=False)
        else:
            seen = self._seen(INSTANCE_ID, INSTANCE_POLICY, stale=stale)
            policy = shown_policy(seen, INSTANCE_POLICY)
            answer = policies.show(policy, is_default=True)
        if self.behavior.extra_fields:
            answer["policy"]["emailChange"] = True
            answer["policy"]["details"]["future"] = {"field": "1"}
        return answer

    def _seen(self, owner: str, prefix: str, *, stale: bool) -> Sequence[Event]:
        events = self.log.of(owner)
        if stale:
            return policies.before_last_write(events, prefix)
        if self.behavior.stale_milliseconds:
            age = timedelta(milliseconds=self.behavior.stale_milliseconds)
            horizon = self.log.clock() - age
            return [e for e in events if e.time <= horizon or not e.editor]
        return events
