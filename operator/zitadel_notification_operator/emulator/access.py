"""Users, their tokens and memberships; all but the tokens' texts is in the log."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zitadel_notification_operator.emulator.answers import (
    BAD_INPUT,
    EXISTS,
    NOT_FOUND,
    PRECONDITION,
    Refusal,
    timestamp,
)
from zitadel_notification_operator.emulator.events import Event, EventLog
from zitadel_notification_operator.emulator.permissions import PERMISSIONS

INSTANCE = ""
"""Key of instance-wide memberships, where memberships are given by organization."""

FIRST_USER = 281000000000000001
FIRST_TOKEN = 282000000000000001

_TOKEN_EVENTS = "user.pat."  # noqa: S105 - the type of an event
_NO_EXPIRY = "9999-12-31T23:59:59Z"


@dataclass(frozen=True, slots=True)
class User:
    """A service user, as its events tell.

    Attributes:
        organization: That owns it; the context of calls without a header.
        active: A deactivated user's tokens are refused.
        created: Its first event.
        changed: Its last event that is not about a token.
    """

    id: str
    user_name: str
    name: str
    organization: str
    active: bool
    created: Event
    changed: Event


@dataclass(frozen=True, slots=True)
class Token:
    """A personal access token; `text` is what the client sends."""

    id: str
    user: str
    text: str


def user(events: Sequence[Event]) -> User | None:
    """Return a user by its events; None when there are none."""
    if not events:
        return None
    own = [e for e in events if not e.type.startswith(_TOKEN_EVENTS)]
    active = True
    for event in own:
        match event.type:
            case "user.deactivated":
                active = False
            case "user.reactivated":
                active = True
            case _:
                pass
    first = own[0]
    names = (first.payload["userName"], first.payload["name"])
    return User(first.aggregate, *names, first.owner, active, first, own[-1])


def is_live(events: Sequence[Event], token_id: str, now: datetime) -> bool:
    """Return whether a user's token is neither taken back nor past its end."""
    live = False
    for event in events:
        if event.payload.get("tokenId") != token_id:
            continue
        live = event.type == "user.pat.added" and now < datetime.fromisoformat(
            event.payload["expiration"]
        )
    return live


