"""The objects of the API server, reduced to what the operator needs.

These are compact, frozen records, which `cluster.resources` converts from and to JSON.
Two records of one object are equal exactly when they agree in everything that matters
to the operator. The comparison therefore ignores `resource_version`.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from .conditions import Condition
from .credentials import CaRef, CredentialRef
from .grants import Grant
from .identity import Capabilities, User
from .kinds import INSTANCE, POLICY, Kind, ObjectKey
from .original import Original, OriginalValue
from .policy import DeletionPolicy, DesiredPolicy, ManagementPolicy, Scope
from .references import By, Reference
from .settings import NO_SETTINGS, Settings

FINALIZER = "zitadel-notification.dev/cleanup"


class NotUnderstood(NamedTuple):
    """Why this version of the operator cannot understand a stored object.

    The record holds a default for each field that could not be read. Nothing may be
    decided by such a default.

    Attributes:
        sentence: The explanation for people: which field, what is wrong with it, and
            what to do. It never contains a value of the object.
        fields: The fields that could not be read: the top-level names of fields of the
            spec, and `metadata.creationTimestamp`.
        problems: What is wrong with which field, without the rest of the sentence.
    """

    sentence: str
    fields: frozenset[str]
    problems: str = ""


@dataclass(frozen=True, slots=True)
class OwnStatus:
    """`status` of an object of any kind; None means that the field is absent."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    last_handled_reconcile_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class OwnObject:
    """An object of any of the operator's kinds.

    Attributes:
        kind: Its kind.
        written: The fields that the operator writes.
        key: Its namespace and name.
        created: `metadata.creationTimestamp`, RFC 3339 in UTC.
        requested_at: The value of the reconcile-requested-at annotation; None if it is
            absent.
        not_understood: Why this version does not understand it; None if it does.
    """

    # The records of the kinds have a slot for each field. If this base had them, they
    # could not derive from another record as well.
    __slots__ = ()

    kind: ClassVar[Kind]
    written: ClassVar[tuple[str, ...]] = ("status", "finalizers")

    key: ObjectKey
    uid: str
    generation: int
    created: str
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    requested_at: str | None = None
    status: OwnStatus = field(default_factory=OwnStatus)
    not_understood: NotUnderstood | None = None
    resource_version: str = field(default="", compare=False)

    def is_same_request(self, other: Self) -> bool:
        """Return whether two records differ at most in what the operator writes."""
        ours: dict[str, Any] = {name: getattr(other, name) for name in self.written}
        return replace(self, **ours) == other

    def can_read(self, field_name: str) -> bool:
        """Return whether a field of the spec was understood, by its top-level name."""
        return self.not_understood is None or (
            field_name not in self.not_understood.fields
        )

    @property
    def name(self) -> str:
        """The object's name in its namespace."""
        return self.key.name

    @property
    def held(self) -> bool:
        """Whether the object has our finalizer."""
        return FINALIZER in self.finalizers

    @property
    def needed_instance(self) -> str | None:
        """The name of the ZitadelInstance that the object needs, if it needs one."""
        return None


Own = TypeVar("Own", bound=OwnObject)
"""An object of one of the kinds: what comes back is of the same kind."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A change that somebody else made in ZITADEL and that the operator corrected.

    Attributes:
        observed_at: When the operator saw the change, RFC 3339 in UTC.
        editor: The user who made the change; None if unknown.
        found: What was in force after the change.
        restored: What the operator set in its place.
    """

    observed_at: str
    editor: User | None
    found: OriginalValue
    restored: OriginalValue


@dataclass(frozen=True, slots=True)
class PolicyStatus(OwnStatus):
    """`status` of a NotificationPolicy."""

    organization_id: str | None = None
    organization_name: str | None = None
    is_default: bool | None = None
    settings: Settings = NO_SETTINGS
    sequence: str | None = None
    creation_date: str | None = None
    change_date: str | None = None
    resource_owner: str | None = None
    original: OriginalValue | None = None
    last_drift: Drift | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """`spec` of a NotificationPolicy.

    Attributes:
        instance: The name in `instanceRef`.
        organization: None for scope Instance.
        deletion: None if it is left out; its default depends on the scope.
    """

    scope: Scope
    instance: str = "default"
    organization: Reference | None = None
    settings: Settings
    management: ManagementPolicy = ManagementPolicy.MANAGE
    deletion: DeletionPolicy | None = None
    suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyObject(PolicySpec, OwnObject):
    """A NotificationPolicy.

    Attributes:
        original: The parsed annotation; None if it is absent or cannot be parsed.
        original_text: The text of the annotation; None if it is absent.
    """

    kind: ClassVar[Kind] = POLICY
    written: ClassVar[tuple[str, ...]] = (
        *OwnObject.written,
        "original",
        "original_text",
    )

    original: Original | None = None
    original_text: str | None = None
    status: PolicyStatus = field(default_factory=PolicyStatus)

    @property
    def needed_instance(self) -> str:
        """The name in `instanceRef`."""
        return self.instance

    @property
    def desired(self) -> DesiredPolicy:
        """What the spec asks for.

        Raises:
            ValueError: The object is not understood, so this is unknown.
        """
        if self.not_understood is not None:
            raise ValueError(f"{self.key} asks for something that is not understood")
        return DesiredPolicy(self.scope, self.settings, self.manages)

    @property
    def organization_id(self) -> str | None:
        """The organization id in the spec; None if the spec uses another reference."""
        if self.organization is None or self.organization.by is not By.ID:
            return None
        return self.organization.value

    @property
    def manages(self) -> bool:
        """Whether the object may write to ZITADEL at all."""
        return self.not_understood is None and self.may_own

    @property
    def may_own(self) -> bool:
        """Whether the object may own a target, so that no younger policy takes it.

        An object that is not understood keeps its target as long as enough of it can be
        read. If managementPolicy or scope cannot be read, the object may own a target
        only if it carries a record of having managed one.
        """
        if self.management is not ManagementPolicy.MANAGE:
            return False
        if self.can_read("managementPolicy") and self.can_read("scope"):
            return True
        return self.has_record

    @property
    def has_record(self) -> bool:
        """Whether the object carries a record of having managed a target.

        A record that cannot be parsed counts. A record of another object, as on a copy,
        does not.
        """
        if self.status.original is not None:
            return True
        if self.original is None:
            return self.original_text is not None
        return self.original.uid == self.uid

    @property
    def ending(self) -> DeletionPolicy:
        """The deletion policy that applies.

        The default is Reset for an organization, and Retain for the instance. If the
        relevant fields cannot be read, it is Retain.
        """
        if not self.can_read("deletionPolicy"):
            return DeletionPolicy.RETAIN
        if self.deletion is None and not self.can_read("scope"):
            return DeletionPolicy.RETAIN
        if self.deletion is not None:
            return self.deletion
        if self.scope is Scope.ORGANIZATION:
            return DeletionPolicy.RESET
        return DeletionPolicy.RETAIN

    @property
    def undoes(self) -> bool:
        """Whether deletion must change ZITADEL, which requires a finalizer."""
        return self.ending is not DeletionPolicy.RETAIN


