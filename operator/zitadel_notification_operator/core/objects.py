"""What the API server holds, as far as the operator needs it.

Compact, frozen records; `cluster.resources` makes them from JSON and back. Two
records of one object are equal exactly when nothing that concerns us differs, so
`resource_version` does not take part in the comparison.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.credentials import CaRef, CredentialRef
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    DesiredPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.references import By, Reference

FINALIZER = "zitadel-notification.dev/cleanup"


@dataclass(frozen=True, slots=True)
class Drift:
    """A change of others in ZITADEL that was put right.

    Attributes:
        observed_at: RFC 3339 in UTC.
        editor: Who made it; None where that is not known.
        found: What was in force.
        restored: What was put in its place.
    """

    observed_at: str
    editor: User | None
    found: OriginalValue
    restored: OriginalValue


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """`status` of a NotificationPolicy; None means the field is absent."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    organization_id: str | None = None
    organization_name: str | None = None
    is_default: bool | None = None
    password_change: bool | None = None
    sequence: str | None = None
    creation_date: str | None = None
    change_date: str | None = None
    resource_owner: str | None = None
    original: OriginalValue | None = None
    last_drift: Drift | None = None
    last_handled_reconcile_at: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """A NotificationPolicy.

    Attributes:
        created: `metadata.creationTimestamp`, RFC 3339 in UTC.
        organization: `spec.organization`; None for scope Instance.
        original: The parsed annotation; None when absent or unreadable.
        original_text: The annotation as it stands; None when absent.
        requested_at: The reconcile-requested-at token; None when absent.
    """

    key: PolicyKey
    uid: str
    generation: int
    created: str
    scope: Scope
    instance: str
    password_change: bool
    organization: Reference | None = None
    management: ManagementPolicy = ManagementPolicy.MANAGE
    deletion: DeletionPolicy | None = None
    suspended: bool = False
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    original: Original | None = None
    original_text: str | None = None
    requested_at: str | None = None
    status: PolicyStatus = field(default_factory=PolicyStatus)
    resource_version: str = field(default="", compare=False)

    def asks_as(self, other: "PolicyObject") -> bool:
        """Return whether two records differ, if at all, in what we write alone.

        That is the status, the finalizer and the annotation `original`.
        """
        ours = replace(
            self,
            status=other.status,
            finalizers=other.finalizers,
            original=other.original,
            original_text=other.original_text,
        )
        return ours == other

    @property
    def desired(self) -> DesiredPolicy:
        """What the spec asks for."""
        return DesiredPolicy(self.scope, self.password_change, self.manages)

    @property
    def organization_id(self) -> str | None:
        """The id that the spec itself names; None for all other references."""
        if self.organization is None or self.organization.by is not By.ID:
            return None
        return self.organization.value

    @property
    def manages(self) -> bool:
        """Whether the object may write to ZITADEL at all."""
        return self.management is ManagementPolicy.MANAGE

    @property
    def ending(self) -> DeletionPolicy:
        """What deletion owes; unset means Reset for an organization, else Retain."""
        if self.deletion is not None:
            return self.deletion
        if self.scope is Scope.ORGANIZATION:
            return DeletionPolicy.RESET
        return DeletionPolicy.RETAIN

    @property
    def undoes(self) -> bool:
        """Whether deletion owes a change in ZITADEL, so that it must be held."""
        return self.ending is not DeletionPolicy.RETAIN

    @property
    def held(self) -> bool:
        """Whether our finalizer keeps the object."""
        return FINALIZER in self.finalizers


class DriftMethod(StrEnum):
    """How changes in ZITADEL are found (`spec.driftDetection.method`)."""

    AUTO = "Auto"
    EVENTS = "Events"
    POLL = "Poll"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`spec.rateLimit`: calls per second, burst, and calls at one time."""

    requests_per_second: int = 50
    burst: int = 100
    max_concurrent: int = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a ZITADEL is reached: all of a spec that shapes connections."""

    url: str
    external_domain: str | None = None
    rate_limit: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """`status` of a ZitadelInstance; None means the field is absent."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    instance_id: str | None = None
    version: str | None = None
    user: User | None = None
    capabilities: Capabilities | None = None
    credential_expires_at: str | None = None
    policies: int | None = None
    drift_cursor: str | None = None
    last_handled_reconcile_at: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceObject:
    """A ZitadelInstance.

    Attributes:
        credential: Where the credential is.
        ca: Where more trusted roots are; None: the system's alone.
        method: `spec.driftDetection.method`.
        events_interval: `spec.driftDetection.eventsInterval` in seconds.
        poll_interval: `spec.driftDetection.pollInterval` in seconds.
        accepted_id: The accept-instance-id annotation; None when absent.
    """

    name: str
    uid: str
    generation: int
    created: str
    endpoint: Endpoint
    credential: CredentialRef
    ca: CaRef | None = None
    method: DriftMethod = DriftMethod.AUTO
    events_interval: float = 60.0
    poll_interval: float = 600.0
    grants: tuple[Grant, ...] = ()
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    requested_at: str | None = None
    accepted_id: str | None = None
    status: InstanceStatus = field(default_factory=InstanceStatus)
    resource_version: str = field(default="", compare=False)

    @property
    def held(self) -> bool:
        """Whether our finalizer keeps the object."""
        return FINALIZER in self.finalizers


class PolicyList(NamedTuple):
    """What a LIST of policies gave.

    Attributes:
        policies: All that can be used.
        unread: Namespaces that it could not look into.
    """

    policies: list[PolicyObject]
    unread: frozenset[str] = frozenset()