class Access:
    """Who calls, and which roles count where."""

    def __init__(self, log: EventLog, instance: str) -> None:
        """Start without users.

        Args:
            log: Where everything is written.
            instance: The id of the instance, for instance-wide memberships.
        """
        self._log = log
        self._instance = instance
        self._tokens: dict[str, Token] = {}
        self._users = 0

    def user(self, text: str) -> User | None:
        """Return whose live token it is; None when unknown, expired or inactive."""
        token = self._tokens.get(text)
        if token is None:
            return None
        events = self._log.of(token.user)
        found = user(events)
        live = is_live(events, token.id, self._log.clock())
        return found if found and found.active and live else None

    def roles(self, user_id: str, organization: str) -> set[str]:
        """Return the roles that count in an organization's context.

        ZITADEL: a removed organization's memberships are gone, instance-wide ones stay.
        """
        return self._roles(user_id, organization) | self.instance_roles(user_id)

    def instance_roles(self, user_id: str) -> set[str]:
        """Return the instance-wide roles of a user."""
        return self._roles(user_id, self._instance)

    def _roles(self, user_id: str, aggregate: str) -> set[str]:
        roles: set[str] = set()
        for event in self._log.of(aggregate):
            if event.type == "org.removed":
                roles = set()
            elif (
                event.type.endswith(".member.added")
                and event.payload["userId"] == user_id
            ):
                roles = set(event.payload["roles"])
        return roles

    def add_user(
        self, organization: str, user_name: str, name: str, editor: str
    ) -> Event:
        """POST /management/v1/users/machine: make a service user."""
        user_id = str(FIRST_USER + self._users)
        self._users += 1
        payload = {"userName": user_name, "name": name or user_name}
        command = ("user.machine.added", payload)
        return self._log.push(user_id, editor, command, owner=organization)

    def add_member(
        self, aggregate: str, user_id: str, roles: Collection[str], editor: str
    ) -> Event:
        """Give roles in an organization, or with the instance's id everywhere.

        ZITADEL: POST /management/v1/orgs/me/members, POST /admin/v1/members. The error
        ids here are not confirmed by a recording.

        Raises:
            Refusal: Unknown user or role; already a member.
        """
        self._known(user_id)
        if not roles or not set(roles) <= PERMISSIONS.keys():
            raise Refusal(BAD_INPUT, "Errors.Org.MemberInvalid", "Org-W8m4l")
        if self._roles(user_id, aggregate):
            raise Refusal(EXISTS, "Errors.Org.Member.AlreadyExists", "Org-PtXi1")
        kind = "instance" if aggregate == self._instance else "org"
        payload = {"userId": user_id, "roles": sorted(roles)}
        return self._log.push(aggregate, editor, (f"{kind}.member.added", payload))

    def add_token(
        self, user_id: str, editor: str = "", expiration: str = "", text: str = ""
    ) -> tuple[Token, Event]:
        """POST /management/v1/users/{id}/pats: make a personal access token.

        Args:
            user_id: Whose.
            editor: Who makes it.
            expiration: RFC 3339; empty is the year 9999, as in ZITADEL.
            text: What the client will send; made up when empty.

        Raises:
            Refusal: Unknown user, or an end that has passed (`DOMAIN-dv3t5`).
            ValueError: The text is in use.
        """
        found = self._known(user_id)
        end = datetime.fromisoformat(expiration or _NO_EXPIRY)
        if end <= self._log.clock():
            raise Refusal(BAD_INPUT, "Errors.AuthNKey.ExpireBeforeNow", "DOMAIN-dv3t5")
        if text in self._tokens and self.user(text):
            raise ValueError("token: is in use")
        text = text or secrets.token_urlsafe(36)
        token_id = str(FIRST_TOKEN + len(self._tokens))
        token = Token(token_id, user_id, text)
        self._tokens[text] = token
        payload = {"tokenId": token_id, "expiration": timestamp(end)}
        command = (_TOKEN_EVENTS + "added", payload)
        owner = found.organization
        return token, self._log.push(user_id, editor, command, owner=owner)

    def remove_token(self, user_id: str, token_id: str, editor: str) -> Event:
        """DELETE /management/v1/users/{id}/pats/{token}.

        Raises:
            Refusal: There is no such live token.
        """
        found = self._known(user_id)
        if not is_live(self._log.of(user_id), token_id, self._log.clock()):
            raise Refusal(NOT_FOUND, "Errors.User.PAT.NotFound", "COMMAND-4m77G")
        command = (_TOKEN_EVENTS + "removed", {"tokenId": token_id})
        return self._log.push(user_id, editor, command, owner=found.organization)

    def revoke(self, text: str) -> bool:
        """Take a token back by its text or id; return whether it was there."""
        for token in self._tokens.values():
            if text in {token.text, token.id} and self.user(token.text):
                self.remove_token(token.user, token.id, "")
                return True
        return False

    def set_active(self, user_id: str, editor: str, *, active: bool) -> Event:
        """POST /management/v1/users/{id}/_deactivate and _reactivate.

        Raises:
            Refusal: Unknown user, or it is so already.
        """
        found = self._known(user_id)
        if found.active is active:
            text = (
                "Errors.User.NotInactive" if active else "Errors.User.AlreadyInactive"
            )
            error_id = "COMMAND-6M0sf" if active else "COMMAND-5M0sf"
            raise Refusal(PRECONDITION, text, error_id)
        kind = "user.reactivated" if active else "user.deactivated"
        return self._log.push(user_id, editor, (kind, {}), owner=found.organization)

    def tokens(self) -> list[dict[str, Any]]:
        """Return all live tokens without their texts, for the control path."""
        live = [token for token in self._tokens.values() if self.user(token.text)]
        return [{"tokenId": token.id, "userId": token.user} for token in live]

    def _known(self, user_id: str) -> User:
        found = user(self._log.of(user_id))
        if found is None:
            raise Refusal(PRECONDITION, "Errors.User.NotFound", "COMMAND-uXHNj")
        return found
