"""A NotificationPolicy, reduced to what the operator needs."""

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from .claims import PolicyKey
from .identity import User
from .kinds import POLICY, Kind
from .objects import OwnObject, OwnStatus
from .original import Original, OriginalValue
from .policy import DeletionPolicy, DesiredPolicy, ManagementPolicy, Scope
from .references import By, Reference
from .settings import NO_SETTINGS, Settings


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


class Controller(NamedTuple):
    """The object that controls a policy, by its ownerReference.

    Attributes:
        name: The name of a NotificationPolicySet; empty for any other kind.
        uid: Its uid.
    """

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyObject(PolicySpec, OwnObject):
    """A NotificationPolicy.

    Attributes:
        overridden_by: The policy that overrules this one of a set, as a pass has found
            it; None in records of Kubernetes.
        controller: The object that controls it; None for none.
        set_label: The value of the label that a set puts on its policies; None if it is
            absent.
        original: The parsed annotation; None if it is absent or cannot be parsed.
        original_text: The text of the annotation; None if it is absent.
    """

    kind: ClassVar[Kind] = POLICY
    written: ClassVar[tuple[str, ...]] = (
        *OwnObject.written,
        "original",
        "original_text",
    )

    overridden_by: PolicyKey | None = field(default=None, compare=False)
    controller: Controller | None = None
    set_label: str | None = None
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
    def own_original(self) -> Original | None:
        """The parsed annotation, unless it was copied from another object."""
        original = self.original
        return original if original and original.uid == self.uid else None

    @property
    def set_uid(self) -> str | None:
        """The uid of the set that made this policy; None if no set controls it."""
        return self.controller.uid if self.controller and self.controller.name else None

    @property
    def organization_id(self) -> str | None:
        """The organization id in the spec; None if the spec uses another reference."""
        if self.organization is None or self.organization.by is not By.ID:
            return None
        return self.organization.value

    @property
    def manages(self) -> bool:
        """Whether the object may write to ZITADEL at all."""
        understood = self.not_understood is None
        return understood and self.may_own and self.overridden_by is None

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
        return self.own_original is not None

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