class DriftMethod(StrEnum):
    """How changes in ZITADEL are detected (`spec.driftDetection.method`)."""

    AUTO = "Auto"
    EVENTS = "Events"
    POLL = "Poll"
    DISABLED = "Disabled"


NOT_PERMITTED = "EventsNotPermitted"
"""The reason's word if the credential may not read events at all."""


@dataclass(frozen=True, slots=True)
class DriftDetection:
    """`status.driftDetection`: how drift is detected now (design, section 11).

    Attributes:
        method: Events, Poll or Disabled; never Auto.
        reason: Why this differs from what the spec asks for: a CamelCase word, a colon,
            and a sentence for people. Empty if it does not differ.
    """

    method: DriftMethod
    reason: str = ""

    @property
    def word(self) -> str:
        """The CamelCase word of the reason; empty if there is no reason."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`spec.rateLimit`: how many calls a ZITADEL may receive.

    Attributes:
        requests_per_second: Calls per second in the long run.
        burst: Calls that may be made at once after a pause.
        max_concurrent: Concurrent calls of this instance object.
        max_concurrent_writes: Concurrent writes of policies by all instance objects
            that reach the same ZITADEL. The smallest of their values applies (design,
            section 12).
    """

    requests_per_second: int = 50
    burst: int = 100
    max_concurrent: int = 8
    max_concurrent_writes: int = 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a ZITADEL is reached: everything in the spec that affects connections."""

    url: str
    external_domain: str | None = None
    rate_limit: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """`spec.driftDetection`.

    Attributes:
        method: How drift shall be detected.
        events_interval: Seconds between two searches of ZITADEL's event log.
        poll_interval: Seconds within which each policy is read.
    """

    method: DriftMethod = DriftMethod.AUTO
    events_interval: float = 60.0
    poll_interval: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """`spec` of a ZitadelInstance.

    Attributes:
        ca: Where additional trusted roots are stored (`caBundle`); None for the
            system's roots only.
        credential: Where the credential is stored (`credentials`).
        drift: `driftDetection`.
    """

    url: str
    external_domain: str | None = None
    ca: CaRef | None = None
    credential: CredentialRef
    rate_limit: RateLimit = field(default_factory=RateLimit)
    drift: DriftSettings = field(default_factory=DriftSettings)
    grants: tuple[Grant, ...] = ()

    @property
    def endpoint(self) -> Endpoint:
        """How the ZITADEL is reached."""
        return Endpoint(self.url, self.external_domain, self.rate_limit)


@dataclass(frozen=True, slots=True)
class InstanceStatus(OwnStatus):
    """`status` of a ZitadelInstance."""

    instance_id: str | None = None
    version: str | None = None
    user: User | None = None
    capabilities: Capabilities | None = None
    credential_expires_at: str | None = None
    policies: int | None = None
    drift_cursor: str | None = None
    drift_detection: DriftDetection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceObject(InstanceSpec, OwnObject):
    """A ZitadelInstance.

    Attributes:
        accepted_id: The value of the accept-instance-id annotation; None if it is
            absent.
    """

    kind: ClassVar[Kind] = INSTANCE

    accepted_id: str | None = None
    status: InstanceStatus = field(default_factory=InstanceStatus)

    def is_degraded(self, detection: DriftDetection) -> bool:
        """Return whether drift is detected in another way than the spec asks for.

        Polling because the credential may not read events is not such a case if the
        method is Auto, which asks for events only if they may be read.
        """
        by_itself = self.drift.method is DriftMethod.AUTO
        as_asked = by_itself and detection.word == NOT_PERMITTED
        return bool(detection.reason) and not as_asked


class ObjectList(NamedTuple):
    """The result of a LIST of the objects of a kind.

    Attributes:
        objects: All objects that have a name and a uid.
        unread: The namespaces that could not be listed.
        version: The resourceVersion of the LIST itself, or the lowest if there were
            several LISTs. Empty if it is unknown.
    """

    objects: list[OwnObject]
    unread: frozenset[str] = frozenset()
    version: str = ""
