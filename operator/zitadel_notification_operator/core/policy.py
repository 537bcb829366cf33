"""The desired policy, the observed policy, and the result of a write.

`core.settings` declares the settings that the operator manages. A newer ZITADEL may
have more, which are passed through without being interpreted. These types only hold
facts; `core.decision` decides whether they differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .settings import Settings


class Scope(StrEnum):
    """What a NotificationPolicy applies to (`spec.scope`)."""

    ORGANIZATION = "Organization"
    INSTANCE = "Instance"


class ManagementPolicy(StrEnum):
    """Whether differences are corrected or only reported (`spec.managementPolicy`)."""

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
        scope: Whether this is an organization's own policy or the instance's.
        settings: The wanted values. A flag that is left out stays as it is in ZITADEL.
        manages: False in `Observe`, where nothing may be written.
    """

    scope: Scope
    settings: Settings
    manages: bool = True


@dataclass(frozen=True, slots=True)
class ObservedPolicy:
    """The policy in force, as a GET of ZITADEL returns it.

    Attributes:
        is_default: Whether this is the instance's policy, which an organization
            inherits.
        settings: The values in force, of all flags.
        sequence: The sequence of the policy's last event in its aggregate, a uint64 as
            text.
        creation_date: When the policy was created, as ZITADEL wrote it: RFC 3339 in
            UTC.
        change_date: When the policy was last changed, in the same form.
        resource_owner: The id of the organization or instance that has this policy.
        unknown_members: All other members of the policy by name: settings of a newer
            ZITADEL. The operator does not manage them, so comparisons ignore them. A
            write replaces the whole policy, however, and must send them again.
    """

    is_default: bool
    settings: Settings
    sequence: str = ""
    creation_date: str = ""
    change_date: str = ""
    resource_owner: str = ""
    unknown_members: Mapping[str, object] = field(
        default_factory=dict, compare=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization of ZITADEL that exists and is not removed.

    Attributes:
        domain: The primary domain, which is verified; empty if ZITADEL did not return
            it.
    """

    id: str
    name: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class OrganizationPage:
    """One page of the list of organizations.

    Attributes:
        organizations: The organizations that the credential may see. They may be fewer
            than the page's limit, or none, although more pages follow.
        total: How many organizations there are, visible or not; 0 past the end.
    """

    organizations: tuple[Organization, ...]
    total: int


class WriteOutcome(StrEnum):
    """The outcome of a write."""

    WRITTEN = "Written"
    NOT_CHANGED = "NotChanged"
    ALREADY_EXISTS = "AlreadyExists"
    NOT_FOUND = "NotFound"
    ORGANIZATION_GONE = "OrganizationGone"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The answer to a POST, PUT or DELETE. Details are set only if it is `WRITTEN`.

    Attributes:
        answer: The outcome.
        sequence: The sequence of the new event, a uint64 as text.
        resource_owner: The id of the organization or instance that has the policy now.
    """

    answer: WriteOutcome
    sequence: str = ""
    resource_owner: str = ""
