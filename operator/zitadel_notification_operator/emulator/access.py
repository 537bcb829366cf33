"""Service users and their tokens; all but the tokens' texts is in the log.

Access tokens of the token endpoint are in no log: ZITADEL keeps them as sessions of
their own, which nothing here shows.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from zitadel_notification_operator.emulator.members import Members

INSTANCE = ""
"""Key of instance-wide memberships, where memberships are given by organization."""

FIRST_USER = 281000000000000001
FIRST_TOKEN = 282000000000000001

NO_EXPIRY = "9999-12-31T23:59:59Z"
"""The end of what is made without one (ZITADEL: `internal/domain/expiration.go`)."""

_TOKEN_EVENTS = "user.pat."  # noqa: S105 - the type of an event
_NO_CHANGE = (_TOKEN_EVENTS, "user.machine.key.")
"""Events about a user that ZITADEL's list of users does not look at."""

_TOKEN_BYTES = 78
"""They make the 104 characters that a recorded access token had."""

_MOST_ISSUED = 10_000
"""So many access tokens are remembered before those that have ended are forgotten."""


@dataclass(frozen=True, slots=True)
class User:
    """A service user, as its events tell.

    Attributes:
        user_name: Unique in the instance; ZITADEL's login name, and the client id
            of client credentials.
        organization: That owns it; the context of calls without a header.
        active: A deactivated user's tokens are refused.
        created: Its first event.
        changed: Its last event that is not about a token or a key.
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


@dataclass(frozen=True, slots=True)
class _Issued:
    """An access token of the token endpoint; `opens_api` is False without its scope."""

    user: str
    end: datetime
    opens_api: bool


def user(events: Sequence[Event]) -> User | None:
    """Return a user by its events; None when there are none, or of something else."""
    if not events or events[0].type != "user.machine.added":
        return None
    own = [e for e in events if not e.type.startswith(_NO_CHANGE)]
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
    """Who calls.

    Attributes:
        members: Which roles count where.
    """

    def __init__(self, log: EventLog, instance: str) -> None:
        """Start without users.

        Args:
            log: Where everything is written.
            instance: The id of the instance, for instance-wide memberships.
        """
        self.members = Members(log, instance)
        self._log = log
        self._tokens: dict[str, Token] = {}
        self._issued: dict[str, _Issued] = {}
        self._ids: dict[str, str] = {}

    def user(self, text: str) -> User | None:
        """Return whose live token it is; None when unknown, expired or inactive.

        An access token without ZITADEL's own audience is as good as unknown.
        """
        token = self._tokens.get(text)
        if token is None:
            return self._holder(self._issued.get(text))
        events = self._log.of(token.user)
        found = user(events)
        live = is_live(events, token.id, self._log.clock())
        return found if found and found.active and live else None

    def _holder(self, issued: _Issued | None) -> User | None:
        if not issued or not issued.opens_api or issued.end <= self._log.clock():
            return None
        found = self.find(issued.user)
        return found if found and found.active else None

    def find(self, user_id: str) -> User | None:
        """Return a user by its id, active or not; None when it never was."""
        return user(self._log.of(user_id))

    def known(self, user_id: str) -> User:
        """Return a user by its id.

        Raises:
            Refusal: It never was.
        """
        found = self.find(user_id)
        if found is None:
            raise Refusal(PRECONDITION, "Errors.User.NotFound", "COMMAND-uXHNj")
        return found

    def named(self, user_name: str) -> User | None:
        """Return a user by its user name; None when there is none."""
        return self.find(self._ids.get(user_name, ""))

    def all(self) -> list[User]:
        """Return all users, oldest first."""
        return [self.known(user_id) for user_id in self._ids.values()]

    def add_user(
        self, organization: str, user_name: str, name: str, editor: str
    ) -> Event:
        """POST /management/v1/users/machine: make a service user.

        Raises:
            Refusal: The user name is empty or taken.
        """
        if not user_name:
            text = "invalid AddMachineUserRequest.UserName: value length must be "
            raise Refusal(BAD_INPUT, text + "between 1 and 200 runes, inclusive")
        if user_name in self._ids:
            raise Refusal(EXISTS, "User already exists", "V3-DKcYh")
        user_id = str(FIRST_USER + len(self._ids))
        self._ids[user_name] = user_id
        payload = {"userName": user_name, "name": name or user_name}
        command = ("user.machine.added", payload)
        return self._log.push(user_id, editor, command, owner=organization)

    def add_member(
        self, aggregate: str, user_id: str, roles: Collection[str], editor: str
    ) -> Event:
        """Give roles in an organization, or with the instance's id everywhere.

        Raises:
            Refusal: Unknown user or role; already a member.
        """
        self.known(user_id)
        return self.members.add(aggregate, user_id, roles, editor)

    def issue(self, user_id: str, lifetime: int, *, opens_api: bool) -> str:
        """Return a new access token of the token endpoint.

        Args:
            user_id: Whose.
            lifetime: Seconds until it is refused.
            opens_api: Whether the request named the scope of ZITADEL's own project.
        """
        now = self._log.clock()
        if len(self._issued) >= _MOST_ISSUED:
            self._issued = {t: i for t, i in self._issued.items() if i.end > now}
        text = secrets.token_urlsafe(_TOKEN_BYTES)
        end = now + timedelta(seconds=lifetime)
        self._issued[text] = _Issued(user_id, end, opens_api)
        return text

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
        found = self.known(user_id)
        end = self.end(expiration)
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

    def end(self, expiration: str) -> datetime:
        """Return the end of a new token or key, RFC 3339; empty is the year 9999.

        Raises:
            Refusal: It has passed (`DOMAIN-dv3t5`).
        """
        end = datetime.fromisoformat(expiration or NO_EXPIRY)
        if end <= self._log.clock():
            raise Refusal(BAD_INPUT, "Errors.AuthNKey.ExpireBeforeNow", "DOMAIN-dv3t5")
        return end

    def remove_token(self, user_id: str, token_id: str, editor: str) -> Event:
        """DELETE /management/v1/users/{id}/pats/{token}.

        Raises:
            Refusal: There is no such live token.
        """
        found = self.known(user_id)
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
        found = self.known(user_id)
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
