"""What is wanted, what is there, and what a write came back with.

`passwordChange` is the one setting today. Values are plain facts: whether they
differ is decided in `core.decision`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a NotificationPolicy speaks about (`spec.scope`)."""

    ORGANIZATION = "Organization"
    INSTANCE = "Instance"


class ManagementPolicy(StrEnum):
    """Whether differences are put right or only told (`spec.managementPolicy`)."""

    MANAGE = "Manage"
    OBSERVE = "Observe"


class DeletionPolicy(StrEnum):
    """What the deletion of the object does in ZITADEL (`spec.deletionPolicy`)."""

    RESET = "Reset"
    RESTORE = "Restore"
    RETAIN = "Retain"


@dataclass(frozen=True, slots=True)
class DesiredPolicy:
    """What a spec asks for.

    Attributes:
        scope: An organization's own policy, or the instance's.
        password_change: Mail users when their password has changed.
        manages: False in `Observe`: nothing may be written.
    """

    scope: Scope
    password_change: bool
    manages: bool = True


@dataclass(frozen=True, slots=True)
class ObservedPolicy:
    """The policy in force, as a GET of ZITADEL tells it.

    Attributes:
        is_default: The instance's policy answered: an organization inherits it.
        password_change: The value in force.
        sequence: Of the policy's last event in its aggregate; uint64 as text.
        creation_date: ZITADEL's own text, RFC 3339 in UTC.
        change_date: Likewise, of the last change.
        resource_owner: The organization's or the instance's id.
    """

    is_default: bool
    password_change: bool
    sequence: str = ""
    creation_date: str = ""
    change_date: str = ""
    resource_owner: str = ""


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization of ZITADEL that exists and is not removed.

    Attributes:
        domain: Its primary domain, a verified one; empty where it was not told.
    """

    id: str
    name: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class OrganizationPage:
    """A part of the list of organizations.

    Attributes:
        organizations: Those that the credential may see; fewer than the page's limit,
            or none, although more pages follow.
        total: How many there are, seen or not; 0 past the end.
    """

    organizations: tuple[Organization, ...]
    total: int


class Answer(StrEnum):
    """What a write found."""

    WRITTEN = "Written"
    NOT_CHANGED = "NotChanged"
    ALREADY_EXISTS = "AlreadyExists"
    NOT_FOUND = "NotFound"
    ORGANIZATION_GONE = "OrganizationGone"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The answer to a POST, PUT or DELETE; details only when `WRITTEN`.

    Attributes:
        answer: What happened.
        sequence: Of the new event; uint64 as text.
        creation_date: Set by a POST alone (`notes` on ZITADEL's details).
        change_date: Set by a PUT or DELETE alone.
        resource_owner: Whose policy it is now.
    """

    answer: Answer
    sequence: str = ""
    creation_date: str = ""
    change_date: str = ""
    resource_owner: str = ""


def after_write(
    before: ObservedPolicy | None, scope: Scope, result: WriteResult, *, wanted: bool
) -> ObservedPolicy:
    """Compose what a GET would say now, from the GET before and the write's reply.

    Args:
        before: What the pass observed before it wrote; None if there was nothing.
        scope: A GET of the instance's policy says `isDefault` always.
        result: The reply, `WRITTEN`.
        wanted: The value that was written.

    Returns:
        The policy in force. A PUT keeps the creation date, a POST sets both dates:
        ZITADEL's replies hold one of the two only.
    """
    created = result.creation_date or (before.creation_date if before else "")
    return ObservedPolicy(
        is_default=scope is Scope.INSTANCE,
        password_change=wanted,
        sequence=result.sequence,
        creation_date=created,
        change_date=result.change_date or created,
        resource_owner=result.resource_owner,
    )
