"""Turns the events of ZITADEL's log, oldest first, into changes of policies.

An event says what is new. What was there before follows from the events before it. If
the log does not reach back that far, it is unknown, and nothing is guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.policy_events import (
    PolicyEvent,
    PolicyEventKind,
)
from zitadel_notification_operator.core.settings import NO_SETTINGS, Settings


class AuthorKind(StrEnum):
    """Who made a change.

    Attributes:
        USER: A user of ZITADEL.
        ZITADEL: ZITADEL itself, as when it creates an instance.
        UNKNOWN: The log does not say.
    """

    USER = "User"
    ZITADEL = "ZITADEL"
    UNKNOWN = "Unknown"


NOBODY = User("")


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a change.

    Attributes:
        kind: Whether it was a user.
        user: The user; without an id for others.
        is_credential: Whether that is the user whose credential reads the log.
    """

    kind: AuthorKind = AuthorKind.UNKNOWN
    user: User = NOBODY
    is_credential: bool = False


UNKNOWN_AUTHOR = Author()


class Source(StrEnum):
    """Where values come from.

    Attributes:
        OWN: The policy of the organization, or of the instance, itself.
        INHERITED: The instance's policy.
        NOWHERE: There was no policy at all.
        REMOVED: The organization was removed.
    """

    OWN = "Own"
    INHERITED = "Inherited"
    NOWHERE = "None"
    REMOVED = "OrganizationRemoved"


@dataclass(frozen=True, slots=True)
class Held:
    """What was in force before or after a change, by the log.

    Attributes:
        source: Where the values come from.
        settings: The values. A flag is None where the log does not say.
    """

    source: Source
    settings: Settings = NO_SETTINGS


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a policy.

    Attributes:
        time: When, as ZITADEL wrote it.
        sequence: The event's number within its organization or instance.
        organization_id: Whose policy it is; None for the instance.
        name: The organization's name now; if it does not exist any more, the one that
            it had then. Empty if it is unknown.
        before: What was in force for the organization.
        after: What has been in force since.
        author: Who made it.
    """

    time: str
    sequence: int
    organization_id: str | None
    name: str
    before: Held
    after: Held
    author: Author


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened last, and who did it.

    Attributes:
        time: When, as ZITADEL wrote it.
        sequence: The event's number within its organization or instance.
        author: Who did it.
    """

    time: str
    sequence: int
    author: Author


class Ledger:
    """The values of all policies at the point up to which the log has been read.

    It holds one entry for each organization, however long the log is.

    Attributes:
        instance: The values of the instance's policy; None if the log has not said.
        own: The values of each organization that has a policy of its own.
        changed: The last event of each policy, by organization; "" is the instance.
        created: When each organization was created.
        removed: The organizations that were removed.

    Args:
        names: The present names of the organizations that exist.
        credential: The id of the user whose credential reads the log.
    """

    def __init__(self, names: Mapping[str, str], credential: str) -> None:
        self.instance: Settings | None = None
        self.own: dict[str, Settings] = {}
        self.changed: dict[str, Moment] = {}
        self.created: dict[str, Moment] = {}
        self.removed: set[str] = set()
        self._present = names
        self._former: dict[str, str] = {}
        self._credential = credential

    def name_of(self, organization_id: str) -> str:
        """Return an organization's name now; if it is gone, the one it had then."""
        known = self._present.get(organization_id)
        return self._former.get(organization_id, "") if known is None else known

    def apply(self, event: PolicyEvent) -> Change | None:
        """Take note of an event. Return the change, if it changed a policy."""
        organization = event.id.aggregate
        match event.kind:
            case PolicyEventKind.ORGANIZATION_ADDED:
                self._former[organization] = event.name
                self.created[organization] = self._moment(event)
                return None
            case PolicyEventKind.ORGANIZATION_RENAMED:
                self._former[organization] = event.name
                return None
            case PolicyEventKind.ORGANIZATION_REMOVED:
                self.removed.add(organization)
                gone = self.own.pop(organization, None)
                if gone is None:
                    return None
                before, after = Held(Source.OWN, gone), Held(Source.REMOVED)
            case _ if event.of_instance:
                before, after = self._instance_change(event)
            case _:
                before, after = self._own_change(event)
        self.changed["" if event.of_instance else organization] = self._moment(event)
        return Change(
            event.time,
            event.id.sequence,
            None if event.of_instance else organization,
            "" if event.of_instance else self.name_of(organization),
            before,
            after,
            self._author(event.editor),
        )

    def _instance_change(self, event: PolicyEvent) -> tuple[Held, Held]:
        if event.kind is PolicyEventKind.ADDED:
            before = Held(Source.NOWHERE)
        else:
            before = Held(Source.OWN, self.instance or NO_SETTINGS)
        self.instance = event.settings.merged_into(before.settings)
        return before, Held(Source.OWN, self.instance)

    def _own_change(self, event: PolicyEvent) -> tuple[Held, Held]:
        organization = event.id.aggregate
        inherited = Held(Source.INHERITED, self.instance or NO_SETTINGS)
        if event.kind is PolicyEventKind.ADDED:
            self.own[organization] = event.settings
            return inherited, Held(Source.OWN, event.settings)
        before = Held(Source.OWN, self.own.pop(organization, NO_SETTINGS))
        if event.kind is PolicyEventKind.REMOVED:
            return before, inherited
        self.own[organization] = event.settings.merged_into(before.settings)
        return before, Held(Source.OWN, self.own[organization])

    def _moment(self, event: PolicyEvent) -> Moment:
        return Moment(event.time, event.id.sequence, self._author(event.editor))

    def _author(self, editor: User | None) -> Author:
        if editor is None:
            return Author(AuthorKind.ZITADEL)
        return Author(AuthorKind.USER, editor, editor.id == self._credential)
