"""Service users and their tokens.

The event log holds all of it except the texts of the tokens. Access tokens that the
token endpoint issues are not in the log at all, because ZITADEL keeps them as separate
sessions that none of the emulated calls shows.
"""

import itertools
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .answers import BAD_INPUT, EXISTS, NOT_FOUND, PRECONDITION, Refusal, timestamp
from .events import Event, EventLog
from .members import Members

INSTANCE = ""
"""The key of instance-wide roles in a mapping of roles by organization id."""

FIRST_USER = 281000000000000001
FIRST_TOKEN = 282000000000000001

NO_EXPIRY = "9999-12-31T23:59:59Z"
"""The expiration of a token or key made without one.

Source: ZITADEL: `internal/domain/expiration.go`.
"""

_TOKEN_EVENTS = "user.pat."  # noqa: S105 - the type of an event
_NO_CHANGE = (_TOKEN_EVENTS, "user.machine.key.")
"""Prefixes of user events that do not update `changeDate` in ZITADEL's user list."""

_TOKEN_BYTES = 78
"""Random bytes in an access token: they give 104 characters, as in a recorded one."""

_MOST_ISSUED = 10_000
"""The number of stored access tokens at which the expired ones are removed."""


@dataclass(frozen=True, slots=True)
class User:
    """A service user, computed from its events.

    Attributes:
        user_name: ZITADEL's login name, unique in the instance. It is also the client
            id in the client credentials grant.
        organization: The id of the organization that owns the user. Calls without an
            organization header run in its context.
        active: False once deactivated; the user's tokens are refused then.
        created: The user's first event.
        changed: The user's last event that is not about a token or a key.
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
    """A personal access token; `text` is the string that the client sends."""

    id: str
    user: str
    text: str


@dataclass(frozen=True, slots=True)
class _Issued:
    """An access token that the token endpoint issued.

    Attributes:
        opens_api: Whether API calls accept it, because it was requested with the scope
            of ZITADEL's own project.
    """

    user: str
    end: datetime
    opens_api: bool


def user(events: Sequence[Event]) -> User | None:
    """Return the user that these events describe.

    Returns:
        None if there are no events, or if they are not those of a service user.
    """
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
    """Return whether a user's token has been neither removed nor expired by `now`."""
    live = False
    for event in events:
        if event.payload.get("tokenId") != token_id:
            continue
        live = event.type == "user.pat.added" and now < datetime.fromisoformat(
            event.payload["expiration"]
        )
    return live


class Access:
    """The service users of an instance, their tokens and their memberships.

    Attributes:
        members: The users' roles in each organization and in the instance.
    """

    def __init__(self, log: EventLog, instance: str) -> None:
        """Start without users.

        Args:
            log: The event log, which every change is written to.
            instance: The id of the instance, for instance-wide memberships.
        """
        self.members = Members(log, instance)
        self._log = log
        self._tokens: dict[str, Token] = {}
        self._numbers = itertools.count()
        self._issued: dict[str, _Issued] = {}
        self._ids: dict[str, str] = {}

    def user(self, text: str) -> User | None:
        """Return the user that a token belongs to.

        Returns:
            None if the token is unknown or has expired, if its user is deactivated, or
            if it is an access token without the audience of ZITADEL's own project.
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
        """Return a user by id, active or not, or None if it never existed."""
        return user(self._log.of(user_id))

    def known(self, user_id: str) -> User:
        """Return a user by id, active or not.

        Raises:
            Refusal: The user never existed.
        """
        found = self.find(user_id)
        if found is None:
            raise Refusal(PRECONDITION, "Errors.User.NotFound", "COMMAND-uXHNj")
        return found

    def named(self, user_name: str) -> User | None:
        """Return a user by user name, or None if there is none."""
        return self.find(self._ids.get(user_name, ""))

    def all(self) -> list[User]:
        """Return all users, oldest first."""
        return [self.known(user_id) for user_id in self._ids.values()]

    def add_user(
        self, organization: str, user_name: str, name: str, editor: str
    ) -> Event:
        """Create a service user (POST /management/v1/users/machine).

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
        """Give a user roles in an organization or in the whole instance.

        Args:
            aggregate: The id of the organization, or of the instance.
            user_id: The id of the user who gets the roles.
            roles: The names of the roles.
            editor: The id of the caller.

        Raises:
            Refusal: The user or a role is unknown, or the user is already a member.
        """
        self.known(user_id)
        return self.members.add(aggregate, user_id, roles, editor)

    def issue(self, user_id: str, lifetime: int, *, opens_api: bool) -> str:
        """Create an access token for the token endpoint and return its text.

        Args:
            user_id: The id of the user it is for.
            lifetime: Seconds until it expires.
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
        """Create a personal access token (POST /management/v1/users/{id}/pats).

        Args:
            user_id: The id of the user it is for.
            editor: The id of the caller.
            expiration: When it expires, in RFC 3339. Empty means the year 9999, as in
                ZITADEL.
            text: The string that the client will send; generated if empty.

        Raises:
            Refusal: The user is unknown, or the expiration is in the past
                (`DOMAIN-dv3t5`).
            ValueError: Another token that is still valid has this text.
        """
        found = self.known(user_id)
        end = self.end(expiration)
        if text in self._tokens and self.user(text):
            raise ValueError("token: is in use")
        text = text or secrets.token_urlsafe(36)
        token_id = str(FIRST_TOKEN + next(self._numbers))
        token = Token(token_id, user_id, text)
        self._tokens[text] = token
        payload = {"tokenId": token_id, "expiration": timestamp(end)}
        command = (_TOKEN_EVENTS + "added", payload)
        owner = found.organization
        return token, self._log.push(user_id, editor, command, owner=owner)

    def end(self, expiration: str) -> datetime:
        """Parse the expiration of a new token or key.

        Args:
            expiration: A time in RFC 3339; empty means the year 9999.

        Raises:
            Refusal: It is in the past (`DOMAIN-dv3t5`).
        """
        end = datetime.fromisoformat(expiration or NO_EXPIRY)
        if end <= self._log.clock():
            raise Refusal(BAD_INPUT, "Errors.AuthNKey.ExpireBeforeNow", "DOMAIN-dv3t5")
        return end

    def remove_token(self, user_id: str, token_id: str, editor: str) -> Event:
        """Remove a token by id (DELETE /management/v1/users/{id}/pats/{token}).

        Raises:
            Refusal: The user is unknown, or it has no such token that is still valid.
        """
        found = self.known(user_id)
        if not is_live(self._log.of(user_id), token_id, self._log.clock()):
            raise Refusal(NOT_FOUND, "Errors.User.PAT.NotFound", "COMMAND-4m77G")
        command = (_TOKEN_EVENTS + "removed", {"tokenId": token_id})
        return self._log.push(user_id, editor, command, owner=found.organization)

    def revoke(self, text: str) -> bool:
        """Remove a token by its text or id.

        Returns:
            Whether there was such a token and it was still valid.
        """
        for token in self._tokens.values():
            if text in {token.text, token.id} and self.user(token.text):
                self.remove_token(token.user, token.id, "")
                return True
        return False

    def set_active(self, user_id: str, editor: str, *, active: bool) -> Event:
        """Serve POST /management/v1/users/{id}/_deactivate and _reactivate.

        Raises:
            Refusal: The user is unknown, or already has this state.
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
        """Return the ids of all valid tokens and their users, for the control path."""
        live = [token for token in self._tokens.values() if self.user(token.text)]
        return [{"tokenId": token.id, "userId": token.user} for token in live]
